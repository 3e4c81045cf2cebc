//! Writes artifacts: files with the packets that were selected for a report.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use gomon_common::Address;
use tempfile::{Builder, NamedTempFile};

use super::packet::StoredPacket;
use super::{name, pcap, pcapng};
use crate::core::{Service, Timestamp, Verdict};
use crate::sink::proto;

/// The maximum number of names that are tried if a file exists: with the suffix `-1`, `-2` and so on.
const MAX_NAMES: u32 = 100_000;

/// What an artifact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ArtifactSubject {
    Attack(Address),
    VerticalScan(Address),
    Scan,
    Sweep(Service),
}

impl ArtifactSubject {
    /// Returns the subject of a verdict, if its packets are saved.
    pub(super) fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Attack { target, .. } => Some(Self::Attack(target.host())),
            Verdict::VerticalScan { host, .. } => Some(Self::VerticalScan(*host)),
            Verdict::Scan { .. } => Some(Self::Scan),
            Verdict::Sweep { sweep, .. } => Some(Self::Sweep((sweep.protocol, sweep.port))),
            Verdict::Connection { .. } | Verdict::Idle => None,
        }
    }

    /// Returns the class and the subject, as in the name of the file.
    fn names(self) -> (&'static str, String) {
        match self {
            Self::Attack(host) => ("attack", host.to_string()),
            Self::VerticalScan(host) => ("vertical_scan", host.to_string()),
            Self::Scan => ("scan", "global".to_owned()),
            Self::Sweep((protocol, port)) => ("sweep", format!("{}-{port}", proto::name(protocol))),
        }
    }
}

/// The packets of the artifacts of one report, with their bytes as `Data`.
#[derive(Debug)]
pub struct SelectedPackets<Data> {
    /// The start of the window.
    pub(super) start: Timestamp,
    pub(super) files: Vec<ArtifactFile<Data>>,
    /// The number of files whose packets could not be read.
    pub(super) failed: u64,
}

/// The packets of an artifact, oldest first.
#[derive(Debug)]
pub(super) struct ArtifactFile<Data> {
    pub(super) subject: ArtifactSubject,
    pub(super) packets: Vec<StoredPacket<Data>>,
}

impl SelectedPackets<&[u8]> {
    /// Copies the packets out of the store that they were selected from, into one allocation.
    #[must_use]
    pub fn into_owned(self) -> SelectedPackets<Bytes> {
        let Self { start, files, failed } = self;
        let packets = || files.iter().flat_map(|file| &file.packets);
        let mut bytes = BytesMut::with_capacity(packets().map(|packet| packet.data.len()).sum());
        packets().for_each(|packet| bytes.extend_from_slice(packet.data));
        let mut bytes = bytes.freeze();
        let files = files.into_iter().map(|ArtifactFile { subject, packets }| {
            let packets = packets.iter().map(|packet| {
                let data = bytes.split_to(packet.data.len());
                packet.with_data(data)
            });
            ArtifactFile { subject, packets: packets.collect() }
        });
        SelectedPackets { start, files: files.collect(), failed }
    }
}

impl<Data: AsRef<[u8]>> SelectedPackets<Data> {
    /// Whether there is nothing to write, and nothing failed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.failed == 0
    }

    /// Returns the number of files.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files.len() as u64
    }

    /// Returns the memory that the packets need in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let packets = self.files.iter().flat_map(|file| &file.packets);
        packets.map(|packet| packet.data.as_ref().len() + size_of_val(packet)).sum()
    }
}

/// The paths of the files written for one report.
#[derive(Debug, Default)]
pub struct ArtifactPaths(BTreeMap<ArtifactSubject, PathBuf>);

impl ArtifactPaths {
    /// Returns the file of a verdict.
    #[must_use]
    pub fn path(&self, verdict: &Verdict) -> Option<&Path> {
        self.0.get(&ArtifactSubject::of(verdict)?).map(PathBuf::as_path)
    }
}

/// Writes the files of a bot into a directory.
#[derive(Debug)]
pub struct ArtifactWriter {
    directory: PathBuf,
    sample: Option<String>,
    saved: u64,
    failed: u64,
}

impl ArtifactWriter {
    /// Writes files into `directory`, which is created if it does not exist. The paths of files are absolute.
    ///
    /// # Errors
    ///
    /// When no file can be created in the directory.
    pub fn new(directory: &Path, sample: Option<&str>) -> Result<Self> {
        let probe = || {
            fs::create_dir_all(directory)?;
            temporary(directory)?;
            path::absolute(directory)
        };
        let directory = probe().map_err(|error| {
            let directory = directory.display().to_string();
            anyhow::anyhow!("writing to capture directory {directory:?}: {error}: name another one")
        })?;
        Ok(Self { directory, sample: sample.map(ToOwned::to_owned), saved: 0, failed: 0 })
    }

    /// Returns the number of files written so far.
    #[must_use]
    pub fn saved(&self) -> u64 {
        self.saved
    }

    /// Returns the number of files that could not be written so far.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Writes the files of a report. Errors are logged and counted.
    pub fn write<Data: AsRef<[u8]>>(&mut self, selected: &SelectedPackets<Data>) -> ArtifactPaths {
        self.failed += selected.failed;
        let mut paths = ArtifactPaths::default();
        for ArtifactFile { subject, packets } in &selected.files {
            let (class, name) = subject.names();
            let stem = name::stem(class, self.sample.as_deref(), &name, selected.start);
            match write(&self.directory, &stem, packets) {
                Ok(path) => {
                    log::debug!("saved {} packets to {}", packets.len(), path.display());
                    self.saved += 1;
                    paths.0.insert(*subject, path);
                }
                Err(error) => {
                    log::error!("saving packets: {error:#}");
                    self.failed += 1;
                }
            }
        }
        paths
    }
}

/// Writes a file under a temporary name, and renames it to the first unused name that starts with `stem`. The
/// file is pcap, or pcapng if pcap can't represent the packets.
fn write<Data: AsRef<[u8]>>(
    directory: &Path,
    stem: &str,
    packets: &[StoredPacket<Data>],
) -> Result<PathBuf> {
    let is_pcap = pcap::can_represent(packets);
    let extension = if is_pcap { "pcap" } else { "pcapng" };
    let what = || format!("writing {stem}.{extension} in {:?}", directory.display().to_string());
    let mut file = temporary(directory).with_context(what)?;
    let mut out = BufWriter::new(file.as_file_mut());
    let written =
        if is_pcap { pcap::write(&mut out, packets) } else { pcapng::write(&mut out, packets) };
    written.and_then(|()| out.flush()).with_context(what)?;
    drop(out);
    for number in 0..MAX_NAMES {
        let suffix = if number == 0 { String::new() } else { format!("-{number}") };
        let path = directory.join(format!("{stem}{suffix}.{extension}"));
        match file.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => file = error.file,
            Err(error) => return Err(error.error).with_context(what),
        }
    }
    Err(io::Error::from(ErrorKind::AlreadyExists)).with_context(what)
}

/// Creates a file that is deleted unless it is renamed.
fn temporary(directory: &Path) -> io::Result<NamedTempFile> {
    // The mode of any new file: rw-rw-rw-, minus the umask.
    let permissions = Permissions::from_mode(0o666);
    Builder::new().prefix(".gomon-").permissions(permissions).tempfile_in(directory)
}

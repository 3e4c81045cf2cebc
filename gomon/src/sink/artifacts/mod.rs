//! Artifacts: pcap files with the last packets of the hosts that an alert is about.

mod name;
mod packet;
mod packet_bytes;
mod pcap;
mod pcapng;
mod reread;
mod retained;
mod rings;
mod store;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Error, Result};
use gomon_common::Address;
use tempfile::{Builder, NamedTempFile};

pub use packet::StoredPacket;
pub use rings::{MEMORY, Rings};

use self::reread::Reread;
use self::retained::Retained;
use self::store::PacketStore;
use crate::core::{Service, Verdict, WindowReport};
use crate::frame::{Frame, PacketVisitor, RemoteHosts};
use crate::sink::proto;

/// The maximum number of names that are tried if a file exists: with the suffix `-1`, `-2` and so on.
const MAX_NAMES: u32 = 100_000;

/// Stores packets, and writes them into files when a report needs artifacts.
#[derive(Debug)]
pub struct Artifacts {
    directory: PathBuf,
    sample: Option<String>,
    packets_per_host: usize,
    store: PacketStore,
    saved: u64,
    failed: u64,
}

/// The paths of the files written for one report.
#[derive(Debug, Default)]
pub struct ArtifactPaths {
    attacks: BTreeMap<Address, PathBuf>,
    vertical_scans: BTreeMap<Address, PathBuf>,
    scan: Option<PathBuf>,
    sweeps: BTreeMap<Service, PathBuf>,
}

impl ArtifactPaths {
    /// Returns the file of a verdict.
    #[must_use]
    pub fn path(&self, verdict: &Verdict) -> Option<&Path> {
        match verdict {
            Verdict::Attack { target, .. } => self.attacks.get(&target.host()),
            Verdict::VerticalScan { host, .. } => self.vertical_scans.get(host),
            Verdict::Scan { .. } => self.scan.as_ref(),
            Verdict::Sweep { sweep, .. } => self.sweeps.get(&(sweep.protocol, sweep.port)),
            Verdict::Connection { .. } | Verdict::Idle => None,
        }
        .map(PathBuf::as_path)
    }
}

impl Artifacts {
    /// Retains the last `packets_per_host` packets of every host, and writes files into `directory`, which is
    /// created if it does not exist. The paths of files are absolute.
    ///
    /// # Errors
    ///
    /// When no file can be created in the directory.
    pub fn new(directory: &Path, sample: Option<&str>, packets_per_host: usize) -> Result<Self> {
        let probe = || {
            fs::create_dir_all(directory)?;
            temporary(directory)?;
            path::absolute(directory)
        };
        let directory = probe().map_err(|error| {
            let directory = directory.display().to_string();
            anyhow::anyhow!("writing to capture directory {directory:?}: {error}: name another one")
        })?;
        Ok(Self {
            directory,
            sample: sample.map(ToOwned::to_owned),
            packets_per_host,
            store: PacketStore::Retained(Retained::new(packets_per_host)),
            saved: 0,
            failed: 0,
        })
    }

    /// Rereads the packets that a report needs. Only packets that can't be reread, which are those before all others in
    /// a window, must then be passed to [`Artifacts::packet`]. `reread` passes the packets of the pane
    /// that was closed last to a visitor, from the last to the first, each with its position in the capture and its
    /// remote host, until the visitor breaks. Only for windows of one pane.
    #[must_use]
    pub fn reread_with(
        self,
        reread: impl FnMut(PacketVisitor<'_>) -> Result<()> + 'static,
    ) -> Self {
        let store = PacketStore::Reread(Reread::new(self.packets_per_host, reread));
        Self { store, ..self }
    }

    /// Whether packets must be passed to [`Artifacts::packet`].
    #[must_use]
    pub fn needs_packets(&self) -> bool {
        self.store.needs_packets()
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

    /// Receives a packet between the bot and `hosts`, counted in the open pane.
    pub fn packet(&mut self, hosts: RemoteHosts, frame: &Frame<'_>) {
        self.store.packet(hosts, frame);
    }

    /// Logs and counts that packets can't be saved.
    pub fn packets_failed(&mut self, error: &Error) {
        log::error!("saving packets: {error:#}");
        self.failed += 1;
    }

    /// Closes `panes` panes: later packets are in a later pane.
    pub fn advance(&mut self, panes: u64) {
        self.store.advance(panes);
    }

    /// Drops the packets of panes before `first_pane`.
    pub fn drop_before(&mut self, first_pane: u64) {
        self.store.drop_before(first_pane);
    }

    /// Writes the artifacts of a report.
    pub fn report(&mut self, report: &WindowReport) -> ArtifactPaths {
        if let Err(error) = self.store.load(report) {
            self.packets_failed(&error);
        }
        let mut paths = ArtifactPaths::default();
        for verdict in &report.verdicts {
            match verdict {
                Verdict::Attack { target, .. } => {
                    let host = target.host();
                    if !paths.attacks.contains_key(&host)
                        && let Some(path) = self.save("attack", &host.to_string(), &[host], report)
                    {
                        paths.attacks.insert(host, path);
                    }
                }
                Verdict::VerticalScan { host, .. } => {
                    let subject = host.to_string();
                    if let Some(path) = self.save("vertical_scan", &subject, &[*host], report) {
                        paths.vertical_scans.insert(*host, path);
                    }
                }
                Verdict::Scan { hosts } => {
                    paths.scan = self.save("scan", "global", hosts, report);
                }
                Verdict::Sweep { sweep, .. } => {
                    let subject = format!("{}-{}", proto::name(sweep.protocol), sweep.port);
                    if let Some(path) = self.save("sweep", &subject, &sweep.hosts, report) {
                        paths.sweeps.insert((sweep.protocol, sweep.port), path);
                    }
                }
                Verdict::Connection { .. } | Verdict::Idle => {}
            }
        }
        if self.store.take_evicted() {
            log::warn!(
                "artifacts of the window: the oldest packets were dropped to stay within {} MiB: lower \
                 --save-packets",
                MEMORY >> 20
            );
        }
        paths
    }

    /// Writes the packets of `hosts` and returns the path of the file. Returns `None` if there are no packets, or if
    /// that failed; the error is then logged.
    fn save(
        &mut self,
        class: &str,
        subject: &str,
        hosts: &[Address],
        report: &WindowReport,
    ) -> Option<PathBuf> {
        let mut packets = Vec::new();
        for host in hosts {
            // Several times as fast as extending from the iterator, which is nested.
            self.store.packets(*host, report.first_pane).for_each(|packet| packets.push(packet));
        }
        packets.sort_unstable_by_key(|packet| packet.number);
        packets.dedup_by_key(|packet| packet.number);
        if packets.is_empty() {
            return None;
        }
        let stem = name::stem(class, self.sample.as_deref(), subject, report.span.start);
        match write(&self.directory, &stem, &packets) {
            Ok(path) => {
                log::debug!("saved {} packets to {}", packets.len(), path.display());
                self.saved += 1;
                Some(path)
            }
            Err(error) => {
                self.packets_failed(&error);
                None
            }
        }
    }
}

/// Writes a file under a temporary name, and renames it to the first unused name that starts with `stem`. The
/// file is pcap, or pcapng if pcap can't represent the packets.
fn write(directory: &Path, stem: &str, packets: &[StoredPacket<&[u8]>]) -> Result<PathBuf> {
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

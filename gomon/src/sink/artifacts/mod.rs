//! Artifacts: pcap files with the last packets of the hosts an alert is about.

mod name;
mod pcap;
mod pcapng;
mod recall;
mod rings;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result};
use gomon_common::Address;
use tempfile::{Builder, NamedTempFile};

pub use recall::Recall;
pub use rings::{MEMORY, Rings, Stored};

use crate::core::{Service, Timestamp, Verdict, WindowReport};
use crate::frame::{Frame, FrameLink, RemoteHosts};
use crate::sink::proto;

/// Names tried when one exists already: `-1`, `-2` and so on.
const ATTEMPTS: u32 = 100_000;

/// Keeps packets, and writes them when a report calls for it.
#[derive(Debug)]
pub struct Artifacts {
    directory: PathBuf,
    sample: Option<String>,
    rings: Rings,
    /// Where packets come from that were not kept.
    recall: Option<Recall>,
    /// The pane that is open, and the number of packets seen.
    pane: u64,
    packets: u64,
    latest: Timestamp,
    saved: u64,
    failed: u64,
}

/// The files written for one report.
#[derive(Debug, Default)]
pub struct Written {
    attacks: BTreeMap<Address, PathBuf>,
    vertical_scans: BTreeMap<Address, PathBuf>,
    scan: Option<PathBuf>,
    sweeps: BTreeMap<Service, PathBuf>,
}

impl Written {
    /// The file that belongs to a verdict.
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
    /// Keeps the last `packets_per_host` packets of every host, and writes files into `directory`,
    /// which is made when it is not there. Paths of files are absolute.
    ///
    /// # Errors
    ///
    /// When no file can be made in the directory.
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
            rings: Rings::new(packets_per_host),
            recall: None,
            pane: 0,
            packets: 0,
            latest: Timestamp::default(),
            saved: 0,
            failed: 0,
        })
    }

    /// Keeps no packets, and has those of a report read again. Only for windows that are one pane each:
    /// where windows overlap, a packet would be read many times.
    pub fn recall_by(&mut self, recall: Recall) {
        self.recall = Some(recall);
    }

    /// Whether packets are kept.
    #[must_use]
    pub fn wants_packets(&self) -> bool {
        self.recall.is_none()
    }

    /// The next pane starts at this byte of the capture.
    pub fn starts_at(&mut self, position: u64) {
        if let Some(recall) = &mut self.recall {
            recall.starts_at(position);
        }
    }

    /// A record starts at this byte of the capture.
    pub fn passes(&mut self, position: u64) {
        if let Some(recall) = &mut self.recall {
            recall.passes(position);
        }
    }

    /// Files written so far.
    #[must_use]
    pub fn saved(&self) -> u64 {
        self.saved
    }

    /// Files that could not be written so far.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Keeps a packet between the bot and `hosts`, counted in the open pane.
    pub fn packet(&mut self, hosts: RemoteHosts, frame: &Frame<'_>) {
        self.latest = frame.time.unwrap_or(self.latest);
        if let Some(packet) = stored(self.packets, self.pane, self.latest, frame) {
            // Of both hosts it is one: a file about both has it once.
            self.packets += 1;
            for (host, known) in hosts.into_iter().flatten() {
                self.rings.push(host, known, &packet);
            }
        }
    }

    /// Closes so many panes: packets that follow belong to a later one.
    pub fn advance(&mut self, panes: u64) {
        self.pane += panes;
        if let Some(recall) = &mut self.recall {
            recall.is_reported();
        }
    }

    /// Forgets what no window that starts at `first_pane` or later needs.
    pub fn forget_before(&mut self, first_pane: u64) {
        self.rings.forget_before(first_pane);
    }

    /// Writes the artifacts a report calls for.
    pub fn report(&mut self, report: &WindowReport) -> Written {
        self.read_again(report);
        let mut written = Written::default();
        for verdict in &report.verdicts {
            match verdict {
                Verdict::Attack { target, .. } => {
                    let host = target.host();
                    if !written.attacks.contains_key(&host)
                        && let Some(path) = self.save("attack", &host.to_string(), &[host], report)
                    {
                        written.attacks.insert(host, path);
                    }
                }
                Verdict::VerticalScan { host, .. } => {
                    let subject = host.to_string();
                    if let Some(path) = self.save("vertical_scan", &subject, &[*host], report) {
                        written.vertical_scans.insert(*host, path);
                    }
                }
                Verdict::Scan { hosts } => {
                    written.scan = self.save("scan", "global", hosts, report);
                }
                Verdict::Sweep { sweep, .. } => {
                    let subject = format!("{}-{}", proto::name(sweep.protocol), sweep.port);
                    if let Some(path) = self.save("sweep", &subject, &sweep.hosts, report) {
                        written.sweeps.insert((sweep.protocol, sweep.port), path);
                    }
                }
                Verdict::Connection { .. } | Verdict::Idle => {}
            }
        }
        if self.rings.take_given_up() {
            log::warn!(
                "artifacts of the window: the oldest packets were given up to stay within {} MiB: lower \
                 --save-packets",
                MEMORY >> 20
            );
        }
        written
    }

    /// Has the packets that a report calls for, where they were not kept.
    fn read_again(&mut self, report: &WindowReport) {
        let Some(recall) = &mut self.recall else { return };
        let hosts = recall::hosts(report);
        let none = hosts.is_empty();
        self.rings.expect(hosts);
        if none {
            return;
        }
        let (rings, pane) = (&mut self.rings, self.pane);
        let outcome = recall.packets_from_the_last(|position, host, frame| {
            let time = frame.time.unwrap_or_default();
            let packet = stored(position, pane, time, frame);
            packet.map_or(ControlFlow::Continue(()), |packet| rings.push_older(host, &packet))
        });
        if let Err(error) = outcome {
            log::error!("saving packets: {error:#}");
            self.failed += 1;
        }
    }

    /// Writes the packets of `hosts` and returns where, or `None` (and says why) when that failed.
    fn save(
        &mut self,
        class: &str,
        subject: &str,
        hosts: &[Address],
        report: &WindowReport,
    ) -> Option<PathBuf> {
        let packets = hosts.iter().flat_map(|host| self.rings.of(*host, report.first_pane));
        let mut packets: Vec<&Stored> = packets.collect();
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
                log::error!("saving packets: {error:#}");
                self.failed += 1;
                None
            }
        }
    }
}

/// A frame as it is stored, if it can be told what it starts with.
fn stored<'a>(
    number: u64,
    pane: u64,
    time: Timestamp,
    frame: &Frame<'a>,
) -> Option<Stored<&'a [u8]>> {
    let FrameLink::Known(link) = frame.link else { return None };
    Some(Stored { number, pane, time, link, length: frame.length, data: frame.data })
}

/// Writes a file under a temporary name and then gives it the first free name that starts with
/// `stem`: a pcap file, or pcapng where that can't hold the packets.
fn write(directory: &Path, stem: &str, packets: &[&Stored]) -> Result<PathBuf> {
    let classic = pcap::holds(packets);
    let extension = if classic { "pcap" } else { "pcapng" };
    let what = || format!("writing {stem}.{extension} in {:?}", directory.display().to_string());
    let mut file = temporary(directory).with_context(what)?;
    let mut out = BufWriter::new(file.as_file_mut());
    let written =
        if classic { pcap::write(&mut out, packets) } else { pcapng::write(&mut out, packets) };
    written.and_then(|()| out.flush()).with_context(what)?;
    drop(out);
    for attempt in 0..ATTEMPTS {
        let suffix = if attempt == 0 { String::new() } else { format!("-{attempt}") };
        let path = directory.join(format!("{stem}{suffix}.{extension}"));
        match file.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => file = error.file,
            Err(error) => return Err(error.error).with_context(what),
        }
    }
    Err(io::Error::from(ErrorKind::AlreadyExists)).with_context(what)
}

/// A file that goes away unless it is given a name.
fn temporary(directory: &Path) -> io::Result<NamedTempFile> {
    // As any new file: what the umask leaves of rw-rw-rw-.
    let permissions = Permissions::from_mode(0o666);
    Builder::new().prefix(".gomon-").permissions(permissions).tempfile_in(directory)
}

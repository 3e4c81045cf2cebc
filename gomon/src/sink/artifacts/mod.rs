//! Artifacts: pcap files with the last packets of the hosts that an alert is about.

mod files;
mod name;
mod packet;
mod packet_bytes;
mod pcap;
mod pcapng;
mod reread;
mod retained;
mod rings;
mod store;

use anyhow::{Error, Result};
use gomon_common::Address;

pub use files::{ArtifactPaths, ArtifactWriter, SelectedPackets};
pub use packet::StoredPacket;
pub use rings::{MEMORY, Rings};

use self::files::{ArtifactFile, ArtifactSubject};
use self::reread::Reread;
use self::retained::Retained;
use self::store::PacketStore;
use crate::core::{Verdict, WindowReport};
use crate::frame::{Frame, PacketVisitor, RemoteHosts};

/// Stores packets, and selects those of the artifacts of a report. Does no output: see [`ArtifactWriter`].
#[derive(Debug)]
pub struct Artifacts {
    packets_per_host: usize,
    store: PacketStore,
    /// Failures to keep or to read packets since the last report.
    failed: u64,
}

impl Artifacts {
    /// Retains the last `packets_per_host` packets of every host.
    #[must_use]
    pub fn new(packets_per_host: usize) -> Self {
        let store = PacketStore::Retained(Retained::new(packets_per_host));
        Self { packets_per_host, store, failed: 0 }
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

    /// Selects the packets of the artifacts of a report.
    pub fn select(&mut self, report: &WindowReport) -> SelectedPackets<&[u8]> {
        if let Err(error) = self.store.load(report) {
            self.packets_failed(&error);
        }
        if self.store.take_evicted() {
            log::warn!(
                "artifacts of the window: the oldest packets were dropped to stay within {} MiB: lower \
                 --save-packets",
                MEMORY >> 20
            );
        }
        let failed = std::mem::take(&mut self.failed);
        let mut selected = SelectedPackets { start: report.span.start, files: vec![], failed };
        for verdict in &report.verdicts {
            let Some(subject) = ArtifactSubject::of(verdict) else { continue };
            if selected.files.iter().any(|file| file.subject == subject) {
                continue;
            }
            let one;
            let hosts: &[Address] = match verdict {
                Verdict::Attack { target, .. } => {
                    one = [target.host()];
                    &one
                }
                Verdict::VerticalScan { host, .. } => {
                    one = [*host];
                    &one
                }
                Verdict::Scan { hosts } => hosts,
                Verdict::Sweep { sweep, .. } => &sweep.hosts,
                Verdict::Connection { .. } | Verdict::Idle => &[],
            };
            let mut packets = Vec::new();
            for host in hosts {
                // Several times as fast as extending from the iterator, which is nested.
                self.store
                    .packets(*host, report.first_pane)
                    .for_each(|packet| packets.push(packet));
            }
            packets.sort_unstable_by_key(|packet| packet.number);
            packets.dedup_by_key(|packet| packet.number);
            if !packets.is_empty() {
                selected.files.push(ArtifactFile { subject, packets });
            }
        }
        selected
    }
}

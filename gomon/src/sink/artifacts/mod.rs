//! Artifacts: pcap files with the last packets of the hosts that an alert is about.

mod files;
mod name;
mod packet;
mod pcap;
mod pcapng;
mod reread;
mod retained;
mod rings;
mod store;

use anyhow::Result;
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
}

impl Artifacts {
    /// Retains the last `packets_per_host` packets of every host.
    #[must_use]
    pub fn new(packets_per_host: usize) -> Self {
        Self { packets_per_host, store: PacketStore::Retained(Retained::new(packets_per_host)) }
    }

    /// Rereads the packets that a report needs, instead of retaining packets. `reread` passes the packets of the pane
    /// that was closed last to a visitor, from the last to the first, each with its position in the capture and its
    /// remote host, until the visitor breaks. Only for windows of one pane.
    #[must_use]
    pub fn reread_with(
        self,
        reread: impl FnMut(PacketVisitor<'_>) -> Result<()> + 'static,
    ) -> Self {
        let store = PacketStore::Reread(Reread::new(self.packets_per_host, reread));
        Self { store, packets_per_host: self.packets_per_host }
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

    /// Closes `panes` panes: later packets are in a later pane.
    pub fn advance(&mut self, panes: u64) {
        self.store.advance(panes);
    }

    /// Drops the packets of panes before `first_pane`.
    pub fn drop_before(&mut self, first_pane: u64) {
        self.store.drop_before(first_pane);
    }

    /// Selects the packets of the artifacts of a report.
    pub fn select(&mut self, report: &WindowReport) -> SelectedPackets {
        let mut selected = SelectedPackets { start: report.span.start, ..Default::default() };
        if let Err(error) = self.store.load(report) {
            log::error!("saving packets: {error:#}");
            selected.failed += 1;
        }
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
            let packets =
                hosts.iter().flat_map(|host| self.store.packets(*host, report.first_pane));
            let mut packets: Vec<StoredPacket> = packets.cloned().collect();
            packets.sort_unstable_by_key(|packet| packet.number);
            packets.dedup_by_key(|packet| packet.number);
            if !packets.is_empty() {
                selected.files.push(ArtifactFile { subject, packets });
            }
        }
        if self.store.take_evicted() {
            log::warn!(
                "artifacts of the window: the oldest packets were dropped to stay within {} MiB: lower \
                 --save-packets",
                MEMORY >> 20
            );
        }
        selected
    }
}

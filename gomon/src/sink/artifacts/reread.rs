//! Rereads packets from the capture when a report needs them.
//!
//! Of a stream only the recent bytes can be reread. Packets of the window before them are retained.

use std::fmt;
use std::ops::ControlFlow;

use anyhow::Result;
use gomon_common::Address;

use super::packet::StoredPacket;
use super::retained::Retained;
use super::rings::Rings;
use crate::core::{Verdict, WindowReport};
use crate::frame::PacketVisitor;

/// Passes the packets of the pane that was closed last to a visitor, from the last to the first, until the
/// visitor breaks.
type RereadPane = dyn FnMut(PacketVisitor<'_>) -> Result<()>;

/// A packet store for captures that can be reread. Only for windows of one pane: if windows overlapped, a packet
/// would be reread many times.
pub(super) struct Reread {
    packets_per_host: usize,
    visit_pane: Box<RereadPane>,
    /// The packets for the last report.
    rings: Rings,
    /// Packets that can't be reread, which are before all others.
    retained: Retained,
}

impl Reread {
    /// Creates a store of the last `packets_per_host` packets of each host, read with `visit_pane`.
    pub(super) fn new(
        packets_per_host: usize,
        visit_pane: impl FnMut(PacketVisitor<'_>) -> Result<()> + 'static,
    ) -> Self {
        Self {
            packets_per_host,
            visit_pane: Box::new(visit_pane),
            rings: Rings::new(packets_per_host),
            retained: Retained::new(packets_per_host),
        }
    }

    /// Replaces the stored packets by those that the artifacts of `report` need.
    ///
    /// # Errors
    ///
    /// When they can't be reread.
    pub(super) fn load(&mut self, report: &WindowReport) -> Result<()> {
        let hosts = hosts(report);
        let is_empty = hosts.is_empty();
        self.rings.start_reverse(hosts);
        if is_empty {
            return Ok(());
        }
        let (rings, pane) = (&mut self.rings, report.first_pane);
        (self.visit_pane)(&mut |position, host, frame| {
            let time = frame.time.unwrap_or_default();
            let packet = StoredPacket::from_frame(position, pane, time, frame);
            packet.map_or(ControlFlow::Continue(()), |packet| rings.push_reverse(host, &packet))
        })
    }

    /// Returns the store of the packets that can't be reread.
    pub(super) fn retained(&mut self) -> &mut Retained {
        &mut self.retained
    }

    /// Returns the packets of `host` in panes from `first_pane` on, oldest first.
    pub(super) fn packets(
        &self,
        host: Address,
        first_pane: u64,
    ) -> impl Iterator<Item = StoredPacket<&[u8]>> {
        let (retained, reread) = (self.retained.rings(), &self.rings);
        let count = retained.count(host, first_pane) + reread.count(host, first_pane);
        let excess = count.saturating_sub(self.packets_per_host);
        // The numbers of retained packets count packets, and are below the positions of later ones.
        retained.packets(host, first_pane).skip(excess).chain(reread.packets(host, first_pane))
    }

    /// Returns whether packets were evicted for lack of memory since the last call.
    pub(super) fn take_evicted(&mut self) -> bool {
        self.retained.take_evicted() | self.rings.take_evicted()
    }
}

impl fmt::Debug for Reread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reread").finish_non_exhaustive()
    }
}

/// Returns the hosts whose packets the artifacts of a report contain, possibly with duplicates.
fn hosts(report: &WindowReport) -> Vec<Address> {
    let mut hosts = Vec::new();
    for verdict in &report.verdicts {
        match verdict {
            Verdict::Attack { target, .. } => hosts.push(target.host()),
            Verdict::VerticalScan { host, .. } => hosts.push(*host),
            Verdict::Scan { hosts: scanned } => hosts.extend(scanned),
            Verdict::Sweep { sweep, .. } => hosts.extend(&sweep.hosts),
            Verdict::Connection { .. } | Verdict::Idle => {}
        }
    }
    hosts
}

//! Rereads packets from the capture when a report needs them.

use std::fmt;
use std::ops::ControlFlow;

use anyhow::Result;
use gomon_common::Address;

use super::packet::StoredPacket;
use super::rings::Rings;
use crate::core::{Verdict, WindowReport};
use crate::frame::PacketVisitor;

/// Passes the packets of the pane that was closed last to a visitor, from the last to the first, until the
/// visitor breaks.
type RereadPane = dyn FnMut(PacketVisitor<'_>) -> Result<()>;

/// A packet store for captures that can be reread. Only for windows of one pane: if windows overlapped, a packet
/// would be reread many times.
pub(super) struct Reread {
    reread: Box<RereadPane>,
    rings: Rings,
}

impl Reread {
    /// Creates a store of the last `packets_per_host` packets of each host, read with `reread`.
    pub(super) fn new(
        packets_per_host: usize,
        reread: impl FnMut(PacketVisitor<'_>) -> Result<()> + 'static,
    ) -> Self {
        Self { reread: Box::new(reread), rings: Rings::new(packets_per_host) }
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
        (self.reread)(&mut |position, host, frame| {
            let time = frame.time.unwrap_or_default();
            let packet = StoredPacket::from_frame(position, pane, time, frame);
            packet.map_or(ControlFlow::Continue(()), |packet| rings.push_reverse(host, &packet))
        })
    }

    pub(super) fn rings(&self) -> &Rings {
        &self.rings
    }

    pub(super) fn rings_mut(&mut self) -> &mut Rings {
        &mut self.rings
    }
}

impl fmt::Debug for Reread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reread").field("rings", &self.rings).finish_non_exhaustive()
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

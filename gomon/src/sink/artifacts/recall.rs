//! Packets that are read a second time from where they came from, instead of being kept.

use std::fmt;
use std::ops::{ControlFlow, Range};

use anyhow::Result;
use gomon_common::Address;

use crate::core::{Verdict, WindowReport};
use crate::frame::Frame;

/// Takes a packet between the bot and a host, and where it lies in the capture.
type PacketVisitor<'a> = &'a mut dyn FnMut(u64, Address, &Frame<'_>) -> ControlFlow<()>;
/// Reads a part of a capture, given by its bytes, from its end to its start, until no more is wanted.
type ReadAgain = dyn FnMut(Range<u64>, PacketVisitor<'_>) -> Result<ControlFlow<()>>;

/// A capture whose parts can be read again.
pub struct Recall {
    read: Box<ReadAgain>,
    /// The part that is the latest pane that was closed.
    pane: Range<u64>,
    /// Where records start, here and there in that part and behind it, so that it can be read from its
    /// end piece by piece: 8 bytes for half a MiB, 16 MiB for a TiB in one window.
    waypoints: Vec<u64>,
}

impl Recall {
    /// Packets that `read` hands on: those of a part of a capture from the last to the first, each with
    /// where it lies and its remote host.
    #[must_use]
    pub fn new(
        read: impl FnMut(Range<u64>, PacketVisitor<'_>) -> Result<ControlFlow<()>> + 'static,
    ) -> Self {
        Self { read: Box::new(read), pane: 0..0, waypoints: Vec::new() }
    }

    /// The next pane starts here, and the one before ends.
    pub(super) fn starts_at(&mut self, position: u64) {
        self.pane = self.pane.end..position;
        let passed = self.waypoints.partition_point(|waypoint| *waypoint <= self.pane.start);
        self.waypoints.drain(..passed);
    }

    /// The reports of the closed pane are made: a later one, of a pane without frames, has no packets.
    pub(super) fn is_reported(&mut self) {
        self.pane.start = self.pane.end;
    }

    /// A record starts here, not before any that was told before.
    pub(super) fn passes(&mut self, position: u64) {
        if self.waypoints.last() != Some(&position) {
            self.waypoints.push(position);
        }
    }

    /// Hands the packets of the closed pane between the bot and its remote hosts to `each`, from the last
    /// to the first, until it wants no more.
    pub(super) fn packets_from_the_last(
        &mut self,
        mut each: impl FnMut(u64, Address, &Frame<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut end = self.pane.end;
        let inside = self.waypoints.partition_point(|waypoint| *waypoint < end);
        for start in self.waypoints[..inside].iter().rev().copied().chain([self.pane.start]) {
            if (self.read)(start..end, &mut each)?.is_break() {
                break;
            }
            end = start;
        }
        Ok(())
    }
}

impl fmt::Debug for Recall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recall").field("pane", &self.pane).finish_non_exhaustive()
    }
}

/// The hosts whose packets the artifacts of a report hold, some more than once.
pub(super) fn hosts(report: &WindowReport) -> Vec<Address> {
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

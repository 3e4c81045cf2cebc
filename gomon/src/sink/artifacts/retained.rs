//! Retains the last packets of every host as they arrive.

use super::packet::StoredPacket;
use super::rings::Rings;
use crate::core::Timestamp;
use crate::frame::{Frame, RemoteHosts};

/// A packet store for sources that can't be reread.
#[derive(Debug)]
pub(super) struct Retained {
    rings: Rings,
    /// The number of the open pane.
    pane: u64,
    /// The number of packets retained so far.
    packets: u64,
    /// The time of the latest packet, used for packets without a timestamp.
    latest: Timestamp,
}

impl Retained {
    /// Creates a store of the last `packets_per_host` packets of each host.
    pub(super) fn new(packets_per_host: usize) -> Self {
        let rings = Rings::new(packets_per_host);
        Self { rings, pane: 0, packets: 0, latest: Timestamp::default() }
    }

    /// Retains a packet between the bot and `hosts`, counted in the open pane.
    pub(super) fn packet(&mut self, hosts: RemoteHosts, frame: &Frame<'_>) {
        self.latest = frame.time.unwrap_or(self.latest);
        let packet = StoredPacket::from_frame(self.packets, self.pane, self.latest, frame);
        if let Some(packet) = packet {
            // The packet has one number for both hosts: a file about both contains it once.
            self.packets += 1;
            for host in hosts.iter() {
                self.rings.push(host.address, host.is_listed, &packet);
            }
        }
    }

    /// Closes `panes` panes.
    pub(super) fn advance(&mut self, panes: u64) {
        self.pane += panes;
    }

    /// Drops the packets of panes before `first_pane`.
    pub(super) fn drop_before(&mut self, first_pane: u64) {
        self.rings.drop_before(first_pane);
    }

    pub(super) fn rings(&self) -> &Rings {
        &self.rings
    }

    /// Returns whether packets were evicted for lack of memory since the last call.
    pub(super) fn take_evicted(&mut self) -> bool {
        self.rings.take_evicted()
    }
}

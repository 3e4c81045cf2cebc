//! The packets of artifacts: retained as they arrive, or reread.

use anyhow::Result;
use gomon_common::Address;

use super::packet::StoredPacket;
use super::reread::Reread;
use super::retained::Retained;
use crate::core::WindowReport;
use crate::frame::{Frame, RemoteHosts};

/// Provides the last packets of hosts.
#[derive(Debug)]
pub(super) enum PacketStore {
    /// Packets are retained as they arrive.
    Retained(Retained),
    /// Packets are reread from the capture when a report needs them.
    Reread(Reread),
}

impl PacketStore {
    /// Whether every packet must be passed to [`PacketStore::packet`]; if not, only those that can't be reread.
    pub(super) fn needs_packets(&self) -> bool {
        matches!(self, Self::Retained(_))
    }

    /// Receives a packet between the bot and `hosts`, counted in the open pane.
    pub(super) fn packet(&mut self, hosts: RemoteHosts, frame: &Frame<'_>) {
        self.retained().packet(hosts, frame);
    }

    /// Closes `panes` panes: later packets are in a later pane.
    pub(super) fn advance(&mut self, panes: u64) {
        self.retained().advance(panes);
    }

    /// Drops the packets of panes before `first_pane`.
    pub(super) fn drop_before(&mut self, first_pane: u64) {
        self.retained().drop_before(first_pane);
    }

    /// Loads the packets that the artifacts of `report` need. Must be called before [`PacketStore::packets`].
    ///
    /// # Errors
    ///
    /// When they can't be reread.
    pub(super) fn load(&mut self, report: &WindowReport) -> Result<()> {
        match self {
            Self::Retained(_) => Ok(()),
            Self::Reread(reread) => reread.load(report),
        }
    }

    /// Returns the packets of `host` in panes from `first_pane` on, oldest first.
    pub(super) fn packets(
        &self,
        host: Address,
        first_pane: u64,
    ) -> impl Iterator<Item = StoredPacket<&[u8]>> {
        let (retained, reread) = match self {
            Self::Retained(retained) => (Some(retained.rings().packets(host, first_pane)), None),
            Self::Reread(reread) => (None, Some(reread.packets(host, first_pane))),
        };
        retained.into_iter().flatten().chain(reread.into_iter().flatten())
    }

    /// Returns whether packets were evicted for lack of memory since the last call.
    pub(super) fn take_evicted(&mut self) -> bool {
        match self {
            Self::Retained(retained) => retained.take_evicted(),
            Self::Reread(reread) => reread.take_evicted(),
        }
    }

    fn retained(&mut self) -> &mut Retained {
        match self {
            Self::Retained(retained) => retained,
            Self::Reread(reread) => reread.retained(),
        }
    }
}

//! The interface between a source and the pipeline that evaluates its counts.

use std::ops::ControlFlow;

use anyhow::Error;

use crate::core::{Ledger, Timestamp, WindowCounts};
use crate::frame::{Frame, RemoteHosts};

/// Receives the packets of the open pane that an artifact may need.
pub trait PacketSink {
    /// Whether every packet must be passed to [`PacketSink::packet`]; if not, only those that can't be reread later.
    fn needs_packets(&self) -> bool;

    /// Receives a packet of the open pane, between the bot and `hosts`, in either direction.
    fn packet(&mut self, hosts: RemoteHosts, frame: &Frame<'_>);

    /// Called when packets of the open pane could be neither passed to [`PacketSink::packet`] nor reread later.
    fn packets_failed(&mut self, _error: &Error) {}
}

/// Receives the counts of a source, pane by pane, in order of time.
///
/// When a method returns [`ControlFlow::Break`], the source shuts down cleanly.
pub trait PaneSink: PacketSink {
    /// Receives the counts of the next pane, which is complete.
    fn pane(&mut self, counts: WindowCounts) -> ControlFlow<()>;

    /// Receives `panes` panes without a frame, the first of which starts at `start`.
    fn silence(&mut self, start: Timestamp, panes: u64) -> ControlFlow<()>;

    /// Called when the clock of the panes was set by `by` nanoseconds between the previous pane, which ended at
    /// [`WindowCounts::observed_until`], and the next pane.
    fn clock_set(&mut self, _by: i64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Called before the only pane, if all its frames have the same timestamp or none, so that rates are unknown.
    fn timestamps_are_constant(&mut self) {}

    /// Called when `packets` packets of the open or the previous pane were lost before they reached
    /// [`PacketSink::packet`].
    fn packets_lost(&mut self, packets: u64);

    /// Called when a status report was requested. `open` is the ledger of the open pane so far.
    fn status(&mut self, _open: &Ledger) {}

    /// Reports progress for display: frames and bytes of the input read so far.
    fn progress(&mut self, frames: u64, bytes: u64);
}

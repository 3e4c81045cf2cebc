//! Where packets come from.
//!
//! A source counts, and hands the counts on pane by pane; the frames themselves go along only for
//! artifacts. What it hands them to is a [`Receiver`].

pub mod live;
pub mod replay;
mod stop;

use std::ops::ControlFlow;

use gomon_common::Address;

pub use stop::Stop;

use crate::core::{Timestamp, WindowCounts};
use crate::frame::Frame;

/// Takes what a source counts, in the order of time.
///
/// A method that answers [`ControlFlow::Break`] ends the source early, in order.
pub trait Receiver {
    /// The next pane is complete.
    fn pane(&mut self, counts: WindowCounts) -> ControlFlow<()>;

    /// So many panes, the first from `start`, went by without a frame.
    fn silence(&mut self, start: Timestamp, panes: u64) -> ControlFlow<()>;

    /// Whether [`Receiver::packet`] is to be called at all.
    fn wants_packets(&self) -> bool;

    /// A packet between the bot and `host`, either way, in the open pane. `known` says whether the
    /// host is counted on its own.
    fn packet(&mut self, host: Address, known: bool, frame: &Frame<'_>);

    /// So many packets of the open pane, or of the one before, that [`Receiver::packet`] should have got
    /// were lost on the way.
    fn packets_lost(&mut self, packets: u64);

    /// How far the source is: frames read, and bytes of the input.
    fn progress(&mut self, frames: u64, bytes: u64);
}

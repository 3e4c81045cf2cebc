//! What a [`LiveSet`](super::LiveSet) reports: events, and the states of its counters.

use std::time::Duration;

use anyhow::Error;

use super::attachment::Live;
use crate::core::Ledger;

/// What happened to a [`LiveSet`](super::LiveSet).
pub enum LiveEvent<S> {
    /// A counter has ended and is detached. Its last, partial pane was passed to its sink, unless it failed.
    Ended {
        /// The number it was added with.
        id: u64,
        /// Its sink.
        sink: S,
        /// Why it ended.
        why: LiveEnd,
    },
    /// [`Waker::wake`](super::Waker::wake) was called.
    Woken,
    /// A stop was requested.
    Stopped,
    /// A status report was requested.
    StatusRequested,
}

/// Why a counter ended.
#[derive(Debug)]
pub enum LiveEnd {
    /// Its interface was removed.
    InterfaceRemoved,
    /// [`LiveSet::end`](super::LiveSet::end) was called.
    Requested,
    /// Its sink accepts no more panes.
    SinkClosed,
    /// The kernel's counts could not be read, or libpcap could not read.
    Failed(Error),
}

/// The state of a counter in a [`LiveSet`](super::LiveSet).
pub struct LiveState<'a, S> {
    /// The number it was added with.
    pub id: u64,
    /// The interface, and how it is attached.
    pub live: &'a Live,
    /// The sink of its panes.
    pub sink: &'a S,
    /// The ledger of the open pane so far; `None` if it can't be read.
    pub open: Option<Ledger>,
    /// How long the latest drain took.
    pub drained_in: Duration,
}

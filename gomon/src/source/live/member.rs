//! A counter in a [`LiveSet`](super::LiveSet): its panes, and the sink that receives them.

use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::attachment::Live;
use super::clock::MonotonicClock;
use super::grid::PaneGrid;
use super::poller::Poller;
use crate::core::{Ledger, Span, nanoseconds};
use crate::source::PaneSink;

/// A counter, and the sink of its panes. All times are in nanoseconds after the start of the clock.
pub(super) struct Member<S> {
    pub(super) live: Live,
    pub(super) sink: S,
    /// The clock of the set. It follows the wall clock only between two panes of this counter.
    clock: MonotonicClock,
    grid: PaneGrid,
    state: PaneState,
    /// When to read the counter even if no descriptor is readable.
    read_at: Option<u64>,
    /// Its entry in the deadlines of the set.
    pub(super) scheduled: Option<u64>,
    /// Whether it is in the set's queue of members to read.
    pub(super) is_queued: bool,
    pub(super) drained_in: Duration,
}

/// The state of the panes of a counter.
#[derive(Clone, Copy)]
enum PaneState {
    /// A pane is open, and no other is to be drained.
    Open,
    /// The pane of this span was closed. The last packets of it can still arrive, at most until a given time.
    Closed(Span, u64),
    /// The pane of this span is to be drained.
    Settled(Span),
}

impl<S: PaneSink> Member<S> {
    /// Opens the first pane. Panes are `length` long, and end `offset` after the points of the grid.
    pub(super) fn new(
        live: Live,
        clock: MonotonicClock,
        length: u64,
        offset: u64,
        sink: S,
    ) -> Result<Self> {
        let attached = clock.since_start(&live.attached);
        let grid = PaneGrid::new(length, offset, attached);
        let mut member = Self {
            live,
            sink,
            clock,
            grid,
            state: PaneState::Open,
            read_at: None,
            scheduled: None,
            is_queued: false,
            drained_in: Duration::ZERO,
        };
        member.live.counter.start_first_pane(clock.monotonic_at(member.grid.due()), &clock)?;
        member.schedule_read();
        Ok(member)
    }

    /// Returns when it has to be served next, unless its pane is to be drained.
    pub(super) fn deadline(&self) -> Option<u64> {
        match self.state {
            PaneState::Open => {
                let due = self.grid.due();
                Some(self.read_at.map_or(due, |read_at| due.min(read_at)))
            }
            PaneState::Closed(_, settled) => Some(settled),
            PaneState::Settled(_) => None,
        }
    }

    /// Whether the open pane ends.
    pub(super) fn is_due(&self) -> bool {
        self.is_open() && self.grid.due() <= self.clock.elapsed()
    }

    /// Whether no pane is to be drained.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, PaneState::Open)
    }

    /// Whether a pane was closed of which packets can still arrive.
    pub(super) fn is_settling(&self) -> bool {
        matches!(self.state, PaneState::Closed(..))
    }

    /// Has the poller report its descriptors once, unless it is read at intervals.
    pub(super) fn arm(&self, poller: &Poller, token: u64) -> io::Result<()> {
        self.live.counter.poll_fds().into_iter().try_for_each(|fd| poller.arm(fd, token))
    }

    /// Reads what is available.
    pub(super) fn read(&mut self) -> Result<()> {
        let result = self.live.counter.read(&mut self.sink);
        self.schedule_read();
        result
    }

    fn schedule_read(&mut self) {
        let interval = self.live.counter.poll_interval().map(nanoseconds);
        let now = self.clock.elapsed();
        self.read_at = interval.map(|interval| now.saturating_add(interval.unsigned_abs()));
    }

    /// Reads it as soon as the set has time.
    pub(super) fn read_soon(&mut self) {
        self.read_at = None;
    }

    /// Closes the open pane, and opens the next.
    pub(super) fn swap(&mut self) -> Result<()> {
        let now = self.clock.elapsed();
        let span = self.grid.close(now, &self.clock);
        self.live.counter.swap(self.clock.monotonic_at(self.grid.due()))?;
        let latency = nanoseconds(self.live.counter.latency()).unsigned_abs();
        self.state = PaneState::Closed(span, now.saturating_add(latency));
        Ok(())
    }

    /// Receives the last packets of the closed pane. Returns whether these are all; if not, it is to be called again
    /// at the [deadline](Member::deadline).
    pub(super) fn settle(&mut self) -> bool {
        let PaneState::Closed(span, settled) = self.state else { return false };
        if self.live.counter.settle(&mut self.sink) {
            self.state = PaneState::Settled(span);
            return true;
        }
        self.state = PaneState::Closed(span, settled.max(self.clock.elapsed()));
        false
    }

    /// Passes the closed pane to the sink. Breaks if that accepts no more.
    pub(super) fn drain(&mut self) -> Result<ControlFlow<()>> {
        let PaneState::Settled(span) = self.state else { return Ok(ControlFlow::Continue(())) };
        let started = Instant::now();
        let counts = self.live.counter.drain(span, &self.clock, &mut self.sink)?;
        self.drained_in = started.elapsed();
        self.state = PaneState::Open;
        Ok(self.sink.pane(counts))
    }

    /// Follows the wall clock if it was set, starting with the open pane. Breaks if the sink accepts no more panes.
    pub(super) fn follow_wall_clock(&mut self) -> ControlFlow<()> {
        let Some(by) = self.clock.follow_wall_clock() else { return ControlFlow::Continue(()) };
        self.live.counter.shift_times(by);
        self.sink.clock_set(by)
    }

    /// Returns the ledger of the open pane so far.
    pub(super) fn open_ledger(&self) -> Result<Ledger> {
        self.live.counter.open_ledger()
    }
}

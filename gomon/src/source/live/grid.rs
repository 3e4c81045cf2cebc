//! The grid of panes: when the panes of a counter start and end.

use super::clock::MonotonicClock;
use crate::core::Span;

/// The panes of a counter, which end at `offset + k * length` nanoseconds after the start of the clock.
#[derive(Debug)]
pub(super) struct PaneGrid {
    length: u64,
    /// The start of the open pane.
    start: u64,
    /// The end of the open pane.
    due: u64,
}

impl PaneGrid {
    /// Creates the grid of a counter that was attached `now` nanoseconds after the start of the clock. Its first pane
    /// ends at the next point of the grid, and so may be shorter than the others.
    pub(super) fn new(length: u64, offset: u64, now: u64) -> Self {
        let length = length.max(1);
        let offset = offset % length;
        // The first point of the grid after `now`.
        let due = match now.checked_sub(offset) {
            Some(since) => offset.saturating_add((since / length + 1).saturating_mul(length)),
            None => offset,
        };
        Self { length, start: now, due }
    }

    /// Returns when the open pane ends, in nanoseconds after the start of the clock.
    pub(super) fn due(&self) -> u64 {
        self.due
    }

    /// Closes the open pane, `now` nanoseconds after the start of the clock, and opens the next. Returns the span of
    /// the closed one. A pane that is closed before its end is reported with its nominal span.
    pub(super) fn close(&mut self, now: u64, clock: &MonotonicClock) -> Span {
        let late = now.saturating_sub(self.due);
        // A pane that could not be closed in time, for example because the machine was suspended, covers its real
        // length, so that its rates are correct.
        let end = if late > self.length / 100 { now } else { self.due };
        let span = Span { start: clock.wall_at(self.start), end: clock.wall_at(end) };
        self.start = self.due.saturating_add(late / self.length * self.length);
        self.due = self.start.saturating_add(self.length);
        span
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Nanoseconds after the start of `clock`.
    fn since_start(clock: &MonotonicClock, span: Span) -> (i64, i64) {
        let start = clock.wall_at(0);
        (span.start.since(start), span.end.since(start))
    }

    proptest! {
        #[test]
        fn panes_end_on_the_grid_and_follow_each_other(
            length in 1u64..1000,
            offset in 0u64..2000,
            attached in 0u64..5000,
            delays in prop::collection::vec(prop_oneof![Just(0u64), 0u64..5000], 1..20),
        ) {
            let clock = MonotonicClock::start();
            let mut grid = PaneGrid::new(length, offset, attached);
            prop_assert!(grid.due() > attached && grid.due() - attached <= length);
            let mut next_start = attached;
            for delay in delays {
                let due = grid.due();
                prop_assert_eq!(due % length, offset % length);
                let now = due + delay;
                let (start, end) = since_start(&clock, grid.close(now, &clock));
                prop_assert_eq!(start.unsigned_abs(), next_start);
                prop_assert_eq!(end.unsigned_abs(), if delay > length / 100 { now } else { due });
                // The open pane contains the present.
                prop_assert!(grid.due() > now && grid.due() - length <= now);
                next_start = grid.due() - length;
            }
        }
    }

    #[test]
    fn a_pane_closed_early_has_its_nominal_span() {
        let clock = MonotonicClock::start();
        let mut grid = PaneGrid::new(100, 0, 0);
        assert_eq!(since_start(&clock, grid.close(30, &clock)), (0, 100));
    }
}

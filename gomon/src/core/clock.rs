//! Assigns replayed frames to panes by their timestamps, which may be wrong.

use super::{Span, Timestamp};

/// The largest jump ahead, in windows, that needs no confirmation.
const MAX_JUMP_WINDOWS: i64 = 1000;

/// The pane of a frame, relative to the open pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanePosition {
    /// The open pane.
    Current,
    /// The open pane; the timestamp is up to one window before it.
    Late,
    /// A later pane, this many panes ahead (1 is the next). [`PaneClock::advance`] opens it.
    Ahead(u64),
    /// The first pane of a new grid that starts at this time: the clock was set back. [`PaneClock::set_back`]
    /// opens it.
    SetBack(Timestamp),
    /// The open pane; the timestamp is implausible.
    Implausible,
    /// Unknown until later frames confirm the timestamp: see [`UnconfirmedFrames`](super::UnconfirmedFrames).
    Unconfirmed,
}

/// The clock of a replay, which follows the timestamps of the frames.
///
/// The first timestamp anchors the grid: panes start at `start + k * step`.
#[derive(Clone, Debug)]
pub struct PaneClock {
    step: i64,
    window: i64,
    /// The largest jump ahead that needs no confirmation, in nanoseconds.
    max_jump: i64,
    is_anchored: bool,
    /// Whether two accepted timestamps differed.
    varies: bool,
    pane: Span,
    /// The span for [`PaneClock::is_current`]: the open pane, or, while all timestamps are equal, that timestamp
    /// alone, so that the first different one reaches [`PaneClock::locate`].
    current: Span,
}

impl PaneClock {
    /// Creates a clock with panes of `step` and windows of `window` nanoseconds.
    #[must_use]
    pub fn new(step: i64, window: i64) -> Self {
        Self {
            step: step.max(1),
            window,
            max_jump: window.saturating_mul(MAX_JUMP_WINDOWS),
            is_anchored: false,
            varies: false,
            pane: Span::default(),
            current: Span::default(),
        }
    }

    /// Returns the open pane; until a frame has a timestamp, the pane that starts at the epoch.
    #[must_use]
    pub fn pane(&self) -> Span {
        if self.is_anchored { self.pane } else { Span::starting(Timestamp::default(), self.step) }
    }

    /// Returns the length of a window, in nanoseconds.
    #[must_use]
    pub fn window(&self) -> i64 {
        self.window
    }

    /// Whether a timestamp has anchored the grid.
    #[must_use]
    pub fn is_anchored(&self) -> bool {
        self.is_anchored
    }

    /// Whether all accepted timestamps are equal, so that the rate of the frames is unknown.
    #[must_use]
    pub fn timestamps_are_constant(&self) -> bool {
        !self.varies
    }

    /// Whether a frame with this timestamp is in the open pane. May be false for one that is; then
    /// [`PaneClock::locate`] has to be called.
    #[inline]
    #[must_use]
    pub fn is_current(&self, time: Timestamp) -> bool {
        self.current.start <= time && time < self.current.end
    }

    /// Returns the pane of a frame with this timestamp. A frame without one is in the pane of the frame before it.
    #[inline]
    pub fn locate(&mut self, time: Option<Timestamp>) -> PanePosition {
        let Some(time) = time else { return PanePosition::Current };
        if !self.is_anchored {
            self.is_anchored = true;
            self.pane = Span::starting(time, self.step);
            self.current = Span::starting(time, 1);
        }
        if self.is_current(time) {
            return PanePosition::Current;
        }
        if !self.continues(self.pane.start, time) {
            return PanePosition::Unconfirmed;
        }
        self.varies |= time != self.pane.start;
        self.current = self.pane;
        let ahead = time.since(self.pane.start);
        match (ahead / self.step).unsigned_abs() {
            _ if ahead < 0 => PanePosition::Late,
            0 => PanePosition::Current, // the first different timestamp, or a pane that ends at the largest timestamp
            panes => PanePosition::Ahead(panes),
        }
    }

    /// Whether the timestamp `next` of a later frame confirms an unconfirmed one. A jump ahead is confirmed by a
    /// timestamp that is nearer to it than to the open pane. A jump back is confirmed by a timestamp that is more
    /// than one window back too, and either nearer to it or [continues](Self::continues) from it.
    #[must_use]
    pub fn confirms(&self, unconfirmed: Timestamp, next: Timestamp) -> bool {
        let halfway = self.pane.start.after(unconfirmed.since(self.pane.start) / 2);
        if unconfirmed >= self.pane.start {
            return next >= halfway;
        }
        let is_back = self.pane.start.since(next) > self.window;
        is_back && (next < halfway || self.continues(unconfirmed, next))
    }

    /// Whether the timestamp `next` continues from `first` without a jump that needs confirmation: of more than one
    /// window back, or more than 1000 windows ahead.
    #[must_use]
    pub fn continues(&self, first: Timestamp, next: Timestamp) -> bool {
        (-self.window..=self.max_jump).contains(&next.since(first))
    }

    /// Returns the number of panes from the open one to the one with `time`, without a limit.
    #[must_use]
    pub fn panes_to(&self, time: Timestamp) -> u64 {
        (time.since(self.pane.start).max(0) / self.step).unsigned_abs()
    }

    /// Opens the pane that is `panes` ahead.
    pub fn advance(&mut self, panes: u64) {
        let length = i64::try_from(panes).unwrap_or(i64::MAX).saturating_mul(self.step);
        self.open(self.pane.start.after(length));
    }

    /// Starts a new grid at `start`.
    pub fn set_back(&mut self, start: Timestamp) {
        self.open(start);
    }

    fn open(&mut self, start: Timestamp) {
        self.varies = true;
        self.pane = Span::starting(start, self.step);
        self.current = self.pane;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "the argument type of the clock")]
    fn at(nanoseconds: i64) -> Option<Timestamp> {
        Some(Timestamp::from_nanoseconds(nanoseconds))
    }

    #[test]
    fn the_first_frame_anchors_the_grid_and_time_never_steps_back() {
        let mut clock = PaneClock::new(10, 10);
        assert_eq!(clock.locate(None), PanePosition::Current);
        assert_eq!(clock.locate(at(1003)), PanePosition::Current);
        assert_eq!(clock.locate(at(1012)), PanePosition::Current);
        assert_eq!(clock.locate(at(1013)), PanePosition::Ahead(1));
        clock.advance(1);
        assert_eq!(clock.locate(at(1012)), PanePosition::Late);
        assert_eq!(clock.locate(at(1045)), PanePosition::Ahead(3));
        assert_eq!(clock.locate(None), PanePosition::Current);
    }

    #[test]
    fn a_jump_of_more_than_a_thousand_windows_ahead_or_one_back_is_unconfirmed() {
        let mut clock = PaneClock::new(10, 10);
        assert_eq!(clock.locate(at(0)), PanePosition::Current);
        assert_eq!(clock.locate(at(10_000)), PanePosition::Ahead(1000));
        assert_eq!(clock.locate(at(10_001)), PanePosition::Unconfirmed);
        let ahead = Timestamp::from_nanoseconds(1_000_000);
        assert!(!clock.confirms(ahead, Timestamp::from_nanoseconds(15)));
        assert!(clock.confirms(ahead, Timestamp::from_nanoseconds(999_999)));
        assert_eq!(clock.panes_to(ahead), 100_000);

        assert_eq!(clock.locate(at(-10)), PanePosition::Late);
        assert_eq!(clock.locate(at(-11)), PanePosition::Unconfirmed);
        let back = Timestamp::from_nanoseconds(-100);
        assert!(clock.confirms(back, Timestamp::from_nanoseconds(-11)));
        assert!(!clock.confirms(back, Timestamp::from_nanoseconds(-10)));
        let further = Timestamp::from_nanoseconds(-1_000_000);
        assert!(!clock.confirms(further, back));
        assert!(clock.confirms(further, Timestamp::from_nanoseconds(-600_000)));
        clock.set_back(back);
        assert_eq!(clock.locate(at(-91)), PanePosition::Current);
        assert_eq!(clock.locate(at(-90)), PanePosition::Ahead(1));
    }

    #[test]
    fn timestamps_are_constant_until_a_different_one_is_accepted() {
        for (other, moves) in [(1, true), (10, true), (-10, true), (-11, false), (10_001, false)] {
            let mut clock = PaneClock::new(10, 10);
            for time in [None, at(0), at(0), None] {
                clock.locate(time);
                assert!(clock.timestamps_are_constant());
            }
            assert!(
                !clock.is_current(Timestamp::from_nanoseconds(1)),
                "otherwise it would not be located"
            );
            clock.locate(at(other));
            assert_eq!(!clock.timestamps_are_constant(), moves, "{other}");
        }
    }

    proptest! {
        #[test]
        fn the_open_pane_stays_on_the_grid_and_contains_the_located_frame(
            times in prop::collection::vec(any::<i64>(), 1..50),
            step in 1i64..1_000_000_000_000,
        ) {
            let mut clock = PaneClock::new(step, step);
            for &time in &times {
                let before = clock.pane();
                match clock.locate(at(time)) {
                    PanePosition::Ahead(panes) => {
                        prop_assert!(panes > 0);
                        clock.advance(panes);
                        prop_assert!(clock.pane().start.nanoseconds() <= time);
                        prop_assert!(time <= clock.pane().end.nanoseconds());
                    }
                    PanePosition::Current | PanePosition::Late | PanePosition::Unconfirmed => {
                        prop_assert!(before.start == clock.pane().start || before.start == Timestamp::default());
                    }
                    PanePosition::SetBack(_) | PanePosition::Implausible => prop_assert!(false, "only later frames decide that"),
                }
            }
        }
    }
}

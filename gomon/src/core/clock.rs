//! Which pane of time a replayed frame falls into, when timestamps may lie.

use super::{Span, Timestamp};

/// Windows a timestamp may lie ahead of the clock and be believed at once.
const BELIEVED_WINDOWS: i64 = 1000;

/// Where a frame belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanePosition {
    /// Into the open pane.
    Current,
    /// Into the open pane, though its timestamp lies up to one window before it.
    Late,
    /// So many panes ahead (1 is the next). The clock moves with [`PaneClock::advance`].
    Ahead(u64),
    /// Into the first pane of a new grid, which starts here: the clock was set back. It moves with
    /// [`PaneClock::set_back`].
    SetBack(Timestamp),
    /// Into the open pane, for its timestamp is not believed.
    Implausible,
    /// Not known before the frames after it: see [`UnconfirmedFrames`](super::UnconfirmedFrames).
    Unconfirmed,
}

/// The clock of a replay. It follows the frames' timestamps.
///
/// The first timestamp it sees anchors the grid: panes lie at `start + k * step`.
#[derive(Clone, Debug)]
pub struct PaneClock {
    step: i64,
    window: i64,
    believed: i64,
    is_anchored: bool,
    /// Whether two believed timestamps differed.
    varies: bool,
    pane: Span,
    /// What [`PaneClock::is_current`] compares with: the open pane, and as long as no timestamps differ this
    /// one alone, so that the first other one does not go unnoticed.
    current: Span,
}

impl PaneClock {
    /// A clock whose panes and windows are so many nanoseconds long.
    #[must_use]
    pub fn new(step: i64, window: i64) -> Self {
        Self {
            step: step.max(1),
            window,
            believed: window.saturating_mul(BELIEVED_WINDOWS),
            is_anchored: false,
            varies: false,
            pane: Span::default(),
            current: Span::default(),
        }
    }

    /// The open pane; the first one of the epoch as long as no frame had a timestamp.
    #[must_use]
    pub fn pane(&self) -> Span {
        if self.is_anchored { self.pane } else { Span::starting(Timestamp::default(), self.step) }
    }

    /// The length of a window, in nanoseconds.
    #[must_use]
    pub fn window(&self) -> i64 {
        self.window
    }

    /// Whether a timestamp has anchored the grid.
    #[must_use]
    pub fn is_anchored(&self) -> bool {
        self.is_anchored
    }

    /// Whether it never believed two timestamps that differ, so that nothing is known of how fast frames
    /// came.
    #[must_use]
    pub fn stands_still(&self) -> bool {
        !self.varies
    }

    /// Whether a frame with this timestamp belongs into the open pane, as far as that is to be
    /// seen at once.
    #[inline]
    #[must_use]
    pub fn is_current(&self, time: Timestamp) -> bool {
        self.current.start <= time && time < self.current.end
    }

    /// Where a frame with this timestamp belongs; one without belongs where the frame before it does.
    #[inline]
    pub fn place(&mut self, time: Option<Timestamp>) -> PanePosition {
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
            0 => PanePosition::Current, // the first other timestamp, or the pane reaches the end of time
            panes => PanePosition::Ahead(panes),
        }
    }

    /// Whether a frame's timestamp, `next`, confirms the doubtful one before it. One ahead is confirmed by
    /// what is nearer to it than to the open pane. One that lies back, by what lies more than one window
    /// back too, and is nearer to it as well, or goes on from it.
    #[must_use]
    pub fn confirms(&self, doubtful: Timestamp, next: Timestamp) -> bool {
        let halfway = self.pane.start.after(doubtful.since(self.pane.start) / 2);
        if doubtful >= self.pane.start {
            return next >= halfway;
        }
        let is_back = self.pane.start.since(next) > self.window;
        is_back && (next < halfway || self.continues(doubtful, next))
    }

    /// Whether a frame with timestamp `next` goes on from `first` without a jump that is in doubt: of more
    /// than one window back, or more than 1000 ahead.
    #[must_use]
    pub fn continues(&self, first: Timestamp, next: Timestamp) -> bool {
        (-self.window..=self.believed).contains(&next.since(first))
    }

    /// Panes from the open one to the one `time` lies in, however far.
    #[must_use]
    pub fn panes_to(&self, time: Timestamp) -> u64 {
        (time.since(self.pane.start).max(0) / self.step).unsigned_abs()
    }

    /// Moves on by `panes`.
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

    #[expect(clippy::unnecessary_wraps, reason = "what the clock takes")]
    fn at(nanoseconds: i64) -> Option<Timestamp> {
        Some(Timestamp::from_nanoseconds(nanoseconds))
    }

    #[test]
    fn the_first_frame_anchors_the_grid_and_time_never_steps_back() {
        let mut clock = PaneClock::new(10, 10);
        assert_eq!(clock.place(None), PanePosition::Current);
        assert_eq!(clock.place(at(1003)), PanePosition::Current);
        assert_eq!(clock.place(at(1012)), PanePosition::Current);
        assert_eq!(clock.place(at(1013)), PanePosition::Ahead(1));
        clock.advance(1);
        assert_eq!(clock.place(at(1012)), PanePosition::Late);
        assert_eq!(clock.place(at(1045)), PanePosition::Ahead(3));
        assert_eq!(clock.place(None), PanePosition::Current);
    }

    #[test]
    fn a_jump_of_more_than_a_thousand_windows_ahead_or_one_back_is_in_doubt() {
        let mut clock = PaneClock::new(10, 10);
        assert_eq!(clock.place(at(0)), PanePosition::Current);
        assert_eq!(clock.place(at(10_000)), PanePosition::Ahead(1000));
        assert_eq!(clock.place(at(10_001)), PanePosition::Unconfirmed);
        let ahead = Timestamp::from_nanoseconds(1_000_000);
        assert!(!clock.confirms(ahead, Timestamp::from_nanoseconds(15)));
        assert!(clock.confirms(ahead, Timestamp::from_nanoseconds(999_999)));
        assert_eq!(clock.panes_to(ahead), 100_000);

        assert_eq!(clock.place(at(-10)), PanePosition::Late);
        assert_eq!(clock.place(at(-11)), PanePosition::Unconfirmed);
        let back = Timestamp::from_nanoseconds(-100);
        assert!(clock.confirms(back, Timestamp::from_nanoseconds(-11)));
        assert!(!clock.confirms(back, Timestamp::from_nanoseconds(-10)));
        let farther = Timestamp::from_nanoseconds(-1_000_000);
        assert!(!clock.confirms(farther, back));
        assert!(clock.confirms(farther, Timestamp::from_nanoseconds(-600_000)));
        clock.set_back(back);
        assert_eq!(clock.place(at(-91)), PanePosition::Current);
        assert_eq!(clock.place(at(-90)), PanePosition::Ahead(1));
    }

    #[test]
    fn a_clock_stands_still_until_it_believes_another_timestamp() {
        for (other, moves) in [(1, true), (10, true), (-10, true), (-11, false), (10_001, false)] {
            let mut clock = PaneClock::new(10, 10);
            for time in [None, at(0), at(0), None] {
                clock.place(time);
                assert!(clock.stands_still());
            }
            assert!(!clock.is_current(Timestamp::from_nanoseconds(1)), "it would go unnoticed");
            clock.place(at(other));
            assert_eq!(!clock.stands_still(), moves, "{other}");
        }
    }

    proptest! {
        #[test]
        fn the_open_pane_stays_on_the_grid_and_holds_what_is_placed(
            times in prop::collection::vec(any::<i64>(), 1..50),
            step in 1i64..1_000_000_000_000,
        ) {
            let mut clock = PaneClock::new(step, step);
            for &time in &times {
                let before = clock.pane();
                match clock.place(at(time)) {
                    PanePosition::Ahead(panes) => {
                        prop_assert!(panes > 0);
                        clock.advance(panes);
                        prop_assert!(clock.pane().start.nanoseconds() <= time);
                        prop_assert!(time <= clock.pane().end.nanoseconds());
                    }
                    PanePosition::Current | PanePosition::Late | PanePosition::Unconfirmed => {
                        prop_assert!(before.start == clock.pane().start || before.start == Timestamp::default());
                    }
                    PanePosition::SetBack(_) | PanePosition::Implausible => prop_assert!(false, "only the frames behind tell that"),
                }
            }
        }
    }
}

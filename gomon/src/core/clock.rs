//! Which pane of time a replayed frame falls into, when timestamps may lie.

use super::{Span, Timestamp};

/// Windows a timestamp may lie ahead of the clock and be believed at once.
const BELIEVED_WINDOWS: i64 = 1000;

/// Where a frame belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into the open pane.
    Current,
    /// Into the open pane, though its timestamp lies before it.
    Late,
    /// So many panes ahead (1 is the next). The clock moves with [`Clock::advance`].
    Ahead(u64),
    /// Nobody knows before the next frame: see [`Clock::confirms`].
    Wild,
}

/// The clock of a replay. It follows the frames' timestamps and never steps back.
///
/// The first timestamp it sees anchors the grid: panes lie at `start + k * step`.
#[derive(Clone, Debug)]
pub struct Clock {
    step: i64,
    believed: i64,
    start: Option<Timestamp>,
    pane: Span,
}

impl Clock {
    /// A clock whose panes and windows are so many nanoseconds long.
    #[must_use]
    pub fn new(step: i64, window: i64) -> Self {
        Self {
            step: step.max(1),
            believed: window.saturating_mul(BELIEVED_WINDOWS),
            start: None,
            pane: Span::default(),
        }
    }

    /// The open pane; the first one of the epoch as long as no frame had a timestamp.
    #[must_use]
    pub fn pane(&self) -> Span {
        if self.start.is_some() {
            self.pane
        } else {
            Span::starting(Timestamp::default(), self.step)
        }
    }

    /// Whether a frame with this timestamp belongs into the open pane, as far as that is to be
    /// seen at once.
    #[inline]
    #[must_use]
    pub fn is_current(&self, time: Timestamp) -> bool {
        self.pane.start <= time && time < self.pane.end
    }

    /// Where a frame with this timestamp belongs; one without belongs where the frame before it does.
    #[inline]
    pub fn place(&mut self, time: Option<Timestamp>) -> Place {
        let Some(time) = time else { return Place::Current };
        if self.start.is_none() {
            self.start = Some(time);
            self.pane = Span::starting(time, self.step);
        }
        if self.is_current(time) {
            return Place::Current;
        }
        if time < self.pane.start {
            return Place::Late;
        }
        let ahead = time.since(self.pane.start);
        if ahead > self.believed {
            return Place::Wild;
        }
        match (ahead / self.step).unsigned_abs() {
            0 => Place::Current, // the pane reaches the end of time
            panes => Place::Ahead(panes),
        }
    }

    /// Whether a frame's timestamp, `next`, bears out the wild one before it: it is nearer to it than
    /// to the open pane. A frame without a timestamp was captured with the one before it.
    #[must_use]
    pub fn confirms(&self, wild: Timestamp, next: Option<Timestamp>) -> bool {
        next.is_none_or(|next| next >= self.pane.start.after(wild.since(self.pane.start) / 2))
    }

    /// Panes from the open one to the one `time` lies in, however far.
    #[must_use]
    pub fn panes_to(&self, time: Timestamp) -> u64 {
        (time.since(self.pane.start).max(0) / self.step).unsigned_abs()
    }

    /// Moves on by `panes`.
    pub fn advance(&mut self, panes: u64) {
        let length = i64::try_from(panes).unwrap_or(i64::MAX).saturating_mul(self.step);
        self.pane = Span::starting(self.pane.start.after(length), self.step);
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
        let mut clock = Clock::new(10, 10);
        assert_eq!(clock.place(None), Place::Current);
        assert_eq!(clock.place(at(1003)), Place::Current);
        assert_eq!(clock.place(at(1012)), Place::Current);
        assert_eq!(clock.place(at(1013)), Place::Ahead(1));
        clock.advance(1);
        assert_eq!(clock.place(at(1012)), Place::Late);
        assert_eq!(clock.place(at(1045)), Place::Ahead(3));
        assert_eq!(clock.place(None), Place::Current);
    }

    #[test]
    fn a_jump_beyond_a_thousand_windows_waits_for_the_next_frame() {
        let mut clock = Clock::new(10, 10);
        assert_eq!(clock.place(at(0)), Place::Current);
        assert_eq!(clock.place(at(10_000)), Place::Ahead(1000));
        assert_eq!(clock.place(at(10_001)), Place::Wild);
        let wild = Timestamp::from_nanoseconds(1_000_000);
        assert!(!clock.confirms(wild, at(15)));
        assert!(clock.confirms(wild, at(999_999)));
        assert!(clock.confirms(wild, None));
        assert_eq!(clock.panes_to(wild), 100_000);
    }

    proptest! {
        #[test]
        fn the_open_pane_stays_on_the_grid_and_holds_what_is_placed(
            times in prop::collection::vec(any::<i64>(), 1..50),
            step in 1i64..1_000_000_000_000,
        ) {
            let mut clock = Clock::new(step, step);
            for &time in &times {
                let before = clock.pane();
                match clock.place(at(time)) {
                    Place::Ahead(panes) => {
                        prop_assert!(panes > 0);
                        clock.advance(panes);
                        prop_assert!(clock.pane().start.nanoseconds() <= time);
                        prop_assert!(time <= clock.pane().end.nanoseconds());
                    }
                    Place::Current | Place::Late | Place::Wild => {
                        prop_assert!(before.start == clock.pane().start || before.start == Timestamp::default());
                    }
                }
            }
        }
    }
}

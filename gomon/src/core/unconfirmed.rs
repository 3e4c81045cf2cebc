//! Holds back frames with unconfirmed timestamps until later frames decide which pane they are in.
//!
//! The first timestamps of a capture are unconfirmed, because the grid of all windows starts at one of them. Later,
//! a timestamp is unconfirmed if it jumps too far. Frames after an unconfirmed one are held back too, so that
//! frames are counted in the order of the capture.
//!
//! | unconfirmed timestamp | rule | otherwise |
//! | --- | --- | --- |
//! | the first nine | the grid starts at the one that most of the others continue from, at the earliest of several | those before it that are outside its pane are implausible |
//! | a jump of more than 1000 windows ahead | confirmed if each of the following eight is nearer to it than to the open pane | it is implausible |
//! | a jump of more than one window back | confirmed if each of the following eight is more than one window back too, and is nearer to it or makes no such jump from it; then a new grid starts there | it is implausible |
//!
//! If fewer than eight frames follow before the end, these decide; at least one is needed. Frames without a timestamp
//! neither confirm nor refute, and are counted with the frame before them.

use std::collections::VecDeque;

use super::{PaneClock, PanePosition, Timestamp};

/// The number of frames after an unconfirmed one that confirm it.
const CONFIRMING_FRAMES: usize = 8;

/// Whether more frames follow those that are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookahead {
    /// More frames may follow immediately.
    More,
    /// No frame follows for a while: the frames held back so far decide, if one of them confirms or refutes.
    Paused,
    /// The capture has ended.
    End,
}

/// The frames that are held back, [`UnconfirmedFrames::MAX`] at most, each with its timestamp.
#[derive(Debug)]
pub struct UnconfirmedFrames<F> {
    held_back: VecDeque<(Option<Timestamp>, F)>,
    /// The number of those that are before the frame that anchored the grid.
    before_anchor: usize,
}

impl<F> Default for UnconfirmedFrames<F> {
    fn default() -> Self {
        Self { held_back: VecDeque::new(), before_anchor: 0 }
    }
}

impl<F> UnconfirmedFrames<F> {
    /// The most frames that are held back: an unconfirmed one, and those that confirm it.
    pub const MAX: usize = 1 + CONFIRMING_FRAMES;

    /// Whether no frame is held back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held_back.is_empty()
    }

    /// Returns the first frame that is held back.
    #[must_use]
    pub fn first(&self) -> Option<&F> {
        self.held_back.front().map(|(_, frame)| frame)
    }

    /// Returns the pane of a frame, or `None` if the frame must be held back with [`Self::push`].
    #[inline]
    pub fn locate(&self, time: Option<Timestamp>, clock: &mut PaneClock) -> Option<PanePosition> {
        if !self.is_empty() || (time.is_some() && !clock.is_anchored()) {
            return None;
        }
        Some(clock.locate(time)).filter(|pane| *pane != PanePosition::Unconfirmed)
    }

    /// Holds back a frame. After that, call [`Self::pop`] until it returns `None`.
    pub fn push(&mut self, time: Option<Timestamp>, frame: F) {
        self.held_back.push_back((time, frame));
    }

    /// Returns the first frame that is held back, and its pane, if the pane is decided. The caller must move the
    /// clock to that pane before the next call.
    pub fn pop(
        &mut self,
        clock: &mut PaneClock,
        lookahead: Lookahead,
    ) -> Option<(PanePosition, F)> {
        let (time, _) = self.held_back.front()?;
        let time = *time;
        let must_decide = lookahead != Lookahead::More || self.held_back.len() == Self::MAX;
        if time.is_some() && !clock.is_anchored() {
            if !must_decide {
                return None;
            }
            self.before_anchor = self.anchor(clock);
        }
        let pane = match (time, clock.locate(time)) {
            (_, PanePosition::Current) => PanePosition::Current,
            _ if self.before_anchor > 0 => PanePosition::Implausible,
            (Some(time), PanePosition::Unconfirmed) => {
                self.decide(time, clock, must_decide, lookahead)?
            }
            (_, pane) => pane,
        };
        self.before_anchor = self.before_anchor.saturating_sub(1);
        self.held_back.pop_front().map(|(_, frame)| (pane, frame))
    }

    /// Anchors the grid at one of the frames, and returns how many are held back before it.
    fn anchor(&self, clock: &mut PaneClock) -> usize {
        let times = || self.held_back.iter().map(|(time, _)| *time).enumerate();
        let mut best = (0, 0);
        for (number, first) in times() {
            let Some(first) = first else { continue };
            let continues =
                |next: Option<Timestamp>| next.is_some_and(|t| clock.continues(first, t));
            let followers = times().skip(number + 1).filter(|(_, next)| continues(*next)).count();
            if followers > best.1 {
                best = (number, followers);
            }
        }
        clock.locate(self.held_back.get(best.0).and_then(|(time, _)| *time));
        best.0
    }

    /// Returns the pane of the first frame, with an unconfirmed timestamp, if that can be decided.
    fn decide(
        &self,
        time: Timestamp,
        clock: &PaneClock,
        must_decide: bool,
        lookahead: Lookahead,
    ) -> Option<PanePosition> {
        let mut later = self.held_back.iter().skip(1).filter_map(|(time, _)| *time).peekable();
        if later.peek().is_none() {
            let is_full = self.held_back.len() == Self::MAX;
            return (lookahead == Lookahead::End || is_full).then_some(PanePosition::Implausible);
        }
        if later.any(|next| !clock.confirms(time, next)) {
            return Some(PanePosition::Implausible);
        }
        must_decide.then(|| match clock.panes_to(time) {
            0 => PanePosition::SetBack(time),
            panes => PanePosition::Ahead(panes),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: i64 = 20;

    /// Returns the position of each frame, with the start of the pane it is counted in (the epoch before any).
    fn positions(
        times: &[Option<i64>],
        step: i64,
        pause: impl Fn(usize) -> bool,
    ) -> Vec<(PanePosition, i64)> {
        let mut clock = PaneClock::new(step, WINDOW);
        let mut unconfirmed = UnconfirmedFrames::default();
        let mut positions = Vec::new();
        let mut add = |pane: PanePosition, clock: &mut PaneClock| {
            match pane {
                PanePosition::Ahead(panes) => clock.advance(panes),
                PanePosition::SetBack(start) => clock.set_back(start),
                PanePosition::Current | PanePosition::Late | PanePosition::Implausible => {}
                PanePosition::Unconfirmed => panic!("the pane is not decided"),
            }
            positions.push((pane, clock.pane().start.nanoseconds()));
        };
        for (number, time) in times.iter().enumerate() {
            let time = time.map(Timestamp::from_nanoseconds);
            if let Some(pane) = unconfirmed.locate(time, &mut clock) {
                add(pane, &mut clock);
                continue;
            }
            unconfirmed.push(time, ());
            let lookahead = if pause(number) { Lookahead::Paused } else { Lookahead::More };
            while let Some((pane, ())) = unconfirmed.pop(&mut clock, lookahead) {
                add(pane, &mut clock);
            }
            assert!(
                unconfirmed.held_back.len() <= CONFIRMING_FRAMES,
                "with one more the first is decided"
            );
        }
        while let Some((pane, ())) = unconfirmed.pop(&mut clock, Lookahead::End) {
            add(pane, &mut clock);
        }
        positions
    }

    /// A naive implementation of the documentation, which has the whole capture.
    fn naive(times: &[Option<i64>], step: i64) -> Vec<(PanePosition, i64)> {
        let following = |number: usize| times.iter().skip(number + 1).take(CONFIRMING_FRAMES);
        let Some(first) = times.iter().position(Option::is_some) else {
            return vec![(PanePosition::Current, 0); times.len()];
        };
        let nine = first..times.len().min(first + 1 + CONFIRMING_FRAMES);
        let followers = |number: usize| {
            let mut count = 0;
            for next in times[nine.clone()].iter().skip(number + 1 - first).flatten() {
                let ahead = next - times[number].unwrap_or(i64::MAX / 2);
                count += i32::from((-WINDOW..=1000 * WINDOW).contains(&ahead));
            }
            count
        };
        let candidates = nine.clone().filter(|number| times[*number].is_some());
        let anchor = candidates.rev().max_by_key(|number| followers(*number)).unwrap();
        let mut pane = times[anchor].unwrap();
        let mut positions = vec![(PanePosition::Current, 0); first];
        for (number, time) in times.iter().enumerate().skip(first) {
            let time = time.unwrap_or(pane);
            let ahead = time - pane;
            let position = if (0..step).contains(&ahead) {
                PanePosition::Current
            } else if number < anchor {
                PanePosition::Implausible
            } else if (-WINDOW..0).contains(&ahead) {
                PanePosition::Late
            } else if (0..=1000 * WINDOW).contains(&ahead) {
                PanePosition::Ahead((ahead / step).unsigned_abs())
            } else {
                let near = |next: i64| (next - time).abs() < (next - pane).abs();
                let halfway = |next: i64| next - pane == time - next;
                let continues = |next: i64| next >= time - WINDOW && next <= time + 1000 * WINDOW;
                let confirms = |next: &i64| match *next {
                    next if ahead > 0 => near(next) || halfway(next),
                    next => pane - next > WINDOW && (near(next) || continues(next)),
                };
                let mut later = following(number).flatten().peekable();
                if later.peek().is_none() || !later.all(confirms) {
                    PanePosition::Implausible
                } else if ahead < 0 {
                    PanePosition::SetBack(Timestamp::from_nanoseconds(time))
                } else {
                    PanePosition::Ahead((ahead / step).unsigned_abs())
                }
            };
            match position {
                PanePosition::Ahead(_) => pane += ahead / step * step,
                PanePosition::SetBack(_) => pane = time,
                PanePosition::Current
                | PanePosition::Late
                | PanePosition::Implausible
                | PanePosition::Unconfirmed => {}
            }
            positions.push((position, pane));
        }
        positions
    }

    /// Even timestamps, so that the midpoint of two is a timestamp: of clocks that run, are set, and are wrong.
    fn times() -> impl Strategy<Value = Vec<Option<i64>>> {
        let far = prop::sample::select(vec![0, 40, 400, 30_000, 1_000_000]);
        let error = (far.clone(), any::<bool>()).prop_map(|(by, back)| if back { -by } else { by });
        let frame = (
            0..12i64,
            prop::option::weighted(0.15, error.clone()),
            prop::option::weighted(0.1, error),
        );
        let frame = (frame, prop::bool::weighted(0.95));
        prop::collection::vec(frame, 0..60).prop_map(|frames| {
            let mut clock = 0;
            let times = frames.into_iter().map(|((gap, set, error), is_timed)| {
                clock += 2 * gap + set.unwrap_or(0);
                is_timed.then_some(clock + error.unwrap_or(0))
            });
            times.collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn frames_are_located_as_documented(times in times(), step in prop::sample::select(vec![4, 10, 20])) {
            prop_assert_eq!(positions(&times, step, |_| false), naive(&times, step));
        }

        #[test]
        fn a_pause_decides_like_the_end_if_no_unconfirmed_frame_follows(times in times()) {
            // At a pause the frames so far are decided as at the end, except one that no frame follows.
            let last = times.len().saturating_sub(1);
            let (paused, ended) = (positions(&times, 10, |number| number == last), naive(&times, 10));
            prop_assert_eq!(paused, ended);
        }
    }

    #[test]
    fn a_pause_decides_the_first_frame_and_leaves_a_lone_jump_unconfirmed() {
        let mut clock = PaneClock::new(10, WINDOW);
        let mut unconfirmed = UnconfirmedFrames::default();
        unconfirmed.push(Some(Timestamp::from_nanoseconds(1000)), 1);
        assert_eq!(unconfirmed.pop(&mut clock, Lookahead::More), None);
        assert_eq!(
            unconfirmed.pop(&mut clock, Lookahead::Paused),
            Some((PanePosition::Current, 1))
        );
        unconfirmed.push(Some(Timestamp::from_nanoseconds(0)), 2);
        assert_eq!(unconfirmed.pop(&mut clock, Lookahead::Paused), None);
        unconfirmed.push(Some(Timestamp::from_nanoseconds(4)), 3);
        assert_eq!(unconfirmed.pop(&mut clock, Lookahead::More), None);
        let back = PanePosition::SetBack(Timestamp::from_nanoseconds(0));
        assert_eq!(unconfirmed.pop(&mut clock, Lookahead::Paused), Some((back, 2)));
    }
}

//! Frames whose timestamps are in doubt, until those behind them settle where they belong.
//!
//! A capture begins with some, since its first timestamp decides where all windows lie; then a jump that
//! is too far to be believed at once makes one. Frames behind one in doubt wait too, so that they are
//! counted in the order of the capture.
//!
//! | in doubt | is believed when | otherwise |
//! | --- | --- | --- |
//! | the first timestamps | the grid starts at the one that most of the nine go on from, the earliest of several | those before it that lie outside its window are implausible |
//! | a jump of more than 1000 windows ahead | each of the eight behind it is nearer to it than to the open window | it is implausible |
//! | a jump of more than one window back | each of the eight is more than one window back too, and nearer to it as well or no such jump from it; then a new grid starts there | it is implausible |
//!
//! Where fewer are behind it at the end, they have to do, but there has to be one. Frames without a
//! timestamp say neither, and stay with the frame before them.

use std::collections::VecDeque;

use super::{PaneClock, PanePosition, Timestamp};

/// Frames behind one in doubt that are waited for.
const WITNESSES: usize = 8;

/// How much of the capture is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// There may be more at once.
    SoFar,
    /// There will be no more for a while: what is there has to do, if it says anything.
    ForNow,
    /// All of it.
    All,
}

/// Frames that wait, [`UnconfirmedFrames::MOST`] at most, each with its timestamp.
#[derive(Debug)]
pub struct UnconfirmedFrames<F> {
    waiting: VecDeque<(Option<Timestamp>, F)>,
    /// Of those, the ones before the frame that anchored the grid.
    before_anchor: usize,
}

impl<F> Default for UnconfirmedFrames<F> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), before_anchor: 0 }
    }
}

impl<F> UnconfirmedFrames<F> {
    /// Frames that wait at once: one in doubt, and those that are asked about it.
    pub const MOST: usize = 1 + WITNESSES;

    /// Whether no frame waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Where a frame belongs, or `None` when it has to [wait](Self::wait).
    #[inline]
    pub fn place(&self, time: Option<Timestamp>, clock: &mut PaneClock) -> Option<PanePosition> {
        if !self.is_empty() || (time.is_some() && !clock.is_anchored()) {
            return None;
        }
        Some(clock.place(time)).filter(|place| *place != PanePosition::Unconfirmed)
    }

    /// Has a frame wait. After that [`Self::next`] is to be asked until there is none.
    pub fn wait(&mut self, time: Option<Timestamp>, frame: F) {
        self.waiting.push_back((time, frame));
    }

    /// The next frame that need not wait any more, and where it belongs. The clock has to be moved there
    /// before this is asked again.
    pub fn next(&mut self, clock: &mut PaneClock, known: Known) -> Option<(PanePosition, F)> {
        let (time, _) = self.waiting.front()?;
        let time = *time;
        let is_known = known != Known::SoFar || self.waiting.len() == Self::MOST;
        if time.is_some() && !clock.is_anchored() {
            if !is_known {
                return None;
            }
            self.before_anchor = self.anchor(clock);
        }
        let place = match (time, clock.place(time)) {
            (_, PanePosition::Current) => PanePosition::Current,
            _ if self.before_anchor > 0 => PanePosition::Implausible,
            (Some(time), PanePosition::Unconfirmed) => self.settle(time, clock, is_known, known)?,
            (_, place) => place,
        };
        self.before_anchor = self.before_anchor.saturating_sub(1);
        self.waiting.pop_front().map(|(_, frame)| (place, frame))
    }

    /// Anchors the grid, and returns how many frames wait before the one that does it.
    fn anchor(&self, clock: &mut PaneClock) -> usize {
        let times = || self.waiting.iter().map(|(time, _)| *time).enumerate();
        let mut best = (0, 0);
        for (number, first) in times() {
            let Some(first) = first else { continue };
            let goes_on = |next: Option<Timestamp>| next.is_some_and(|t| clock.continues(first, t));
            let followers = times().skip(number + 1).filter(|(_, next)| goes_on(*next)).count();
            if followers > best.1 {
                best = (number, followers);
            }
        }
        clock.place(self.waiting.get(best.0).and_then(|(time, _)| *time));
        best.0
    }

    /// What becomes of the first frame, which makes a jump that is in doubt.
    fn settle(
        &self,
        time: Timestamp,
        clock: &PaneClock,
        is_known: bool,
        known: Known,
    ) -> Option<PanePosition> {
        let mut witnesses = self.waiting.iter().skip(1).filter_map(|(time, _)| *time).peekable();
        if witnesses.peek().is_none() {
            let is_full = self.waiting.len() == Self::MOST;
            return (known == Known::All || is_full).then_some(PanePosition::Implausible);
        }
        if witnesses.any(|witness| !clock.confirms(time, witness)) {
            return Some(PanePosition::Implausible);
        }
        is_known.then(|| match clock.panes_to(time) {
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

    /// Where each frame belongs, with the start of the pane it is counted in (the epoch before any).
    fn places(
        times: &[Option<i64>],
        step: i64,
        pause: impl Fn(usize) -> bool,
    ) -> Vec<(PanePosition, i64)> {
        let mut clock = PaneClock::new(step, WINDOW);
        let mut doubts = UnconfirmedFrames::default();
        let mut places = Vec::new();
        let mut enter = |place: PanePosition, clock: &mut PaneClock| {
            match place {
                PanePosition::Ahead(panes) => clock.advance(panes),
                PanePosition::SetBack(start) => clock.set_back(start),
                PanePosition::Current | PanePosition::Late | PanePosition::Implausible => {}
                PanePosition::Unconfirmed => panic!("it does not belong anywhere yet"),
            }
            places.push((place, clock.pane().start.nanoseconds()));
        };
        for (number, time) in times.iter().enumerate() {
            let time = time.map(Timestamp::from_nanoseconds);
            if let Some(place) = doubts.place(time, &mut clock) {
                enter(place, &mut clock);
                continue;
            }
            doubts.wait(time, ());
            let known = if pause(number) { Known::ForNow } else { Known::SoFar };
            while let Some((place, ())) = doubts.next(&mut clock, known) {
                enter(place, &mut clock);
            }
            assert!(doubts.waiting.len() <= WITNESSES, "one more has to be there to decide");
        }
        while let Some((place, ())) = doubts.next(&mut clock, Known::All) {
            enter(place, &mut clock);
        }
        places
    }

    /// The documentation, read naively: every frame is placed with the whole capture in hand.
    fn naive(times: &[Option<i64>], step: i64) -> Vec<(PanePosition, i64)> {
        let behind = |number: usize| times.iter().skip(number + 1).take(WITNESSES);
        let Some(first) = times.iter().position(Option::is_some) else {
            return vec![(PanePosition::Current, 0); times.len()];
        };
        let nine = first..times.len().min(first + 1 + WITNESSES);
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
        let mut places = vec![(PanePosition::Current, 0); first];
        for (number, time) in times.iter().enumerate().skip(first) {
            let time = time.unwrap_or(pane);
            let ahead = time - pane;
            let place = if (0..step).contains(&ahead) {
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
                let goes_on = |next: i64| next >= time - WINDOW && next <= time + 1000 * WINDOW;
                let confirms = |next: &i64| match *next {
                    next if ahead > 0 => near(next) || halfway(next),
                    next => pane - next > WINDOW && (near(next) || goes_on(next)),
                };
                let mut witnesses = behind(number).flatten().peekable();
                if witnesses.peek().is_none() || !witnesses.all(confirms) {
                    PanePosition::Implausible
                } else if ahead < 0 {
                    PanePosition::SetBack(Timestamp::from_nanoseconds(time))
                } else {
                    PanePosition::Ahead((ahead / step).unsigned_abs())
                }
            };
            match place {
                PanePosition::Ahead(_) => pane += ahead / step * step,
                PanePosition::SetBack(_) => pane = time,
                PanePosition::Current
                | PanePosition::Late
                | PanePosition::Implausible
                | PanePosition::Unconfirmed => {}
            }
            places.push((place, pane));
        }
        places
    }

    /// Even timestamps, so that halfway between two is one: of clocks that go on, are set, and lie.
    fn times() -> impl Strategy<Value = Vec<Option<i64>>> {
        let far = prop::sample::select(vec![0, 40, 400, 30_000, 1_000_000]);
        let lie = (far.clone(), any::<bool>()).prop_map(|(by, back)| if back { -by } else { by });
        let frame =
            (0..12i64, prop::option::weighted(0.15, lie.clone()), prop::option::weighted(0.1, lie));
        let frame = (frame, prop::bool::weighted(0.95));
        prop::collection::vec(frame, 0..60).prop_map(|frames| {
            let mut clock = 0;
            let times = frames.into_iter().map(|((gap, set, lie), is_timed)| {
                clock += 2 * gap + set.unwrap_or(0);
                is_timed.then_some(clock + lie.unwrap_or(0))
            });
            times.collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn frames_belong_where_the_documentation_says(times in times(), step in prop::sample::select(vec![4, 10, 20])) {
            prop_assert_eq!(places(&times, step, |_| false), naive(&times, step));
        }

        #[test]
        fn a_pause_says_what_the_end_would_say_where_nothing_is_in_doubt_behind_it(times in times()) {
            // At a pause the frames so far are settled as at an end, except one with nothing behind it.
            let last = times.len().saturating_sub(1);
            let (paused, ended) = (places(&times, 10, |number| number == last), naive(&times, 10));
            prop_assert_eq!(paused, ended);
        }
    }

    #[test]
    fn a_pause_settles_the_first_frame_and_leaves_a_lone_jump_in_doubt() {
        let mut clock = PaneClock::new(10, WINDOW);
        let mut doubts = UnconfirmedFrames::default();
        doubts.wait(Some(Timestamp::from_nanoseconds(1000)), 1);
        assert_eq!(doubts.next(&mut clock, Known::SoFar), None);
        assert_eq!(doubts.next(&mut clock, Known::ForNow), Some((PanePosition::Current, 1)));
        doubts.wait(Some(Timestamp::from_nanoseconds(0)), 2);
        assert_eq!(doubts.next(&mut clock, Known::ForNow), None);
        doubts.wait(Some(Timestamp::from_nanoseconds(4)), 3);
        assert_eq!(doubts.next(&mut clock, Known::SoFar), None);
        let back = PanePosition::SetBack(Timestamp::from_nanoseconds(0));
        assert_eq!(doubts.next(&mut clock, Known::ForNow), Some((back, 2)));
    }
}

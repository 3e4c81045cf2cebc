//! How a stream keeps pace with the wall's clock.
//!
//! A stream whose frames are from now is a capture that goes on: `tcpdump -U -w - | gomon - BOT`. What
//! stops there is the traffic and not time, so its windows close although no frame comes. Frames are from
//! now when the open pane is within one window of what the wall's clock shows as they come (within
//! [`ALLOWANCE`], if that is longer). From then on time goes by as the monotonic clock has it: a wall's
//! clock that is set closes no window, and what it shows counts again with the next frames.

use std::time::{Duration, Instant};

use crate::core::{Span, nanoseconds};
use crate::source::wall::Moment;

/// How long after its end a pane is closed when no frame of a later one comes. Frames are on their way
/// for up to a second with tcpdump: so long the kernel may keep a block of packets that is not full.
const ALLOWANCE: Duration = Duration::from_secs(2);
/// After so long without a frame those that are there have to do to settle which timestamps to believe.
const PAUSE: Duration = Duration::from_secs(1);
/// The shortest time between two looks at a silent stream.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// What a stream's frames have to do with the wall's clock.
#[derive(Debug)]
pub(super) struct Pace {
    /// How far from the wall's clock the open pane may be, in nanoseconds.
    near: i64,
    /// When frames came last.
    latest: Option<Moment>,
    /// Whether it is open still if those are from now.
    is_fresh: bool,
    /// Whether there was a pause since then.
    is_paused: bool,
    /// When the latest frames came, if they were from now.
    live: Option<Moment>,
    /// When panes were closed last although no frame came.
    closed: Option<Instant>,
}

impl Pace {
    /// The pace of a stream that is cut into windows of so many nanoseconds.
    pub(super) fn new(window: i64) -> Self {
        let near = window.max(nanoseconds(ALLOWANCE));
        Self { near, latest: None, is_fresh: false, is_paused: false, live: None, closed: None }
    }

    /// Frames came at this moment.
    pub(super) fn frames_came(&mut self, now: Moment) {
        self.latest = Some(now);
        (self.is_fresh, self.is_paused) = (true, false);
    }

    /// The frames that came last were counted in `pane` or before it. Nothing new where none came since
    /// the last time.
    pub(super) fn follow(&mut self, pane: Span) {
        if std::mem::take(&mut self.is_fresh) {
            let (start, end) = (pane.start.after(-self.near), pane.end.after(self.near));
            self.live = self.latest.filter(|latest| start <= latest.wall && latest.wall <= end);
        }
    }

    /// When to look up from waiting for frames, if at all.
    pub(super) fn due(&self, doubts: bool, pane: Span) -> Option<Instant> {
        let latest = self.latest?.instant;
        if doubts && !self.is_paused {
            return Some(latest + PAUSE);
        }
        let end = self.live?.instant_at(pane.end)?;
        // Of panes that are shorter than that, several are closed at once.
        let latest = self.closed.map_or(latest, |closed| closed.max(latest));
        Some((end + ALLOWANCE).max(latest + MIN_PAUSE))
    }

    /// Whether a pause begins: nothing came for a while, which was not said before.
    pub(super) fn pauses(&mut self, now: Instant) -> bool {
        let begins = !self.is_paused && self.latest.is_some_and(|it| now >= it.instant + PAUSE);
        self.is_paused |= begins;
        begins
    }

    /// Panes are closed although no frame came.
    pub(super) fn closes(&mut self, now: Instant) {
        self.closed = Some(now);
    }

    /// How many panes are over, from the open one on, although no frame of a later one came.
    pub(super) fn panes_over(&self, pane: Span, now: Instant) -> u64 {
        let Some(live) = self.live else { return 0 };
        let Some(then) = now.checked_sub(ALLOWANCE) else { return 0 };
        let length = pane.end.since(pane.start).max(1);
        let passed = live.wall_at(then).since(pane.start);
        (passed / length).max(0).unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Timestamp;

    const SECOND: i64 = 1_000_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_nanoseconds(second * SECOND)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_pane_of_frames_from_now_is_over_two_seconds_after_its_end() {
        let come = Moment { wall: at(1000), instant: Instant::now() };
        let mut stream = Pace::new(30 * SECOND);
        let mut pane = Span::starting(at(990), 30 * SECOND);
        assert_eq!(stream.due(false, pane), None, "nothing came");
        stream.frames_came(come);
        assert_eq!(stream.due(true, pane), Some(come.instant + seconds(1)), "a pause settles them");
        assert!(!stream.pauses(come.instant) && stream.pauses(come.instant + seconds(1)));
        assert!(!stream.pauses(come.instant + seconds(2)), "once");
        stream.follow(pane);
        let due = come.instant + seconds(20 + 2);
        assert_eq!(stream.due(false, pane), Some(due));
        assert_eq!(stream.due(true, pane), Some(due), "the pause is over");
        assert_eq!(stream.panes_over(pane, come.instant + seconds(21)), 0);
        assert_eq!(stream.panes_over(pane, due), 1);
        assert_eq!(stream.panes_over(pane, due + seconds(30)), 2);
        // Nothing came: what was open when the frames came is not asked again.
        pane = Span::starting(at(1080), 30 * SECOND);
        stream.follow(pane);
        assert_eq!(stream.due(false, pane), Some(come.instant + seconds(110 + 2)));
        assert_eq!(stream.panes_over(pane, due), 0);
    }

    #[test]
    fn frames_are_from_now_within_a_window_or_two_seconds() {
        for (window, start, is_live) in [
            (30, 940, true),
            (30, 939, false),
            (30, 1030, true),
            (30, 1031, false),
            (1, 997, true),
            (1, 996, false),
            (1, 1002, true),
            (1, 1003, false),
        ] {
            let mut stream = Pace::new(window * SECOND);
            let pane = Span::starting(at(start), window * SECOND);
            stream.frames_came(Moment { wall: at(1000), instant: Instant::now() });
            stream.follow(pane);
            assert_eq!(stream.due(false, pane).is_some(), is_live, "{window} s from {start}");
            let later = Instant::now() + seconds(10_000);
            assert_eq!(stream.panes_over(pane, later) > 0, is_live, "{window} s from {start}");
        }
    }

    #[test]
    fn a_wall_that_is_set_closes_nothing_and_counts_again_with_the_next_frames() {
        let begun = Instant::now();
        let mut stream = Pace::new(30 * SECOND);
        let pane = Span::starting(at(1000), 30 * SECOND);
        stream.frames_came(Moment { wall: at(1000), instant: begun });
        stream.follow(pane);
        // What the wall shows while nothing comes is not asked.
        assert_eq!(stream.panes_over(pane, begun + seconds(31)), 0);
        // A frame of before, late, by a wall that was set by a day: no frame from now.
        stream.frames_came(Moment { wall: at(87_400), instant: begun + seconds(10) });
        stream.follow(pane);
        assert_eq!(stream.due(false, pane), None);
        // The next one is from the day it was set to.
        let pane = Span::starting(at(87_400), 30 * SECOND);
        stream.frames_came(Moment { wall: at(87_410), instant: begun + seconds(20) });
        stream.follow(pane);
        assert_eq!(stream.due(false, pane), Some(begun + seconds(20 + 20 + 2)));
    }
}

//! Closes the panes of a live stream by wall-clock time.
//!
//! A stream whose frames have the current time is a capture in progress: `tcpdump -U -w - | gomon - BOT`. If its
//! traffic stops, time goes on, so its windows are closed although no frame arrives. Frames have the current
//! time if the open pane is within one window of the wall-clock time at which they arrive (within [`ALLOWANCE`],
//! if that is longer). From then on time is measured by the monotonic clock: setting the wall clock closes no
//! window, and wall-clock time is read again when the next frames arrive.

use std::time::{Duration, Instant};

use crate::core::{Span, nanoseconds};
use crate::source::wall::ClockReading;

/// How long after its end a pane is closed if no frame of a later one arrives. With tcpdump frames arrive up to
/// one second late: for so long the kernel may hold back a block of packets that is not full.
const ALLOWANCE: Duration = Duration::from_secs(2);
/// After this time without a frame, unconfirmed timestamps are decided by the frames that have arrived.
const PAUSE: Duration = Duration::from_secs(1);
/// The shortest time between two wake-ups for a silent stream.
const MIN_WAIT: Duration = Duration::from_millis(100);

/// The relation between a stream's frames and the wall clock.
#[derive(Debug)]
pub(super) struct Pace {
    /// The largest difference between the wall clock and the open pane of a live stream, in nanoseconds.
    tolerance: i64,
    /// When the latest frames arrived.
    latest: Option<ClockReading>,
    /// Whether it is not yet known if these have the current time.
    is_unclassified: bool,
    /// Whether there was a pause after these.
    is_paused: bool,
    /// When the latest frames arrived, if they had the current time.
    live: Option<ClockReading>,
    /// When panes were last closed without a frame.
    closed: Option<Instant>,
}

impl Pace {
    /// The pace of a stream with windows of `window` nanoseconds.
    pub(super) fn new(window: i64) -> Self {
        let tolerance = window.max(nanoseconds(ALLOWANCE));
        Self {
            tolerance,
            latest: None,
            is_unclassified: false,
            is_paused: false,
            live: None,
            closed: None,
        }
    }

    /// Records that frames arrived at `now`.
    pub(super) fn frames_arrived(&mut self, now: ClockReading) {
        self.latest = Some(now);
        (self.is_unclassified, self.is_paused) = (true, false);
    }

    /// Determines whether the latest frames, which were counted in `pane` or before it, have the current time.
    /// Does nothing if none have arrived since the last call.
    pub(super) fn classify(&mut self, pane: Span) {
        if std::mem::take(&mut self.is_unclassified) {
            let (start, end) = (pane.start.after(-self.tolerance), pane.end.after(self.tolerance));
            self.live = self.latest.filter(|latest| start <= latest.wall && latest.wall <= end);
        }
    }

    /// Returns the deadline for the wait for frames, if there is one. `has_unconfirmed` is whether frames with
    /// unconfirmed timestamps are held back.
    pub(super) fn deadline(&self, has_unconfirmed: bool, pane: Span) -> Option<Instant> {
        let latest = self.latest?.instant;
        if has_unconfirmed && !self.is_paused {
            return Some(latest + PAUSE);
        }
        let end = self.live?.instant_at(pane.end)?;
        // If panes are shorter than that, several are closed at once.
        let latest = self.closed.map_or(latest, |closed| closed.max(latest));
        Some((end + ALLOWANCE).max(latest + MIN_WAIT))
    }

    /// Returns whether a pause begins: no frame has arrived for [`PAUSE`], and this was not returned before.
    pub(super) fn begins_pause(&mut self, now: Instant) -> bool {
        let begins = !self.is_paused && self.latest.is_some_and(|it| now >= it.instant + PAUSE);
        self.is_paused |= begins;
        begins
    }

    /// Records that panes are closed without a frame.
    pub(super) fn panes_closed(&mut self, now: Instant) {
        self.closed = Some(now);
    }

    /// Returns how many panes, from the open one on, have ended without a frame of a later one.
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
    fn a_pane_of_a_live_stream_is_over_two_seconds_after_its_end() {
        let arrival = ClockReading { wall: at(1000), instant: Instant::now() };
        let mut stream = Pace::new(30 * SECOND);
        let mut pane = Span::starting(at(990), 30 * SECOND);
        assert_eq!(stream.deadline(false, pane), None, "no frame has arrived");
        stream.frames_arrived(arrival);
        assert_eq!(
            stream.deadline(true, pane),
            Some(arrival.instant + seconds(1)),
            "a pause decides them"
        );
        assert!(
            !stream.begins_pause(arrival.instant)
                && stream.begins_pause(arrival.instant + seconds(1))
        );
        assert!(!stream.begins_pause(arrival.instant + seconds(2)), "a pause begins once");
        stream.classify(pane);
        let deadline = arrival.instant + seconds(20 + 2);
        assert_eq!(stream.deadline(false, pane), Some(deadline));
        assert_eq!(stream.deadline(true, pane), Some(deadline), "the pause is over");
        assert_eq!(stream.panes_over(pane, arrival.instant + seconds(21)), 0);
        assert_eq!(stream.panes_over(pane, deadline), 1);
        assert_eq!(stream.panes_over(pane, deadline + seconds(30)), 2);
        // No frame arrived: the frames are not classified again.
        pane = Span::starting(at(1080), 30 * SECOND);
        stream.classify(pane);
        assert_eq!(stream.deadline(false, pane), Some(arrival.instant + seconds(110 + 2)));
        assert_eq!(stream.panes_over(pane, deadline), 0);
    }

    #[test]
    fn frames_are_live_within_a_window_or_two_seconds() {
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
            stream.frames_arrived(ClockReading { wall: at(1000), instant: Instant::now() });
            stream.classify(pane);
            assert_eq!(stream.deadline(false, pane).is_some(), is_live, "{window} s from {start}");
            let later = Instant::now() + seconds(10_000);
            assert_eq!(stream.panes_over(pane, later) > 0, is_live, "{window} s from {start}");
        }
    }

    #[test]
    fn a_wall_clock_that_is_set_closes_no_pane_and_is_read_again_with_the_next_frames() {
        let started = Instant::now();
        let mut stream = Pace::new(30 * SECOND);
        let pane = Span::starting(at(1000), 30 * SECOND);
        stream.frames_arrived(ClockReading { wall: at(1000), instant: started });
        stream.classify(pane);
        // The wall clock is not read while no frame arrives.
        assert_eq!(stream.panes_over(pane, started + seconds(31)), 0);
        // A late frame with a time from before the wall clock was set, by a day, is not live.
        stream.frames_arrived(ClockReading { wall: at(87_400), instant: started + seconds(10) });
        stream.classify(pane);
        assert_eq!(stream.deadline(false, pane), None);
        // The next one has the new wall-clock time.
        let pane = Span::starting(at(87_400), 30 * SECOND);
        stream.frames_arrived(ClockReading { wall: at(87_410), instant: started + seconds(20) });
        stream.classify(pane);
        assert_eq!(stream.deadline(false, pane), Some(started + seconds(20 + 20 + 2)));
    }
}

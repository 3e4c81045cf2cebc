//! The clock of the wall and the one that never jumps, brought together.
//!
//! Windows lie on a grid from the moment of attach; the kernel stamps packets with its monotonic
//! clock. Both become times of the wall by what the wall showed when counting began, so that a clock
//! that is set moves no window and no packet of the open one. Where both have parted by more than
//! [`APART`], the next window has the time of the wall again: hosts set their clocks after they boot, and
//! over months the two drift apart.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::core::Timestamp;
use crate::source::wall;

/// How far the wall may be from where it was expected, in nanoseconds. Slewing keeps below it for long.
const APART: i64 = 1_000_000_000;
/// Reading both clocks takes no longer than this; where it did, something came in between.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The moment counting began, on every clock there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct MonotonicClock {
    wall: Timestamp,
    instant: Instant,
    monotonic: u64,
}

impl MonotonicClock {
    /// Counting begins now.
    pub(super) fn start() -> Self {
        Self { wall: wall::now(), instant: Instant::now(), monotonic: monotonic() }
    }

    /// Follows the wall where it has parted from the monotonic clock, and returns by how many nanoseconds
    /// times are later from here on.
    pub(super) fn follow_wall(&mut self) -> Option<i64> {
        let before = Instant::now();
        let wall = wall::now();
        let by = parted(self.at(self.elapsed()), wall)?;
        if before.elapsed() > AT_ONCE {
            return None; // the next window will tell
        }
        self.wall = self.wall.after(by);
        Some(by)
    }

    /// Nanoseconds since the start.
    pub(super) fn elapsed(&self) -> u64 {
        u64::try_from(self.instant.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// What the wall shows so many nanoseconds after the start.
    pub(super) fn at(&self, nanoseconds: u64) -> Timestamp {
        self.wall.after(i64::try_from(nanoseconds).unwrap_or(i64::MAX))
    }

    /// When to wake up so many nanoseconds after the start.
    pub(super) fn instant(&self, nanoseconds: u64) -> Instant {
        self.instant + Duration::from_nanos(nanoseconds)
    }

    /// What the kernel's monotonic clock shows so many nanoseconds after the start.
    pub(super) fn monotonic_at(&self, nanoseconds: u64) -> u64 {
        self.monotonic.saturating_add(nanoseconds)
    }

    /// What the wall shows when the kernel's monotonic clock shows `monotonic` nanoseconds.
    pub(super) fn time(&self, monotonic: u64) -> Timestamp {
        let since = i128::from(monotonic) - i128::from(self.monotonic);
        self.wall.after(i64::try_from(since).unwrap_or(i64::MAX))
    }
}

/// How much later than `expected` the wall is, if that is more than it may be.
fn parted(expected: Timestamp, wall: Timestamp) -> Option<i64> {
    let by = wall.since(expected);
    (by.unsigned_abs() > APART.unsigned_abs()).then_some(by)
}

/// What the kernel's monotonic clock shows now, in nanoseconds.
pub(super) fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_is_followed_once_it_is_more_than_a_second_away() {
        let expected = Timestamp::from_nanoseconds(1_769_680_800_000_000_000);
        for by in [0, 1, APART, APART + 1, 3_600_000_000_000, i64::MAX / 4] {
            for by in [by, -by] {
                let followed = (by.abs() > APART).then_some(by);
                assert_eq!(parted(expected, expected.after(by)), followed, "{by}");
            }
        }
    }

    #[test]
    fn windows_and_packets_move_with_the_wall_and_the_monotonic_clock_does_not() {
        // Counting began an hour before what the wall shows, by a monotonic clock that says: just now.
        let hour = 3_600_000_000_000;
        let begun = MonotonicClock::start();
        let mut clock = MonotonicClock { wall: begun.wall.after(-hour), ..begun };
        let by = clock.follow_wall().expect("an hour away");
        assert!((by - hour).abs() < APART, "{by}");
        assert_eq!(clock.follow_wall(), None, "once");
        assert_eq!(clock.at(5), begun.at(5).after(by - hour));
        let packet = begun.monotonic + 7;
        assert_eq!(clock.time(packet), begun.time(packet).after(by - hour));
        assert_eq!(clock.instant(5), begun.instant(5));
        assert_eq!(clock.monotonic_at(5), begun.monotonic_at(5));
    }
}

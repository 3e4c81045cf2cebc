//! Conversion between the monotonic clock and wall-clock time.
//!
//! Windows lie on a grid that starts when gomon attaches, and the eBPF programs take packet times from
//! the monotonic clock. Both are converted to wall-clock time with the offset measured at the start, so
//! that setting the wall clock moves neither a window nor a packet of the open window. If the clocks
//! diverge by more than [`MAX_DIVERGENCE`], the next window uses a new offset: hosts set their clocks
//! after booting, and over months the two clocks drift apart.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::core::Timestamp;
use crate::source::wall;

/// The divergence in nanoseconds at which the wall clock is followed. Slewing stays below it for a long
/// time.
const MAX_DIVERGENCE: i64 = 1_000_000_000;
/// Reading both clocks takes less than this, unless the process was preempted in between.
const MAX_READ_TIME: Duration = Duration::from_millis(100);

/// The time at which counting started, on each clock.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    wall: Timestamp,
    instant: Instant,
    /// Nanoseconds on the kernel's monotonic clock (`bpf_ktime_get_ns`).
    monotonic: u64,
}

impl MonotonicClock {
    /// Starts counting now.
    #[must_use]
    pub fn start() -> Self {
        Self { wall: wall::now(), instant: Instant::now(), monotonic: monotonic_now() }
    }

    /// Follows the wall clock if it has diverged. Returns the number of nanoseconds by which times are
    /// later from now on.
    pub(super) fn follow_wall_clock(&mut self) -> Option<i64> {
        let before = Instant::now();
        let wall = wall::now();
        let by = divergence(self.wall_at(self.elapsed()), wall)?;
        if before.elapsed() > MAX_READ_TIME {
            return None; // tried again after the next window
        }
        self.wall = self.wall.after(by);
        Some(by)
    }

    /// Makes times later by this many nanoseconds.
    pub(super) fn shift(&mut self, by: i64) {
        self.wall = self.wall.after(by);
    }

    /// Returns the nanoseconds since the start.
    pub(super) fn elapsed(&self) -> u64 {
        u64::try_from(self.instant.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns the nanoseconds from the start of this clock to that of `later`.
    pub(super) fn since_start(&self, later: &Self) -> u64 {
        let since = later.instant.saturating_duration_since(self.instant);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns the wall-clock time this many nanoseconds after the start.
    pub(super) fn wall_at(&self, nanoseconds: u64) -> Timestamp {
        self.wall.after(i64::try_from(nanoseconds).unwrap_or(i64::MAX))
    }

    /// Returns the kernel's monotonic time this many nanoseconds after the start.
    pub(super) fn monotonic_at(&self, nanoseconds: u64) -> u64 {
        self.monotonic.saturating_add(nanoseconds)
    }

    /// Converts a time of the kernel's monotonic clock to wall-clock time.
    pub(super) fn wall_time(&self, monotonic: u64) -> Timestamp {
        let since = i128::from(monotonic) - i128::from(self.monotonic);
        self.wall.after(i64::try_from(since).unwrap_or(i64::MAX))
    }
}

/// Returns how much later `wall` is than `expected`, if that is more than [`MAX_DIVERGENCE`] in either
/// direction.
fn divergence(expected: Timestamp, wall: Timestamp) -> Option<i64> {
    let by = wall.since(expected);
    (by.unsigned_abs() > MAX_DIVERGENCE.unsigned_abs()).then_some(by)
}

/// Reads the kernel's monotonic clock, in nanoseconds.
pub(super) fn monotonic_now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_is_followed_only_beyond_the_maximum_divergence() {
        let expected = Timestamp::from_nanoseconds(1_769_680_800_000_000_000);
        for by in [0, 1, MAX_DIVERGENCE, MAX_DIVERGENCE + 1, 3_600_000_000_000, i64::MAX / 4] {
            for by in [by, -by] {
                let followed = (by.abs() > MAX_DIVERGENCE).then_some(by);
                assert_eq!(divergence(expected, expected.after(by)), followed, "{by}");
            }
        }
    }

    #[test]
    fn following_the_wall_clock_shifts_windows_and_packets_but_not_the_monotonic_clock() {
        // The monotonic clock started just now, when the wall clock was an hour behind.
        let hour = 3_600_000_000_000;
        let started = MonotonicClock::start();
        let mut clock = MonotonicClock { wall: started.wall.after(-hour), ..started };
        let by = clock.follow_wall_clock().expect("an hour of divergence");
        assert!((by - hour).abs() < MAX_DIVERGENCE, "{by}");
        assert_eq!(clock.follow_wall_clock(), None, "once");
        assert_eq!(clock.wall_at(5), started.wall_at(5).after(by - hour));
        let packet = started.monotonic + 7;
        assert_eq!(clock.wall_time(packet), started.wall_time(packet).after(by - hour));
        assert_eq!(clock.monotonic_at(5), started.monotonic_at(5));
    }
}

//! The clock of the wall and the one that never jumps, brought together once.
//!
//! Windows lie on a grid from the moment of attach; the kernel stamps packets with its monotonic
//! clock. Both become times of the wall by what the wall showed when counting began, so that a clock
//! that is set later moves no window and no packet.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::core::Timestamp;
use crate::source::wall;

/// The moment counting began, on every clock there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    wall: Timestamp,
    instant: Instant,
    monotonic: u64,
}

impl Clock {
    /// Counting begins now.
    pub(super) fn start() -> Self {
        Self { wall: wall::now(), instant: Instant::now(), monotonic: monotonic() }
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

/// What the kernel's monotonic clock shows now, in nanoseconds.
pub(super) fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

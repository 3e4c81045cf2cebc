//! The wall clock, which timestamps captured frames.

use std::time::{Duration, Instant, SystemTime};

use crate::core::{Timestamp, nanoseconds};

/// Returns the current wall-clock time.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::saturating(i128::try_from(since.as_nanos()).unwrap_or(i128::MAX))
}

/// The same point in time on the wall clock and on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockReading {
    /// The wall-clock time.
    pub(super) wall: Timestamp,
    /// The monotonic time.
    pub(super) instant: Instant,
}

impl ClockReading {
    /// Reads both clocks.
    pub(super) fn now() -> Self {
        Self { wall: now(), instant: Instant::now() }
    }

    /// Converts a monotonic time to wall-clock time, as if the wall clock was not set in between.
    pub(super) fn wall_at(&self, instant: Instant) -> Timestamp {
        match instant.checked_duration_since(self.instant) {
            Some(later) => self.wall.after(nanoseconds(later)),
            None => self.wall.after(-nanoseconds(self.instant.duration_since(instant))),
        }
    }

    /// Converts a wall-clock time to monotonic time, as if the wall clock was not set in between. Returns `None`
    /// if it is out of range.
    pub(super) fn instant_at(&self, time: Timestamp) -> Option<Instant> {
        let later = time.since(self.wall);
        let by = Duration::from_nanos(later.unsigned_abs());
        if later < 0 { self.instant.checked_sub(by) } else { self.instant.checked_add(by) }
    }
}

//! The wall's clock, by which captured frames are stamped.

use std::time::{Duration, Instant, SystemTime};

use crate::core::{Timestamp, nanoseconds};

/// What the wall's clock shows now.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::saturating(i128::try_from(since.as_nanos()).unwrap_or(i128::MAX))
}

/// A moment, by the wall's clock and by the one that is never set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// What the wall showed.
    pub(super) wall: Timestamp,
    /// The same moment on the monotonic clock.
    pub(super) instant: Instant,
}

impl Moment {
    /// This moment.
    pub(super) fn now() -> Self {
        Self { wall: now(), instant: Instant::now() }
    }

    /// What the wall would show at `instant` if it was not set in between.
    pub(super) fn wall_at(&self, instant: Instant) -> Timestamp {
        match instant.checked_duration_since(self.instant) {
            Some(later) => self.wall.after(nanoseconds(later)),
            None => self.wall.after(-nanoseconds(self.instant.duration_since(instant))),
        }
    }

    /// When the wall will show `time` if it is not set in between, unless that is out of reach.
    pub(super) fn instant_at(&self, time: Timestamp) -> Option<Instant> {
        let later = time.since(self.wall);
        let by = Duration::from_nanos(later.unsigned_abs());
        if later < 0 { self.instant.checked_sub(by) } else { self.instant.checked_add(by) }
    }
}

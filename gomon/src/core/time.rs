//! Points and spans of time, in nanoseconds.

use std::time::Duration;

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, before it negative.
///
/// The range is 1677 to 2262; what a capture claims beyond it saturates at the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The point `nanoseconds` after the epoch.
    #[must_use]
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// The point so many seconds and nanoseconds after the epoch, at the end of the range when it is
    /// outside.
    #[must_use]
    #[inline]
    pub const fn from_parts(seconds: i64, nanoseconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
    }

    /// The point `nanoseconds` after the epoch, at the nearest end of the range when it is outside.
    #[must_use]
    pub fn saturating(nanoseconds: i128) -> Self {
        let end = if nanoseconds < 0 { i64::MIN } else { i64::MAX };
        Self(i64::try_from(nanoseconds).unwrap_or(end))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanoseconds(self) -> i64 {
        self.0
    }

    /// Nanoseconds from `earlier` to here; negative when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The point `nanoseconds` later.
    #[must_use]
    pub fn after(self, nanoseconds: i64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }
}

/// A stretch of time: from `start` up to, and without, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// The first point that belongs to it.
    pub start: Timestamp,
    /// The first point that no longer does.
    pub end: Timestamp,
}

impl Span {
    /// The span of `length` nanoseconds from `start`.
    #[must_use]
    pub fn starting(start: Timestamp, length: i64) -> Self {
        Self { start, end: start.after(length) }
    }

    /// Its length in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        seconds(self.end.since(self.start))
    }
}

/// Nanoseconds as seconds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a rate needs no nanosecond of a century")]
pub(crate) fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// A duration as nanoseconds, at the end of the range when it is longer than 292 years.
#[must_use]
pub(crate) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wild_times_saturate() {
        let far = Timestamp::saturating(i128::from(i64::MAX) * 1000);
        assert_eq!(far.nanoseconds(), i64::MAX);
        assert_eq!(Timestamp::saturating(i128::MIN).nanoseconds(), i64::MIN);
        assert_eq!(far.after(1), far);
        assert_eq!(far.since(Timestamp::saturating(i128::MIN)), i64::MAX);
    }
}

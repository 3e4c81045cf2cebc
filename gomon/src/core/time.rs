//! Points and spans of time, in nanoseconds.

use std::time::Duration;

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, negative before it.
///
/// The range is 1677 to 2262; times outside of it saturate at its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Returns the time `nanoseconds` after the epoch.
    #[must_use]
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// Returns the time `seconds` and `nanoseconds` after the epoch, saturating at the ends of the range.
    #[must_use]
    #[inline]
    pub const fn from_parts(seconds: i64, nanoseconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
    }

    /// Returns the time `nanoseconds` after the epoch, saturating at the ends of the range.
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

    /// Nanoseconds from `earlier` to `self`; negative if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the time `nanoseconds` later, saturating at the ends of the range.
    #[must_use]
    pub fn after(self, nanoseconds: i64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }
}

/// A half-open interval of time: from `start`, inclusive, to `end`, exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// The first point in the interval.
    pub start: Timestamp,
    /// The first point after the interval.
    pub end: Timestamp,
}

impl Span {
    /// Returns the span of `length` nanoseconds from `start`.
    #[must_use]
    pub fn starting(start: Timestamp, length: i64) -> Self {
        Self { start, end: start.after(length) }
    }

    /// The length in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        seconds(self.end.since(self.start))
    }
}

/// Converts nanoseconds to seconds.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "rates do not need nanosecond precision over centuries"
)]
pub(crate) fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// Converts a duration to nanoseconds, saturating at `i64::MAX` (292 years).
#[must_use]
pub(crate) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_out_of_range_saturate() {
        let far = Timestamp::saturating(i128::from(i64::MAX) * 1000);
        assert_eq!(far.nanoseconds(), i64::MAX);
        assert_eq!(Timestamp::saturating(i128::MIN).nanoseconds(), i64::MIN);
        assert_eq!(far.after(1), far);
        assert_eq!(far.since(Timestamp::saturating(i128::MIN)), i64::MAX);
    }
}

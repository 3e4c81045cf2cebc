//! Times in Suricata's format.

use crate::core::Timestamp;
use crate::sink::calendar;

/// A timestamp as Suricata writes it: UTC, microseconds, a numeric offset without a colon.
pub(super) fn timestamp(time: Timestamp) -> String {
    calendar(time).strftime("%Y-%m-%dT%H:%M:%S%.6f+0000").to_string()
}

/// A duration as Suricata writes it: whole seconds, rounded down.
pub(super) fn whole_seconds(nanoseconds: i64) -> u64 {
    (nanoseconds.max(0) / 1_000_000_000).unsigned_abs()
}

//! Human-readable numbers, times and destinations.

use std::net::SocketAddr;

use gomon_common::Endpoint;
use indicatif::{HumanCount, HumanFloatCount};

use super::{calendar, proto};
use crate::core::{Span, Timestamp};

/// Spans shorter than this, in seconds, are shown with milliseconds.
const SHORT: f64 = 10.0;

/// Formats a number with its noun: `1 host`, `7,307 hosts`.
pub(super) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", HumanCount(number))
}

/// Formats a rate with at most two decimals.
pub(super) fn rate(rate: f64) -> String {
    HumanFloatCount((rate * 100.0).round() / 100.0).to_string()
}

/// Formats the date of a time, in UTC.
pub(super) fn date(time: Timestamp) -> String {
    calendar(time).strftime("%Y-%m-%d").to_string()
}

/// Formats the start and end of a span, in UTC; with dates if `dated`.
pub(super) fn times(span: Span, dated: bool) -> String {
    let day = if dated { "%Y-%m-%d " } else { "" };
    let fraction = if span.seconds() < SHORT { "%.3f" } else { "" };
    let format = format!("{day}%H:%M:%S{fraction}");
    let [start, end] =
        [span.start, span.end].map(|time| calendar(time).strftime(&format).to_string());
    format!("{start} to {end}")
}

/// Formats an endpoint: `192.0.2.7:80/TCP`, `[2001:db8::7]:53/UDP`, `192.0.2.7/ICMP`.
pub(super) fn endpoint_name(endpoint: &Endpoint) -> String {
    let (host, protocol) = (endpoint.address().ip(), proto::name(endpoint.protocol()));
    match endpoint.port() {
        0 => format!("{host}/{protocol}"),
        port => format!("{}/{protocol}", SocketAddr::new(host, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_times_and_plurals_are_formatted() {
        assert_eq!(
            [count(1, "host"), count(0, "host"), count(1_234_567, "host")],
            ["1 host", "0 hosts", "1,234,567 hosts"]
        );
        assert_eq!([0.333_333, 100.0, 12_345.678].map(rate), ["0.33", "100", "12,345.68"]);
        let second = |second: i64| {
            Timestamp::from_nanoseconds(1_769_680_800_123_456_789 + second * 1_000_000_000)
        };
        let span = |length| Span { start: second(0), end: second(length) };
        assert_eq!(times(span(90), false), "10:00:00 to 10:01:30");
        assert_eq!(times(span(90), true), "2026-01-29 10:00:00 to 2026-01-29 10:01:30");
        assert_eq!(times(span(1), false), "10:00:00.123 to 10:00:01.123");
    }
}

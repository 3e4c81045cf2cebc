//! Traffic of the bot for the tests of the command line, and the required form of errors.

use std::net::Ipv4Addr;

use serde_json::Value;

use crate::support::capture::{Captured, PLAIN, SECOND, at, pcap};
use crate::support::frames::{ip, udp};
use crate::support::program::Outcome;

/// The bot.
pub(crate) const BOT: &str = "10.0.0.5";

/// A packet of the bot to 192.0.2.`host`.
pub(crate) fn packet(host: u8, port: u16) -> Vec<u8> {
    udp(ip(BOT), Ipv4Addr::new(192, 0, 2, host).into(), port, 0)
}

/// One packet per second to one endpoint: with `--window 1` there is a record for each.
pub(crate) fn beacon(packets: u64) -> Vec<Captured> {
    (0..packets).map(|k| at(k * SECOND, packet(1, 443))).collect()
}

/// So many packets to one endpoint within a second.
pub(crate) fn flood(packets: u64) -> Vec<Captured> {
    (0..packets).map(|k| at(k * SECOND / packets, packet(7, 80))).collect()
}

/// One packet to each of so many hosts.
pub(crate) fn sweep(hosts: u8) -> Vec<Captured> {
    (1..=hosts).map(|host| at(u64::from(host), packet(host, 23))).collect()
}

/// A capture file of these frames.
pub(crate) fn file(frames: &[Captured]) -> Vec<u8> {
    pcap(PLAIN, frames)
}

/// The signatures of the alerts among `records`, by their numbers.
pub(crate) fn signatures(records: &[Value]) -> Vec<u64> {
    records.iter().filter_map(|record| record["alert"]["signature_id"].as_u64()).collect()
}

/// Returns the only error of a run that ended with `status`, without `gomon: `: a line on standard error
/// that says what was attempted, why it failed and what to do.
#[track_caller]
pub(crate) fn error(outcome: &Outcome, status: i32) -> &str {
    assert_eq!(outcome.status, Some(status), "{outcome:#?}");
    let errors = outcome.errors();
    let [error] = errors.as_slice() else { panic!("not one error: {outcome:#?}") };
    let error = error.strip_prefix("gomon: ").expect("errors are found by it");
    let parts: Vec<_> = error.split(": ").collect();
    assert!(parts.len() >= 3, "attempt, reason and advice: {error}");
    assert!(parts.iter().all(|part| !part.trim().is_empty()), "{error}");
    for unwanted in ["panicked", "RUST_BACKTRACE", "Usage:", "stack backtrace"] {
        assert!(!outcome.stderr.contains(unwanted), "{}", outcome.stderr);
    }
    let control = outcome.stderr.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(control, None, "{:?}", outcome.stderr);
    error
}

/// Returns the error of a run that was not started: nothing else is printed.
#[track_caller]
pub(crate) fn refusal(outcome: &Outcome) -> &str {
    let error = error(outcome, 2);
    assert_eq!(outcome.stdout, "");
    assert_eq!(outcome.stderr, format!("gomon: {error}\n"));
    error
}

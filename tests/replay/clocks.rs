//! Windows of captures whose timestamps may be wrong.

use serde_json::Value;

use crate::support::capture::{Captured, PLAIN, Pcapng, SECOND, START, at, pcap};
use crate::support::frames::{arp, ip, udp};
use crate::support::program::{Outcome, Scratch, gomon};

/// The bot.
pub(crate) const BOT: &str = "10.0.0.5";

/// A packet of the bot to 192.0.2.1, port `port`, `offset` nanoseconds after the start.
pub(crate) fn sent(offset: u64, port: u16) -> Captured {
    at(offset, udp(ip(BOT), ip("192.0.2.1"), port, 0))
}

/// Runs gomon on a capture, with idle windows reported.
pub(crate) fn replay(bytes: &[u8], flags: &[&str]) -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.file("capture", bytes);
    let mut args = vec![path.to_str().unwrap(), BOT, "--quiet", "--show-idle"];
    args.extend(flags);
    let outcome = gomon(args);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    outcome
}

/// Returns the second of the window and the port of each flow; for idle windows, the second and the negated number
/// of windows in the record.
pub(crate) fn timeline(records: &[Value]) -> Vec<(i64, i64)> {
    let start = i64::try_from(START / SECOND).unwrap();
    let of = |record: &Value| {
        let time = record["timestamp"].as_str().unwrap().replace("+0000", "Z");
        let time: jiff::Timestamp = time.parse().unwrap();
        let what = match record["event_type"].as_str().unwrap() {
            "flow" => record["dest_port"].as_i64().unwrap(),
            _ => -record["metadata"]["gomon"]["windows"].as_i64().unwrap(),
        };
        (time.as_second() - start, what)
    };
    let lines: Vec<_> = records.iter().map(of).collect();
    // An idle window with packets has both records; its flows are enough.
    let busy: Vec<i64> = lines.iter().filter(|(_, what)| *what > 0).map(|(t, _)| *t).collect();
    lines.into_iter().filter(|(t, what)| *what > 0 || !busy.contains(t)).collect()
}

#[test]
fn the_first_frame_of_any_sender_starts_the_grid() {
    let frames = [at(0, arp()), sent(9 * SECOND, 1), sent(10 * SECOND, 2), sent(35 * SECOND, 3)];
    let outcome = replay(&pcap(PLAIN, &frames), &["--window", "10"]);
    assert_eq!(timeline(&outcome.records()), [(0, 1), (10, 2), (20, -1), (30, 3)]);
    assert!(outcome.line("Summary:").contains("4 idle window(s)"), "{}", outcome.stderr);
}

#[test]
fn frames_before_the_window_count_in_it_and_as_late() {
    let frames = [25, 26, 36, 25, 24, 36].map(|second| second * SECOND);
    let frames: Vec<_> = frames.into_iter().zip(1..).map(|(time, port)| sent(time, port)).collect();
    let outcome = replay(&pcap(PLAIN, &frames), &["--window", "10"]);
    let expected = [(25, 1), (25, 2), (35, 3), (35, 4), (35, 5), (35, 6)];
    assert_eq!(timeline(&outcome.records()), expected);
    // The fifth is more than a window late, and the sixth shows that the clock was not set back.
    let ledger = outcome.line("Ledger:");
    assert!(ledger.contains("; 1 late, 1 with an implausible timestamp"), "{}", outcome.stderr);
}

#[test]
fn one_implausible_timestamp_does_not_move_the_clock() {
    let year = 365 * 24 * 3600 * SECOND;
    let frames = [sent(0, 1), sent(year, 2), sent(SECOND, 3), sent(11 * SECOND, 4)];
    let outcome = replay(&pcap(PLAIN, &frames), &["--window", "10"]);
    assert_eq!(timeline(&outcome.records()), [(0, 1), (0, 2), (0, 3), (10, 4)]);
    assert!(
        outcome.line("Ledger:").contains("1 with an implausible timestamp"),
        "{}",
        outcome.stderr
    );
    // Nothing confirms a jump of the last frame.
    let outcome = replay(&pcap(PLAIN, &[sent(0, 1), sent(year, 2)]), &["--window", "10"]);
    assert_eq!(timeline(&outcome.records()), [(0, 1), (0, 2)]);
}

#[test]
fn a_confirmed_jump_is_a_gap_with_bounded_output() {
    let year = 365 * 24 * 3600;
    let frames = [sent(0, 1), sent(1, 1), sent(year * SECOND, 2), sent(year * SECOND + 1, 3)];
    let outcome = replay(&pcap(PLAIN, &frames), &["--window", "10"]);
    let records = outcome.records();
    let timeline = timeline(&records);
    let year = i64::try_from(year).unwrap();
    assert_eq!(timeline.len(), 1 + 1000 + 1 + 2);
    assert_eq!(timeline[1001], (10_010, -(year / 10 - 1001)));
    assert_eq!(timeline[1002..], [(year, 2), (year, 3)]);
    let idle = format!("{} idle window(s)", year / 10 + 1);
    assert!(outcome.line("Summary:").contains(&idle), "{}", outcome.stderr);
}

#[test]
fn idle_windows_with_packets_of_others_have_bounded_output_too() {
    let others: Vec<_> = (0..3000).map(|n| at(n * SECOND, arp())).collect();
    let outcome = replay(&pcap(PLAIN, &others), &["--window", "1"]);
    let records = outcome.records();
    assert_eq!(records.len(), 1001);
    let last = &records[1000]["metadata"]["gomon"];
    assert_eq!(last["windows"], 2000);
    assert_eq!(last["ledger"]["frames"], 2000);
    assert_eq!(last["ledger"]["not_ip"], 2000);
}

#[test]
fn sliding_windows_are_sums_of_panes() {
    let frames = [sent(0, 1), sent(10 * SECOND, 2), sent(20 * SECOND, 3), sent(50 * SECOND, 4)];
    let outcome = replay(&pcap(PLAIN, &frames), &["--window", "30", "--step", "10"]);
    // The last window is the one that contains the last frame.
    let expected = [(0, 1), (0, 2), (0, 3), (10, 2), (10, 3), (20, 3), (30, 4)];
    assert_eq!(timeline(&outcome.records()), expected);
    let short = replay(&pcap(PLAIN, &frames[..2]), &["--window", "30", "--step", "10"]);
    assert_eq!(timeline(&short.records()), [(0, 1), (0, 2)]);
}

#[test]
fn packets_without_a_timestamp_are_in_the_window_of_the_previous_frame() {
    let packet = |port| udp(ip(BOT), ip("192.0.2.1"), port, 0);
    let mut file = Pcapng::new(false);
    file.interface(1, 9, 0).simple_packet(&packet(1));
    file.packet(0, START, &packet(2)).packet(0, START + 10 * SECOND, &packet(3));
    file.simple_packet(&packet(4));
    let outcome = replay(&file.bytes(), &["--window", "10"]);
    assert_eq!(timeline(&outcome.records()), [(0, 1), (0, 2), (10, 3), (10, 4)]);

    let mut timeless = Pcapng::new(false);
    timeless.interface(1, 9, 0).simple_packet(&packet(1)).simple_packet(&packet(2));
    let records = replay(&timeless.bytes(), &[]).records();
    assert_eq!(records[0]["timestamp"], "1970-01-01T00:00:00.000000+0000");
    assert_eq!(records.len(), 3);
}

#[test]
fn extreme_timestamps_neither_hang_nor_lose_packets() {
    let packet = |port| udp(ip(BOT), ip("192.0.2.1"), port, 0);
    for resolution in [0, 6, 9, 0x80, 0xff, 0x7f] {
        for window in ["1ms", "366days"] {
            let mut file = Pcapng::new(false);
            file.interface(1, resolution, i64::MAX).interface(1, resolution, i64::MIN);
            file.interface(1, 9, 0);
            for (port, ticks) in [(1, 0), (2, u64::MAX), (3, 5), (4, u64::MAX / 2), (5, u64::MAX)] {
                file.packet(u32::from(port) % 3, ticks, &packet(port));
            }
            let outcome =
                replay(&file.bytes(), &["--window", window, "--packet-threshold", "1e12"]);
            let flows = outcome.records().iter().filter(|r| r["event_type"] == "flow").count();
            assert_eq!(flows, 5, "resolution {resolution:#x}, window {window}");
        }
    }
}

//! The summary at the end of a run.

use crate::support::capture::{Captured, SECOND, at};
use crate::support::frames::{arp, ip, udp};
use crate::support::program::{Outcome, Scratch, gomon};
use crate::traffic::{BOT, beacon, file, flood, packet, signatures, sweep};

/// Frames for every entry of the ledger, in five windows of ten seconds, the third of which is silent.
fn mixed() -> Vec<Captured> {
    let later = |offset: u64, mut frames: Vec<Captured>| {
        for frame in &mut frames {
            frame.time += offset * SECOND;
        }
        frames
    };
    let mut frames = flood(200);
    frames.extend(later(1, sweep(30)));
    frames.push(at(2 * SECOND, arp()));
    frames.push(at(2 * SECOND, udp(ip("192.0.2.7"), ip(BOT), 9, 0))); // a reply
    frames.push(at(2 * SECOND, udp(ip(BOT), ip(BOT), 9, 0))); // to itself
    frames.push(at(2 * SECOND, udp(ip(BOT), ip("203.0.113.50"), 9, 0))); // to its controller
    frames.push(at(2 * SECOND, udp(ip(BOT), ip("198.51.100.77"), 9, 0))); // ignored
    frames.push(at(2 * SECOND, packet(7, 9)[..20].to_vec())); // cut in its IP header
    frames.push(at(2 * SECOND, packet(7, 9)[..5].to_vec())); // cut in its Ethernet header
    frames.extend(later(15, beacon(3)));
    frames.push(at(5 * SECOND, packet(1, 443))); // late
    frames.push(at(400_000 * SECOND, packet(1, 443))); // an implausible timestamp
    frames.extend(later(35, (1..=120).map(|port| at(port.into(), packet(9, port))).collect()));
    frames.push(at(45 * SECOND, arp()));
    frames
}

fn run(scratch: &Scratch, more: &[&str]) -> Outcome {
    let capture = scratch.file("mixed.pcap", &file(&mixed()));
    let flags =
        "--window 10 --packet-threshold 15 --ignore-dst 198.51.100.0/24 --c2-ip 203.0.113.50";
    let flags = flags.split(' ').chain(more.iter().copied());
    gomon([capture.to_str().unwrap(), BOT].into_iter().chain(flags))
}

/// The numbers in a line, in order.
fn numbers(line: &str) -> Vec<u64> {
    let digits = line.split(|c: char| !c.is_ascii_digit());
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

#[test]
fn the_ledger_balances_and_has_every_entry() {
    let scratch = Scratch::new();
    let run = run(&scratch, &[]);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let ledger = run.line("Ledger: ");
    let fates =
        "363 frames seen = 355 counted + 1 not from the bot + 3 ignored + 2 not IP + 2 malformed";
    assert!(ledger.starts_with(&format!("Ledger: {fates}")), "{ledger}");
    let rest = "; 1 late, 1 with an implausible timestamp, 0 packets in overflow";
    assert!(ledger.ends_with(rest), "{ledger}");
    let [seen, parts @ ..] = numbers(fates).try_into().map(|n: [u64; 6]| n).unwrap();
    assert_eq!(seen, parts.iter().sum::<u64>());
    assert_eq!(seen, mixed().len() as u64);
}

#[test]
fn every_stats_record_has_a_ledger_that_balances_and_they_add_up_to_the_summary() {
    let scratch = Scratch::new();
    // Nothing exceeds these thresholds, so every window is idle.
    let high = ["--show-idle", "--packet-threshold", "1e6", "--destination-threshold", "1e6"];
    let off = ["--port-threshold", "0", "--sweep-detection", "off"];
    let run = run(&scratch, &[&high[..], &off[..]].concat());
    let names = ["frames", "counted", "not_from_bot", "ignored", "not_ip", "malformed", "lost"];
    let mut sum = [0; 7];
    let records = run.records();
    let stats = records.iter().filter(|record| record["event_type"] == "stats");
    for record in stats.clone() {
        let ledger = &record["metadata"]["gomon"]["ledger"];
        let fates = names.map(|name| ledger[name].as_u64().expect("a number, zero included"));
        assert_eq!(fates[0], fates[1..6].iter().sum::<u64>(), "{ledger}");
        sum.iter_mut().zip(fates).for_each(|(sum, fate)| *sum += fate);
    }
    assert_eq!(stats.count(), 5);
    assert_eq!(sum[..6], numbers(run.line("Ledger: "))[..6]);
}

#[test]
fn the_summary_counts_alerts_idle_windows_and_captures() {
    let scratch = Scratch::new();
    let captures = scratch.path().join("captures");
    let run = run(&scratch, &["--save-packets=10", "--capture-dir", captures.to_str().unwrap()]);
    // An attack, a scan and a sweep in the first window, 120 ports of one host in the fourth.
    assert_eq!(signatures(&run.records()), [2_100_001, 2_100_002, 2_100_005, 2_100_004]);
    assert_eq!(
        run.line("Summary: "),
        "Summary: 1 attack alert(s), 1 scan alert(s), 1 vertical scan alert(s), 1 sweep alert(s), \
         3 idle window(s), 4 capture(s) saved"
    );
    assert_eq!(scratch.names("captures").len(), 4);
    assert!(!run.records().iter().any(|record| record["event_type"] == "stats"));
}

#[test]
fn packets_in_overflow_are_reported_and_counted() {
    let scratch = Scratch::new();
    let run = run(&scratch, &["--max-destinations", "10"]);
    assert_eq!(run.status, Some(0));
    let ledger = run.line("Ledger: ");
    assert_eq!(numbers(ledger)[..2], [363, 355]);
    assert!(ledger.ends_with(" packets in overflow") && !ledger.contains(" 0 packets"), "{ledger}");
    let warnings = run.stderr.lines().filter(|line| line.contains("raise --max-destinations"));
    assert_eq!(warnings.count(), 2, "one for each window with an overflow");
}

#[test]
fn a_run_that_counted_nothing_warns_about_the_address() {
    let scratch = Scratch::new();
    let capture = scratch.file("beacon.pcap", &file(&beacon(3)));
    let capture = capture.to_str().unwrap();
    let warning = "no packet counted so far: is 10.0.0.9 the bot's address?";
    let wrong = gomon([capture, "10.0.0.9"]);
    assert_eq!(wrong.status, Some(0));
    assert_eq!(wrong.stderr.lines().filter(|line| line.contains(warning)).count(), 1);
    assert!(!gomon([capture, BOT]).stderr.contains("no packet counted"));
    assert!(!gomon([capture, "any"]).stderr.contains("no packet counted"));
}

//! `--calibrate`: recommended thresholds for a bot's ordinary traffic.

use proptest::prelude::*;

use crate::support::capture::{Captured, at};
use crate::support::program::{Outcome, Scratch, gomon};
use crate::traffic::{BOT, beacon, file, flood, packet, signatures, sweep};

const ATTACK: u64 = 2_100_001;
const SCAN: u64 = 2_100_002;

/// The recommended packet and destination thresholds, as printed.
#[track_caller]
fn recommended(run: &Outcome) -> [String; 2] {
    let line = run.line("Recommended thresholds");
    let words: Vec<_> = line.split_whitespace().collect();
    ["--packet-threshold", "--destination-threshold"].map(|flag| {
        let position = words.iter().position(|word| *word == flag).expect("the flag");
        words[position + 1].to_owned()
    })
}

/// Alerts for attacks and for horizontal scans under these thresholds.
fn alerts(capture: &str, flags: &[&str], packets: &str, destinations: &str) -> [usize; 2] {
    let thresholds = ["--packet-threshold", packets, "--destination-threshold", destinations];
    let run = gomon([capture, BOT].iter().chain(flags).chain(&thresholds));
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let found = signatures(&run.records());
    [ATTACK, SCAN].map(|id| found.iter().filter(|found| **found == id).count())
}

#[test]
fn calibration_reports_its_windows_and_no_verdicts() {
    let scratch = Scratch::new();
    let mut frames = beacon(5);
    frames.extend(flood(200));
    frames.extend(sweep(50));
    frames.sort_by_key(|frame| frame.time);
    let capture = scratch.file("mixed.pcap", &file(&frames));
    let eve = scratch.path().join("eve.json");
    let run = gomon([
        capture.to_str().unwrap(),
        BOT,
        "--calibrate",
        "--show-idle",
        "--window=2",
        "--save-packets=5",
        "--eve-log-path",
        eve.to_str().unwrap(),
    ]);
    assert_eq!((run.status, run.errors()), (Some(0), vec![]));
    assert_eq!(run.stdout, "");
    assert!(!eve.exists(), "there is nothing to write to it");
    let windows: Vec<_> = run.stderr.lines().filter(|l| l.contains("calibration window")).collect();
    assert_eq!(windows.len(), 3, "one line of the log for each window");
    assert!(
        windows[0]
            .contains(" packet_rate=126.0000 packet_rate_mean=126.0000 packet_rate_max=126.0000 "),
        "{windows:?}"
    );
    assert!(windows[0].contains(" busiest=192.0.2.7 busiest_packets=201"), "{windows:?}");
    assert!(
        windows[1].contains(" hosts=1.0000 hosts_mean=25.5000 hosts_max=50.0000 "),
        "{windows:?}"
    );
    assert!(run.stderr.contains("\nCalibration complete. Alerts suppressed; "), "{}", run.stderr);
    assert_eq!(run.line("Calibration summary"), "Calibration summary: 3 window(s) analyzed");
    let table = run.stderr.lines().skip_while(|line| !line.starts_with("Calibration summary"));
    let table: Vec<Vec<_>> =
        table.skip(1).take(5).map(|row| row.split_whitespace().collect()).collect();
    let rows = [
        "figure mean maximum recommended",
        "packets/s 42.5 126",
        "packets/s to the busiest host 34 100.5 --packet-threshold 100.5000",
        "hosts/window 17.3333 50 --destination-threshold 50",
        "ports/window of the host with most 1.3333 2 --port-threshold 2",
    ];
    assert_eq!(table.iter().map(|row| row.join(" ")).collect::<Vec<_>>(), rows);
    // 200 packets of the flood and one of the sweep, in 2 s.
    assert_eq!(recommended(&run), ["100.5000", "50"]);
    assert!(run.line("Busiest destination: ").contains("192.0.2.7 "), "{}", run.stderr);
    assert!(run.line("Ledger: ").starts_with("Ledger: 255 frames seen = 255 counted "));
    assert_eq!(scratch.names(""), ["mixed.pcap"]);
}

#[test]
fn a_calibration_that_counted_nothing_recommends_nothing() {
    let scratch = Scratch::new();
    let capture = scratch.file("beacon.pcap", &file(&beacon(3)));
    let run = gomon([capture.to_str().unwrap(), "10.0.0.9", "--calibrate"]);
    assert_eq!(run.status, Some(0));
    let expected = "Recommended thresholds: none, because nothing was counted";
    assert_eq!(run.line("Recommended thresholds"), expected);
}

/// Packets within 12 s to few hosts and ports, so that windows differ.
fn traffic() -> impl Strategy<Value = Vec<Captured>> {
    let packets = prop::collection::vec((0u64..12_000_000_000, 1u8..30, 1u16..4), 1..150);
    packets.prop_map(|mut packets| {
        packets.sort_unstable();
        packets.iter().map(|(time, host, port)| at(*time, packet(*host, *port))).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn the_recommended_thresholds_are_the_lowest_without_an_alert(
        frames in traffic(),
        (window, step) in prop::sample::select(&[("3", "3"), ("700ms", "700ms"), ("4", "1"), ("30", "30")]),
        mode in prop::sample::select(&["host-rate", "new-host-rate", "filtered-host-rate"]),
    ) {
        let scratch = Scratch::new();
        let capture = scratch.file("capture.pcap", &file(&frames));
        let capture = capture.to_str().unwrap();
        let flags = ["--window", window, "--step", step, "--scan-detection-mode", mode];
        let run = gomon([capture, BOT, "--calibrate"].iter().chain(&flags));
        prop_assert_eq!(run.status, Some(0), "{}", run.stderr);
        let [packets, destinations] = recommended(&run);
        prop_assert_eq!(alerts(capture, &flags, &packets, &destinations), [0, 0]);

        let below = |threshold: &str, by: f64| (threshold.parse::<f64>().unwrap() - by).to_string();
        let [attacks, _] = alerts(capture, &flags, &below(&packets, 2e-4), &destinations);
        prop_assert!(attacks > 0, "--packet-threshold {} is higher than it need be", packets);
        let [_, scans] = alerts(capture, &flags, &packets, &below(&destinations, 0.5));
        prop_assert!(scans > 0, "--destination-threshold {} is higher than it need be", destinations);
    }
}

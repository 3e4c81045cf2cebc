//! Captures during which the clock was set, and captures with constant timestamps.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::clocks::{BOT, replay, sent, timeline};
use crate::support::capture::{Captured, PLAIN, Pcapng, SECOND, at, pcap};
use crate::support::frames::{ack, arp, ip, ip_packet, syn, udp};
use crate::support::program::{Outcome, Scratch, gomon};
use crate::support::real;

/// A packet to port 1 every 10 s, from `second` on.
fn steady(second: u64, packets: u64) -> impl Iterator<Item = Captured> {
    (0..packets).map(move |n| sent((second + 10 * n) * SECOND, 1))
}

#[test]
fn a_clock_that_is_set_back_starts_a_new_grid_with_one_warning() {
    let hour = 3600;
    let frames: Vec<_> = steady(hour, 6).chain(steady(205, 10)).chain(steady(7, 9)).collect();
    let outcome = replay(&pcap(PLAIN, &frames), &["--window", "20"]);
    let starts: Vec<_> = timeline(&outcome.records()).iter().map(|(start, _)| *start).collect();
    let grid = |start: i64, windows: i64| (0..windows).map(move |n| start + 20 * n);
    let expected: Vec<_> = grid(3600, 3).chain(grid(205, 5)).chain(grid(7, 5)).collect();
    assert_eq!(starts, expected);
    assert!(
        outcome.line("Ledger:").contains("; 0 late, 0 with an implausible"),
        "{}",
        outcome.stderr
    );
    let warnings: Vec<_> = outcome.stderr.lines().filter(|l| l.contains("set back")).collect();
    assert_eq!(warnings.len(), 1, "{}", outcome.stderr);
    // The hour before is known to have reached its 40th second, when the last contact was made.
    assert!(warnings[0].contains("by about 3435.0 s"), "{}", warnings[0]);
}

#[test]
fn sliding_windows_do_not_span_a_clock_step() {
    let frames: Vec<_> = steady(3600, 6).chain(steady(0, 9)).collect();
    let flags = ["--window", "30", "--step", "10", "--packet-threshold", "0.09"];
    let records = replay(&pcap(PLAIN, &frames), &flags).records();
    let start = |record: &Value| record["timestamp"].as_str().unwrap()[11..19].to_owned();
    let attacks = records.iter().filter(|r| r["event_type"] == "alert");
    let reported: Vec<_> =
        attacks.map(|r| (start(r), r["metadata"]["gomon"]["packets"].clone())).collect();
    let before = (0..4).map(|n| (format!("11:00:{n}0"), 3.into()));
    let after = (0..7).map(|n| (format!("10:0{}:{}0", n / 6, n % 6), 3.into()));
    assert_eq!(reported, before.chain(after).collect::<Vec<_>>());

    let idle = (0..6).map(|n| at(3611 * SECOND + n, arp()));
    // A period that is shorter than a window is judged as a separate observation.
    let frames: Vec<_> = steady(3600, 2).chain(idle).chain(steady(0, 9)).collect();
    let records = replay(&pcap(PLAIN, &frames), &flags).records();
    assert_eq!(start(&records[0]), "11:00:00");
    assert_eq!(records[0]["metadata"]["gomon"]["packets"], 2);
}

#[test]
fn an_artifact_has_the_packets_of_its_window_on_either_side_of_a_clock_step() {
    let flood = |second: u64, port| (0..40).map(move |n| sent(second * SECOND + n, port));
    let frames: Vec<_> =
        flood(3600, 1).chain(flood(3601, 2)).chain(flood(0, 3)).chain(flood(1, 4)).collect();
    let flags = ["--window", "1", "--packet-threshold", "30", "--save-packets", "5"];
    for more in [&[][..], &["--step", "500ms"]] {
        let directory = Scratch::new();
        let saved = directory.path().to_str().unwrap();
        let flags = [&flags[..], more, &["--capture-dir", saved]].concat();
        let records = replay(&pcap(PLAIN, &frames), &flags).records();
        let attacks: Vec<_> = records.iter().filter(|r| r["event_type"] == "alert").collect();
        assert!(attacks.len() >= 4, "{records:#?}");
        for attack in attacks {
            let port = attack["dest_port"].as_u64().unwrap();
            let path = attack["capture_file"].as_str().unwrap();
            let packets = real::frames(Path::new(path));
            let first = [3600, 3601, 0, 1][usize::try_from(port).unwrap() - 1] * SECOND + 35;
            let expected: Vec<_> = (0..5)
                .map(|n| sent(first + n, u16::try_from(port).unwrap()))
                .map(|frame| (i64::try_from(frame.time).unwrap(), frame.data))
                .collect();
            let packets: Vec<_> =
                packets.into_iter().map(|(time, data)| (time.nanoseconds(), data)).collect();
            assert_eq!(packets, expected, "{path} of port {port}, {more:?}");
        }
    }
}

#[test]
fn contacts_wait_for_their_replies_across_a_clock_step() {
    let host = |n: u64| ip(&format!("192.0.2.{}", n + 1));
    let tried =
        |second: u64| (0..20).map(move |n| at(second * SECOND + n, syn(ip(BOT), host(n), 23)));
    let answered =
        |second: u64| (0..20).map(move |n| at(second * SECOND + n, ack(ip(BOT), host(n), 23)));
    let requested =
        |second: u64| (0..20).map(move |n| at(second * SECOND + n, udp(ip(BOT), host(n), 53, 0)));
    // From port 53 to port 40000, 8 bytes long.
    let reply = |host| ip_packet(host, ip(BOT), 17, &[0, 53, 0x9c, 0x40, 0, 8, 0, 0]);
    let replied = |second: u64| (0..20).map(move |n| at(second * SECOND + n, reply(host(n))));
    let sweeps = |frames: Vec<Captured>| {
        let flags = ["--destination-threshold", "1000", "--connections", "off"];
        let outcome = replay(&pcap(PLAIN, &frames), &flags);
        assert!(outcome.stderr.contains("set back"), "{}", outcome.stderr);
        let records = outcome.records();
        let alerts = records.iter().filter(|r| r["event_type"] == "alert");
        alerts.map(|r| r["dest_port"].as_u64().unwrap()).collect::<Vec<u64>>()
    };
    let start = || (0..2).map(|n| at(3600 * SECOND + n, arp()));
    let late = || steady(40, 9).map(|frame| Captured { data: arp(), ..frame });
    let back = || [at(SECOND, arp())];
    assert_eq!(
        sweeps(start().chain(tried(3601)).chain(answered(2)).chain(late()).collect()),
        [0_u64; 0]
    );
    assert_eq!(sweeps(start().chain(tried(3601)).chain(late()).collect()), [23]);
    assert_eq!(
        sweeps(start().chain(requested(3601)).chain(replied(2)).chain(late()).collect()),
        [0_u64; 0]
    );
    assert_eq!(
        sweeps(
            start().chain(requested(3601)).chain(back()).chain(replied(5)).chain(late()).collect()
        ),
        [53]
    );
}

#[test]
fn constant_timestamps_have_no_rates() {
    let scan = |time: fn(u64) -> u64| -> Vec<u8> {
        let frames: Vec<_> = (0..400)
            .map(|n| {
                let host = ip(&format!("192.0.2.{}", n % 20 + 1));
                let port = u16::try_from(n % 200 + 1).unwrap();
                at(
                    time(n),
                    if n < 20 { syn(ip(BOT), host, 23) } else { udp(ip(BOT), host, port, 0) },
                )
            })
            .collect();
        pcap(PLAIN, &frames)
    };
    let mode = ["--scan-detection-mode", "host-rate"];
    let flags = [&["--port-threshold", "5", "--packet-threshold", "0.1"], &mode[..]].concat();
    let classes = |outcome: &Outcome| -> BTreeSet<String> {
        let records = outcome.records();
        let alerts = records.iter().filter(|r| r["event_type"] == "alert");
        alerts.map(|r| r["metadata"]["gomon"]["classification"].to_string()).collect()
    };
    let moving = replay(&scan(|n| n), &flags);
    assert_eq!(classes(&moving).len(), 4, "{:?}", classes(&moving));
    assert!(!moving.stderr.contains("rates are unknown"), "{}", moving.stderr);
    let constant = replay(&scan(|_| 0), &flags);
    assert_eq!(classes(&constant), BTreeSet::from(["\"sweep\"".to_owned()]));
    let warnings =
        constant.stderr.lines().filter(|line| line.contains("rates are unknown")).count();
    assert_eq!(warnings, 1, "{}", constant.stderr);

    // Frames without timestamps, as many as make an attack otherwise.
    let mut timeless = Pcapng::new(false);
    timeless.interface(1, 9, 0);
    for _ in 0..200 {
        timeless.simple_packet(&udp(ip(BOT), ip("192.0.2.1"), 1, 0));
    }
    let outcome = replay(&timeless.bytes(), &[]);
    assert_eq!(classes(&outcome), BTreeSet::new());
    assert!(outcome.stderr.contains("rates are unknown"), "{}", outcome.stderr);
}

/// The outcome of the captures in `../shared/reports` whose clocks step or are wrong: idle windows, late frames,
/// frames with implausible timestamps, and the day of the first window.
#[test]
fn reported_captures_with_clock_steps_have_no_alerts() {
    let Some(folder) = real::captures() else { return };
    let reports = folder.join("../reports");
    if !reports.is_dir() {
        println!("SKIPPED: no reported captures in {}", reports.display());
        return;
    }
    for (name, idle, late, implausible, day) in [
        ("clock-plain.pcap", 120, 0, 0, "2026-01-01"),
        ("clock-first-2106.pcap", 120, 0, 1, "2026-01-01"),
        ("clock-first-hour-ahead.pcap", 120, 0, 1, "2026-01-01"),
        ("clock-back-hour.pcap", 180, 0, 0, "2026-01-01"),
        ("clock-older-second.pcap", 180, 0, 0, "2026-01-02"),
        ("clock-two-2106.pcap", 120, 0, 2, "2026-01-01"),
        ("clock-vbox-first-0.pcap", 120, 0, 0, "2026-01-01"),
        // A jump ahead of less than 1000 windows, which needs no confirmation, and then back.
        ("clock-one-2h-ahead.pcap", 361, 0, 0, "2026-01-01"),
        ("clock-two-hosts-2h-apart.pcapng", 360, 0, 178, "2026-01-01"),
        ("clock-inet838.pcap", 2721, 0, 0, "1970-01-01"),
        ("clock-all-zero.pcap", 1, 0, 0, "1970-01-01"),
    ] {
        let path = reports.join(name);
        let outcome = gomon([path.to_str().unwrap(), BOT, "--quiet", "--show-idle"]);
        assert_eq!(outcome.status, Some(0), "{name}: {}", outcome.stderr);
        let summary = [outcome.line("Summary:"), outcome.line("Ledger:")].join("\n");
        let windows = format!("{idle} idle window(s)");
        let timestamps = format!("; {late} late, {implausible} with an implausible timestamp");
        for part in [
            "Summary: 0 attack alert(s), 0 scan alert(s), 0 vertical scan alert(s), 0 sweep",
            &windows,
            &timestamps,
        ] {
            assert!(summary.contains(part), "{name}: {part:?} in {summary}");
        }
        let first = &outcome.records()[0];
        assert!(first["timestamp"].as_str().unwrap().starts_with(day), "{name}: {first}");
        assert_eq!(
            outcome.stderr.contains("rates are unknown"),
            name == "clock-all-zero.pcap",
            "{name}"
        );
    }
}

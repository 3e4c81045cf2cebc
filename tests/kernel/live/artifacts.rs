//! Packets for artifacts from the kernel: all packets of a slow bot, the last packets of a fast one.

use std::fs;
use std::path::Path;
use std::thread;

use gomon::core::Timestamp;
use gomon_xdpgen::{Order, Traffic};
use serde_json::Value;

use super::{BOT, LONG, attached, finish, net, packet, until_counted};
use crate::can_generate;
use crate::support::frames::{ip, udp};
use crate::support::program::{Outcome, Scratch};
use crate::support::real::{Frames, frames};

/// Returns the frames of all artifacts of alerts about a host, with the start of their window.
fn saved(run: &[Value], host: &str) -> Vec<(Timestamp, Frames)> {
    let about = run.iter().filter(|record| record["dest_ip"] == host);
    let alerts = about.filter(|record| record["event_type"] == "alert");
    let artifacts = alerts.map(|alert| {
        let text = alert["timestamp"].as_str().unwrap();
        let start = jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).unwrap();
        let start = Timestamp::saturating(start.as_nanosecond());
        (start, frames(Path::new(alert["capture_file"].as_str().expect("an artifact"))))
    });
    artifacts.collect()
}

#[track_caller]
fn assert_in_order(frames: &[(Timestamp, Vec<u8>)]) {
    assert!(frames.is_sorted_by_key(|(time, _)| *time), "{frames:?}");
}

#[test]
fn live_artifacts_contain_the_last_packets_of_both_directions_unchanged() {
    for mode in ["xdp", "xdp-generic", "tc"] {
        let Some(net) = net() else { return };
        let scratch = Scratch::new();
        let args = format!("{LONG} --attach {mode} --packet-threshold 10/window");
        let args = format!("{args} --save-packets 12 --capture-dir {}", scratch.path().display());
        let mut gomon = attached(&net, BOT, &args);
        let to = |n: usize| udp(ip(BOT), ip("192.0.2.1"), 80, n);
        let back = |n: usize| udp(ip("192.0.2.1"), ip(BOT), 40000, n);
        let mut tagged = to(99);
        tagged.splice(12..12, [0x81, 0, 0, 7]);
        let mut expected: Vec<Vec<u8>> = Vec::new();
        let mut counted = 0;
        for round in 0..5 {
            let sent: Vec<_> = (0..3).map(|n| to(10 * round + n)).chain([tagged.clone()]).collect();
            net.send(&sent);
            counted += sent.len() as u64;
            until_counted(&mut gomon, counted);
            // The second packet is from a host the bot never contacted, so no artifact contains it.
            let replies = [back(round), udp(ip("192.0.2.2"), ip(BOT), 1, 1)];
            net.answer(&replies);
            expected.extend(sent);
            expected.push(replies[0].clone());
        }
        net.send(&vec![packet(3, 80); 5]);
        until_counted(&mut gomon, counted + 5);
        gomon.signal("INT");
        let run = finish(gomon);
        let artifacts = saved(&run.records(), "192.0.2.1");
        assert_eq!(artifacts.len(), 1, "{mode}: {}", run.stdout);
        let (_, frames) = &artifacts[0];
        assert_in_order(frames);
        let frames: Vec<_> = frames.iter().map(|(_, data)| data.clone()).collect();
        assert_eq!(frames, expected[expected.len() - 12..], "{mode}");
        assert!(run.line("Summary: ").contains(" 1 capture(s) saved"), "{mode}: {}", run.stderr);
        assert!(run.line("Attached: ").ends_with(" on vnet0, 0 lost"), "{mode}: {}", run.stderr);
    }
}

#[test]
fn live_artifacts_of_a_scan_contain_the_packets_of_every_host() {
    let Some(net) = net() else { return };
    let scratch = Scratch::new();
    let args = format!("{LONG} --save-packets 2 --capture-dir {}", scratch.path().display());
    let mut gomon = attached(&net, BOT, &args);
    let sent: Vec<_> = (1..=40).flat_map(|host| [packet(host, 80), packet(host, 81)]).collect();
    net.send(&sent);
    until_counted(&mut gomon, sent.len() as u64);
    gomon.signal("INT");
    let run = finish(gomon);
    let artifacts = saved(&run.records(), "0.0.0.0");
    assert_eq!(artifacts.len(), 1, "{}", run.stdout);
    let frames: Vec<_> = artifacts[0].1.iter().map(|(_, data)| data.clone()).collect();
    assert_eq!(frames, sent);
}

#[test]
fn live_artifacts_cause_no_wakeups_without_packets() {
    const WINDOWS: u64 = 3;
    let Some(net) = net() else { return };
    let scratch = Scratch::new();
    let args = format!("--save-packets 20 --capture-dir {}", scratch.path().display());
    let mut gomon = attached(&net, BOT, &format!("--window 1s --show-idle {args}"));
    let mut switches_after_window = || {
        gomon.record();
        voluntary_switches(gomon.id())
    };
    let before = switches_after_window();
    let after = (0..WINDOWS).map(|_| switches_after_window()).last().unwrap();
    gomon.signal("INT");
    finish(gomon);
    // The remaining wake-ups close windows.
    let each = (after - before) / WINDOWS;
    assert!(each < 20, "{each} wake-ups in a second without a packet");
}

/// Returns the number of voluntary context switches of all threads of a process.
fn voluntary_switches(process: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let statuses = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("status")));
    let of_thread = |status: std::io::Result<String>| {
        let status = status.unwrap_or_default(); // the thread may have ended
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.map_or(0, |number| number.trim().parse().unwrap())
    };
    statuses.map(of_thread).sum()
}

#[test]
fn live_artifacts_are_read_before_their_buffers_are_full() {
    /// Frames of nearly the maximum length, together larger than all buffers.
    const ROUND: usize = 250;
    const ROUNDS: usize = 28;
    let Some(net) = net() else { return };
    let scratch = Scratch::new();
    let args = format!("{LONG} --packet-threshold 10/window --save-packets {}", ROUND * ROUNDS);
    let args = format!("{args} --capture-dir {}", scratch.path().display());
    let mut gomon = attached(&net, BOT, &args);
    let round = vec![udp(ip(BOT), ip("192.0.2.1"), 80, 1400); ROUND];
    for number in 1..=ROUNDS {
        net.send(&round);
        until_counted(&mut gomon, (number * ROUND) as u64);
    }
    gomon.signal("INT");
    let run = finish(gomon);
    let artifacts = saved(&run.records(), "192.0.2.1");
    assert_eq!(artifacts[0].1.len(), ROUND * ROUNDS, "{}", run.stderr);
    assert!(nothing_lost(&run), "{}", run.line("Attached: "));
}

/// The number of frames that the kernel generates.
const GENERATED: u64 = 5_000_000;
/// The number of packets saved per host.
const KEPT: usize = 100;
/// The offset of the packet number in a frame, after the headers of Ethernet, IPv4, and UDP.
const NUMBER_OFFSET: usize = 14 + 20 + 8;
const SECOND: i64 = 1_000_000_000;
/// The maximum time from the oldest saved packet of a flood to the end of its window, in nanoseconds.
const MAX_AGE: i64 = SECOND / 10;

#[test]
fn live_artifacts_of_a_flood_and_of_a_slow_attack_at_the_same_time() {
    let Some(net) = net().filter(|_| can_generate()) else { return };
    let scratch = Scratch::new();
    let args = format!(
        "--window 1s --attach xdp --packet-threshold 3/window --save-packets {KEPT} --capture-dir {}",
        scratch.path().display()
    );
    let mut gomon = attached(&net, BOT, &args);
    let flood = Traffic {
        source: BOT.parse().unwrap(),
        destination: [198, 18, 0, 0].into(),
        hosts: 1,
        order: Order::RoundRobin,
        port: 80,
        length: 64,
        numbered: true,
    };
    let slow: Vec<_> = (0..40).map(|n| udp(ip(BOT), ip("192.0.2.9"), 80, n)).collect();
    let (run, records) = thread::scope(|scope| {
        let sender = scope.spawn(|| net.generate(&flood, GENERATED));
        let mut records = Vec::new();
        // The slow attack, with some packets in every window.
        for frame in &slow {
            net.send(std::slice::from_ref(frame));
        }
        while !sender.is_finished() {
            records.push(gomon.record());
        }
        gomon.signal("INT");
        let run = finish(gomon);
        records.extend(run.records());
        (run, records)
    });
    let floods = saved(&records, "198.18.0.0");
    assert!(floods.len() > 1, "{} windows with a flood", floods.len());
    let none_dropped = net.statistic("rx_dropped") == 0;
    // The flood ended within the last window.
    for (start, frames) in &floods[..floods.len() - 1] {
        assert_eq!(frames.len(), KEPT);
        assert_in_order(frames);
        let end = start.after(SECOND);
        let oldest = end.since(frames[0].0);
        // The start of the window is recorded in microseconds.
        assert!((-1000..=MAX_AGE + 1000).contains(&oldest), "{oldest} ns before the end");
        let numbers: Vec<_> = frames
            .iter()
            .map(|(_, data)| {
                u64::from_be_bytes(data[NUMBER_OFFSET..NUMBER_OFFSET + 8].try_into().unwrap())
            })
            .collect();
        let is_consecutive = numbers.windows(2).all(|pair| pair[1] == pair[0] + 1);
        assert!(is_consecutive || !none_dropped, "not consecutive: {numbers:?}");
    }
    // The artifacts contain every packet of the slow attack in spite of the flood.
    let kept: Vec<_> = saved(&records, "192.0.2.9").into_iter().flat_map(|(_, f)| f).collect();
    let attacks = kept.iter().map(|(_, data)| data.clone());
    let reported: u64 = packets_reported(&records, "192.0.2.9");
    assert_eq!(attacks.count() as u64, reported, "of {} sent", slow.len());
    assert!(reported > 10, "{reported} packets in attacks");
    assert!(nothing_lost(&run), "{}", run.line("Attached: "));
}

/// Returns the number of packets in all attacks on a host.
fn packets_reported(records: &[Value], host: &str) -> u64 {
    let about = records.iter().filter(|record| record["dest_ip"] == host);
    let alerts = about.filter(|record| record["event_type"] == "alert");
    alerts.map(|alert| alert["metadata"]["gomon"]["packets"].as_u64().unwrap()).sum()
}

/// Returns whether no packet was lost, neither for counts nor for artifacts.
fn nothing_lost(run: &Outcome) -> bool {
    run.line("Attached: ").ends_with(" on vnet0, 0 lost")
}

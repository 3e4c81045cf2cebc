//! The verdicts of a window, and their order.

use std::net::IpAddr;
use std::ops::Range;

use serde_json::{Value, json};

use crate::rules::{class, gomon_object};
use crate::runs::{BOT, BOT6, Traffic};
use crate::support::frames::{ip, ip_packet, syn, udp};

/// More packets than the default threshold allows in 10 s.
const FLOOD: usize = 60;

fn bot() -> IpAddr {
    ip(BOT)
}

fn host(number: u8) -> IpAddr {
    ip(&format!("198.51.100.{number}"))
}

/// A SYN to a host, on a different port for each, so that no port is swept.
fn attempt(number: u8) -> Vec<u8> {
    syn(bot(), host(number), 1000 + u16::from(number))
}

/// A flood to each of `flooded` hosts, and a SYN to each of `contacted` further ones.
fn floods_and_attempts(at: u64, flooded: u8, contacted: u8) -> Traffic {
    let floods = (0..flooded).flat_map(|n| vec![attempt(n); FLOOD]);
    let attempts = (0..contacted).map(|n| attempt(flooded + n));
    Traffic::default().all(at, floods).all(at + 1, attempts)
}

/// The number of records of each class, by window.
fn classes(records: &[Value]) -> Vec<Vec<(&str, usize)>> {
    let windows = records.chunk_by(|a, b| a["timestamp"] == b["timestamp"]);
    let counted = windows.map(|window| {
        let classes = window.chunk_by(|a, b| class(a) == class(b));
        classes.map(|records| (class(&records[0]), records.len())).collect()
    });
    counted.collect()
}

#[test]
fn hosts_under_attack_count_towards_a_scan_in_host_rate_only() {
    let run = |mode| {
        let flags = ["--window", "10", "--destination-threshold", "100"];
        let flags = [&flags[..], &["--scan-detection-mode", mode]].concat();
        floods_and_attempts(0, 20, 90).judged(BOT, &flags)
    };
    let filtered = run("filtered-host-rate");
    assert_eq!(classes(&filtered).concat(), [("attack", 20), ("connection", 90)]);
    for mode in ["host-rate", "new-host-rate"] {
        let records = run(mode);
        assert_eq!(classes(&records).concat(), [("attack", 20), ("scan", 1)], "{mode}");
        assert_eq!(gomon_object(&records[20])["hosts"], 110);
        assert_eq!(gomon_object(&records[20])["scan_detection_mode"], mode);
    }
}

#[test]
fn a_scan_of_hosts_that_are_not_attacked_lists_only_those() {
    let flags = ["--window", "10", "--destination-threshold", "100"];
    let records = floods_and_attempts(0, 20, 101).judged(BOT, &flags);
    assert_eq!(classes(&records).concat(), [("attack", 20), ("scan", 1)]);
    let listed: Vec<_> = (20..121).map(|n| host(n).to_string()).collect();
    assert_eq!(gomon_object(&records[20])["dst_ips"], json!(listed));
}

#[test]
fn new_host_rate_compares_with_the_previous_window() {
    let attempts = |at, hosts: Range<u8>| Traffic::default().all(at, hosts.map(attempt));
    let traffic = attempts(0, 0..120)
        .and(attempts(10_000, 0..120))
        .and(attempts(20_000, 120..240))
        .and(attempts(30_000, 0..120))
        .and(attempts(40_000, 100..230));
    let run = |mode| {
        let flags = ["--window", "10", "--destination-threshold", "100", "--show-idle"];
        let flags = [&flags[..], &["--connections", "off", "--scan-detection-mode", mode]].concat();
        traffic.clone().judged(BOT, &flags)
    };
    let records = run("new-host-rate");
    let classes: Vec<_> = records.iter().map(class).collect();
    assert_eq!(classes, ["scan", "idle", "scan", "scan", "scan"]);
    assert_eq!(gomon_object(&records[1])["hosts"], 0, "none is new");
    assert_eq!(gomon_object(&records[1])["packets"], 120);
    let new: Vec<_> = (120..230).map(|n| host(n).to_string()).collect();
    assert_eq!(gomon_object(&records[4])["dst_ips"], json!(new));
    for mode in ["host-rate", "filtered-host-rate"] {
        let records = run(mode);
        assert!(records.iter().all(|record| class(record) == "scan"), "{mode}");
    }
}

#[test]
fn an_attack_needs_no_controller_and_a_scan_hides_none() {
    let flags = ["--window", "10", "--c2-ip", "203.0.113.50"];
    let with = floods_and_attempts(0, 2, 12).judged(BOT, &flags);
    let without = floods_and_attempts(0, 2, 12).judged(BOT, &flags[..2]);
    assert_eq!(classes(&with).concat(), [("attack", 2), ("scan", 1)]);
    assert_eq!(classes(&with), classes(&without));
}

#[test]
fn a_host_is_scanned_and_attacked_at_once() {
    let ports = || (0u16..).take(FLOOD).map(|n| syn(bot(), host(1), 1000 + n));
    let flags = ["--window", "10", "--port-threshold", "50"];
    // None of its endpoints is attacked by itself: they are not reported individually.
    let records = Traffic::default().all(0, ports()).judged(BOT, &flags);
    assert_eq!(classes(&records).concat(), [("attack", 1), ("vertical_scan", 1)]);
    assert_eq!(records[0]["flow_id"], records[1]["flow_id"]);
    // One is: the others are still connections.
    let traffic = Traffic::default().all(0, ports()).times(FLOOD, 0, &udp(bot(), host(1), 53, 0));
    let records = traffic.judged(BOT, &flags);
    let expected = [("attack", 1), ("vertical_scan", 1), ("connection", FLOOD)];
    assert_eq!(classes(&records).concat(), expected);
    assert_eq!(gomon_object(&records[0])["scope"], "local");
    // In the window of a scan they are not reported.
    let attempts = (2..20).map(attempt);
    let records = Traffic::default().all(0, ports()).all(0, attempts).judged(BOT, &flags);
    assert_eq!(classes(&records).concat(), [("attack", 1), ("vertical_scan", 1), ("scan", 1)]);
}

#[test]
fn records_are_sorted_by_class_and_then_by_address_protocol_and_port() {
    let flood = |traffic: Traffic, frame: &[u8]| traffic.times(FLOOD, 0, frame);
    let [low, middle, high] = ["9.9.9.9", "10.0.0.1", "100.1.1.1"].map(ip);
    let mut traffic = Traffic::default();
    for address in [high, low, middle] {
        for port in [8080, 80, 443] {
            traffic = flood(traffic, &udp(bot(), address, port, 0));
            traffic = flood(traffic, &syn(bot(), address, port));
            traffic = traffic.one(0, syn(bot(), address, port + 1));
        }
        traffic = flood(traffic, &ip_packet(bot(), address, 1, &[8, 0, 0, 0, 0, 0, 0, 0]));
        traffic = flood(traffic, &ip_packet(bot(), address, 144, &[]));
    }
    for address in ["2001:db8::a", "2001:db8::9", "::2", "fe80::1"] {
        traffic = traffic.one(0, syn(ip(BOT6), ip(address), 80));
    }
    let flags = ["--window", "10", "--port-threshold", "5"];
    let records = traffic.judged(&format!("{BOT},{BOT6}"), &flags);
    let expected = [("attack", 24), ("vertical_scan", 3), ("connection", 13)];
    assert_eq!(classes(&records).concat(), expected);

    let place = |r: &Value| format!("{} {} {}", r["dest_ip"], r["proto"], r["dest_port"]);
    let of_first: Vec<_> = records[..8].iter().map(place).collect();
    let expected = [
        "\"ICMP\" null",
        "\"TCP\" 80",
        "\"TCP\" 443",
        "\"TCP\" 8080",
        "\"UDP\" 80",
        "\"UDP\" 443",
        "\"UDP\" 8080",
        "\"144\" null",
    ];
    assert_eq!(of_first, expected.map(|place| format!("\"9.9.9.9\" {place}")));
    let mut hosts: Vec<_> = records[27..].iter().map(|r| r["dest_ip"].as_str().unwrap()).collect();
    hosts.dedup();
    let expected =
        ["::2", "9.9.9.9", "10.0.0.1", "100.1.1.1", "2001:db8::9", "2001:db8::a", "fe80::1"];
    assert_eq!(hosts, expected);
}

#[test]
fn a_flow_id_is_the_same_in_all_windows_classes_and_forms() {
    let traffic = Traffic::default()
        .one(0, syn(bot(), host(1), 80))
        .times(FLOOD, 10_000, &syn(bot(), host(1), 80))
        .one(20_000, udp(bot(), host(1), 80, 0))
        .one(20_000, syn(bot(), host(1), 81))
        .one(20_000, syn(bot(), host(2), 80));
    let records = traffic.judged(BOT, &["--window", "10"]);
    let [quiet, loud, others @ ..] = records.as_slice() else { panic!("records") };
    assert_eq!((class(quiet), class(loud)), ("connection", "attack"));
    assert_eq!(quiet["flow_id"], loud["flow_id"]);
    assert_eq!(others.len(), 3);
    // Another bot's records of the same destination have another one.
    let records = Traffic::default().one(0, syn(ip("10.0.0.6"), host(1), 80));
    let theirs = records.judged("10.0.0.6", &["--window", "10"]);
    assert_ne!(theirs[0]["flow_id"], quiet["flow_id"]);
}

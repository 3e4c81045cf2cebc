//! Thresholds are strict, and mean the same in either unit.

use std::net::IpAddr;

use serde_json::Value;

use crate::rules::{class, gomon_object, number};
use crate::runs::{BOT, Traffic};
use crate::support::frames::{ip, syn, udp};

fn bot() -> IpAddr {
    ip(BOT)
}

fn hosts(number: u8) -> Traffic {
    let host = |n| ip(&format!("192.0.2.{n}"));
    Traffic::default().all(0, (0..number).map(|n| syn(bot(), host(n), 80)))
}

fn ports(number: u16) -> Traffic {
    let host = ip("198.51.100.1");
    Traffic::default().all(0, (1..=number).map(|port| udp(bot(), host, port, 0)))
}

fn packets(number: usize) -> Traffic {
    Traffic::default().times(number, 0, &syn(bot(), ip("198.51.100.1"), 80))
}

fn has(records: &[Value], name: &str) -> bool {
    records.iter().any(|record| class(record) == name)
}

#[test]
fn a_value_equal_to_a_threshold_does_not_exceed_it() {
    for (rate, window, equal) in [("5", "10", 50), ("5", "500ms", 2), ("0.7", "10", 7)] {
        let flags = ["--window", window, "--packet-threshold", rate];
        assert!(!has(&packets(equal).judged(BOT, &flags), "attack"), "{equal} at {rate}");
        assert!(has(&packets(equal + 1).judged(BOT, &flags), "attack"), "above {equal} at {rate}");
    }
    for threshold in [1, 10, 100] {
        let flags = ["--window", "10", "--destination-threshold", &threshold.to_string()];
        assert!(!has(&hosts(threshold).judged(BOT, &flags), "scan"), "{threshold} hosts");
        assert!(has(&hosts(threshold + 1).judged(BOT, &flags), "scan"), "above {threshold} hosts");
    }
    for threshold in [1, 20, 100] {
        let flags = ["--window", "300", "--port-threshold", &threshold.to_string()];
        assert!(!has(&ports(threshold).judged(BOT, &flags), "vertical_scan"), "{threshold} ports");
        let above = ports(threshold + 1).judged(BOT, &flags);
        assert!(has(&above, "vertical_scan"), "above {threshold} ports");
    }
}

#[test]
fn a_host_as_a_whole_is_attacked_above_the_same_threshold() {
    let flags = ["--window", "10", "--connections", "off", "--show-idle"];
    assert!(has(&ports(50).judged(BOT, &flags), "idle"));
    let records = ports(51).judged(BOT, &flags);
    assert_eq!(
        (class(&records[0]), &gomon_object(&records[0])["scope"]),
        ("attack", &"host".into())
    );
}

#[test]
fn a_port_threshold_of_zero_finds_no_vertical_scan() {
    let flags = ["--window", "300", "--port-threshold"];
    assert!(!has(&ports(1000).judged(BOT, &[&flags[..], &["0"]].concat()), "vertical_scan"));
    assert!(has(&ports(101).judged(BOT, &flags[..2]), "vertical_scan"), "the default is 100");
}

#[test]
fn thresholds_by_second_and_by_window_are_the_same() {
    let traffic = packets(51).and(hosts(101)).and(ports(21));
    let run = |flag: &str, value: &str| {
        let flags = ["--window", "10", "--show-idle", flag, value];
        // The capture's name contains that of a temporary directory.
        let nameless = |mut record: Value| {
            record.as_object_mut().expect("an object").remove("pcap_filename");
            record
        };
        traffic.clone().judged(BOT, &flags).into_iter().map(nameless).collect::<Vec<_>>()
    };
    let cases = [
        ("--packet-threshold", ["5", "5/s", "50/window"]),
        ("--packet-threshold", ["5.2", "5.2/s", "52/window"]),
        ("--destination-threshold", ["100", "10/s", "100/window"]),
        ("--destination-threshold", ["101", "10.1/s", "101/window"]),
        ("--port-threshold", ["20", "2/s", "20/window"]),
        ("--port-threshold", ["21", "2.1/s", "21/window"]),
    ];
    for (flag, [bare, by_second, by_window]) in cases {
        let records = run(flag, bare);
        assert_eq!(records, run(flag, by_second), "{flag} {by_second}");
        assert_eq!(records, run(flag, by_window), "{flag} {by_window}");
    }
}

#[test]
fn defaults_are_five_packets_a_second_and_ten_hosts_a_window() {
    assert!(!has(&packets(150).and(hosts(9)).judged(BOT, &[]), "attack"));
    let records = packets(151).judged(BOT, &[]);
    assert_eq!(class(&records[0]), "attack");
    let thresholds = (number(&records[0], "window_s"), number(&records[0], "packet_threshold"));
    assert_eq!(thresholds, (30.0, 5.0));
    assert!(has(&hosts(11).judged(BOT, &[]), "scan"));
}

#[test]
fn no_threshold_is_too_large_for_json() {
    let flags = ["--window", "500ms", "--show-idle", "--destination-threshold", "1.7e308"];
    let records = hosts(3).judged(BOT, &flags);
    let idle = records.last().expect("a record");
    assert!(number(idle, "destination_rate_threshold") >= f64::MAX);
}

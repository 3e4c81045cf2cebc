//! The fields of a record about its window: idle windows, runs of silent ones, sliding and full ones.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::rules::{class, gomon_object, microseconds, number};
use crate::runs::{BOT, Traffic, judged};
use crate::support::capture::{self, PLAIN, SECOND};
use crate::support::frames::{ack, arp, ip, syn, udp};
use crate::support::program::Scratch;

const IDLE: [&str; 3] = ["--window", "10", "--show-idle"];

/// An unbounded number of hosts.
fn hosts() -> impl Iterator<Item = IpAddr> {
    (0u32..).map(|number| IpAddr::V4((0xc633_0000 + number).into()))
}

fn attempt(host: IpAddr) -> Vec<u8> {
    syn(ip(BOT), host, 23)
}

fn dns(source: &str) -> Vec<u8> {
    udp(ip(source), ip("198.51.100.1"), 53, 20)
}

fn of<'a>(records: &'a [Value], name: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| class(record) == name).collect()
}

#[test]
fn an_idle_window_has_totals_in_stats_and_its_own_ledger_in_metadata() {
    let traffic = Traffic::default()
        .times(3, 0, &dns(BOT))
        .one(1, attempt(ip("198.51.100.2")))
        .one(2, dns("10.0.0.77"))
        .times(2, 3, &attempt(ip("192.0.2.9")))
        .times(4, 4, &arp())
        .one(5, dns(BOT)[..18].to_vec())
        .times(60, 10_000, &dns(BOT))
        .one(19_999, attempt(ip(BOT)))
        .one(31_000, arp());
    let records = traffic.judged(BOT, &[&IDLE[..], &["--ignore-dst", "192.0.2.0/24"]].concat());
    let idle = of(&records, "idle");
    let [busy, silent, heard] = idle.as_slice() else { panic!("three: {records:#?}") };

    let length = 3 * dns(BOT).len() + attempt(ip(BOT)).len();
    let expected = json!({
        "version": 1, "id": gomon_object(busy)["id"],
        "classification": "idle", "scope": "global", "windows": 1, "packets": 4, "bytes": length,
        "packet_rate": 0.4, "packet_threshold": 5.0, "hosts": 2, "destination_threshold": 10.0,
        "destination_rate": 0.2, "destination_rate_threshold": 1.0, "hosts_exact": true,
        "scan_detection_mode": "filtered-host-rate", "overflow_packets": 0, "window_s": 10.0,
        "step_s": 10.0,
        "ledger": {"frames": 12, "counted": 4, "not_from_bot": 1, "ignored": 2, "not_ip": 4,
                   "malformed": 1, "lost": 0, "late": 0, "wild": 0},
    });
    assert_eq!(*gomon_object(busy), expected);
    let stats = json!({
        "uptime": 10, "capture": {"kernel_packets": 12, "kernel_drops": 0},
        "decoder": {"pkts": 12, "invalid": 1}, "flow": {"active": 2}, "detect": {"alert": 0},
    });
    assert_eq!(busy["stats"], stats);
    assert_eq!((&busy["event_type"], &busy["dest_ip"]), (&json!("stats"), &json!("0.0.0.0")));

    assert_eq!(silent["timestamp"], "2026-01-29T10:00:20.000000+0000");
    assert_eq!(
        (&gomon_object(silent)["packets"], &gomon_object(silent)["ledger"]["frames"]),
        (&json!(0), &json!(0))
    );
    let stats = json!({
        "uptime": 40, "capture": {"kernel_packets": 74, "kernel_drops": 0},
        "decoder": {"pkts": 74, "invalid": 1}, "flow": {"active": 0}, "detect": {"alert": 1},
    });
    assert_eq!(heard["stats"], stats);
    assert_eq!(gomon_object(heard)["ledger"]["not_ip"], 1);
}

#[test]
fn an_idle_window_names_its_destination_if_there_is_only_one() {
    let records = Traffic::default().one(0, dns(BOT)).judged(BOT, &IDLE);
    let reported: Vec<_> = records.iter().map(|r| (class(r), r["dest_ip"].as_str())).collect();
    assert_eq!(reported, [("connection", Some("198.51.100.1")), ("idle", Some("198.51.100.1"))]);
}

#[test]
fn idle_windows_are_not_reported_by_default() {
    let traffic = Traffic::default().one(0, dns(BOT)).one(25_000, arp());
    assert_eq!(of(&traffic.judged(BOT, &IDLE[..2]), "idle").len(), 0);
}

#[test]
fn a_thousand_silent_windows_are_reported_individually_and_the_rest_in_one_record() {
    let traffic = Traffic::default()
        .one(0, dns(BOT))
        .times(4, 1, &arp()) // more than those that follow, so that the first frame is confirmed
        .times(2, 15_005, &arp())
        .times(2, 25_003, &dns(BOT));
    let flags = ["--window", "10ms", "--show-idle", "--packet-threshold", "1000"];
    let records = traffic.judged(BOT, &flags);
    // Windows 1 to 2499 are silent; only the bot's packets end a silence.
    let idle = of(&records, "idle");
    assert_eq!(idle.len(), 1 + 1000 + 1 + 1);
    let run = idle[1001];
    assert_eq!(gomon_object(run)["windows"], 1499);
    assert_eq!(run["timestamp"], "2026-01-29T10:00:10.010000+0000");
    assert_eq!(
        (&gomon_object(run)["packets"], &gomon_object(run)["ledger"]["not_ip"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(run["stats"]["uptime"], 25);
    assert_eq!(idle[1002]["timestamp"], "2026-01-29T10:00:25.000000+0000");
}

#[test]
fn past_the_limit_hosts_are_estimated_and_packets_still_counted() {
    let traffic = Traffic::default().all(0, hosts().take(300).map(attempt));
    let records = traffic.judged(BOT, &["--window", "10", "--max-destinations", "50"]);
    let [scan, sweep] = records.as_slice() else { panic!("two records: {}", records.len()) };
    assert_eq!(gomon_object(scan)["hosts_exact"], false);
    assert!((number(scan, "hosts") / 300.0 - 1.0).abs() < 0.08, "{}", gomon_object(scan)["hosts"]);
    assert_eq!((number(scan, "packets"), number(scan, "overflow_packets")), (300.0, 250.0));
    let listed: Vec<_> = hosts().take(50).map(|host| json!(host)).collect();
    assert_eq!(gomon_object(scan)["dst_ips"], json!(listed));
    // For unlisted hosts it is unknown whether they answer.
    assert_eq!(gomon_object(sweep)["dst_ips"], json!(listed));
    assert_eq!((class(sweep), number(sweep, "contacts")), ("sweep", 50.0));

    // One listed host out of many is not the destination of the scan.
    let traffic = Traffic::default().all(0, hosts().take(30).map(attempt));
    let records = traffic.judged(BOT, &["--window", "10", "--max-destinations", "1"]);
    assert_eq!(records[0]["dest_ip"], "0.0.0.0");

    // A flood to a listed host is detected although its endpoints no longer fit.
    let flood = (0..60).map(|n| udp(ip(BOT), ip("198.51.100.1"), 1024 + n, 0));
    let flags = ["--window", "10", "--max-destinations", "20", "--port-threshold", "10"];
    let records = Traffic::default().all(0, flood).judged(BOT, &flags);
    let [attack, vertical] = records.as_slice() else { panic!("two records: {records:#?}") };
    assert_eq!(
        (&gomon_object(attack)["packets"], &gomon_object(attack)["ports"]),
        (&json!(60), &json!(20))
    );
    let reported = (number(vertical, "ports"), number(vertical, "overflow_packets"));
    assert_eq!(reported, (20.0, 40.0));

    // Without an alert the estimate is in the idle record.
    let traffic = Traffic::default().all(0, hosts().take(5).map(attempt));
    let flags = [&IDLE[..], &["--max-destinations", "2", "--connections", "off"]].concat();
    let records = traffic.judged(BOT, &flags);
    let [idle] = records.as_slice() else { panic!("one record: {records:#?}") };
    assert_eq!(
        (&gomon_object(idle)["hosts"], &gomon_object(idle)["hosts_exact"]),
        (&json!(5), &json!(false))
    );
    assert_eq!(
        (&idle["stats"]["flow"]["active"], &idle["dest_ip"]),
        (&json!(2), &json!("0.0.0.0"))
    );
}

#[test]
fn sliding_windows_overlap_and_start_a_step_apart() {
    let traffic = Traffic::default()
        .times(40, 1_000, &dns(BOT))
        .times(20, 6_000, &dns(BOT))
        .one(14_000, arp());
    let flags = ["--window", "10", "--step", "5", "--show-idle"];
    let records = traffic.judged(BOT, &flags);
    // The first frame anchors the grid: windows start at 1 s and 6 s.
    let reported: Vec<_> = records.iter().map(|r| (class(r), number(r, "packets"))).collect();
    assert_eq!(reported, [("attack", 60.0), ("connection", 20.0), ("idle", 20.0)]);
    assert_eq!(records[0]["timestamp"], "2026-01-29T10:00:01.000000+0000");
    assert_eq!(records[1]["timestamp"], "2026-01-29T10:00:06.000000+0000");
    assert_eq!(records[1]["flow"]["end"], "2026-01-29T10:00:16.000000+0000");
    for record in &records {
        assert_eq!(
            (&gomon_object(record)["window_s"], &gomon_object(record)["step_s"]),
            (&json!(10.0), &json!(5.0))
        );
    }

    // An observation shorter than a window is judged as a partial one.
    let records = Traffic::default().times(60, 0, &dns(BOT)).judged(BOT, &flags);
    assert_eq!((class(&records[0]), number(&records[0], "packet_rate")), ("attack", 6.0));
    let records = Traffic::default().one(0, dns(BOT)).judged(BOT, &flags);
    assert_eq!(microseconds(&records[0]["flow"]["end"]) % 60_000_000, 5_000_000);
}

#[test]
fn with_stats_every_window_has_a_record_with_the_ledger_and_the_contacts_by_port() {
    let bot = ip(BOT);
    let host = |n: u8| ip(&format!("198.51.100.{n}"));
    let attempts = (1..=20).map(|n| syn(bot, host(n), 23));
    let traffic = Traffic::default()
        .all(0, attempts)
        .one(1_000, ack(bot, host(7), 23))
        .one(1_000, syn(bot, host(50), 443))
        .one(1_000, ack(bot, host(50), 443))
        .one(1_000, arp())
        .one(12_000, dns(BOT))
        .one(35_000, arp());
    let records = traffic.judged(BOT, &["--window", "10", "--stats"]);
    let stats: Vec<_> = records.iter().filter(|r| r["event_type"] == "stats").collect();
    let reported: Vec<_> = stats.iter().map(|r| (class(r), number(r, "packets"))).collect();
    assert_eq!(reported, [("busy", 23.0), ("idle", 1.0), ("idle", 0.0), ("idle", 0.0)]);
    let counts = |contacts: u64, answered: u64, port: u16| {
        json!({"proto": "TCP", "dest_port": port, "contacts": contacts, "answered": answered,
               "unanswered": contacts - answered})
    };
    let listed = json!([counts(20, 1, 23), counts(1, 1, 443)]);
    assert_eq!(gomon_object(stats[0])["contacts_by_port"], listed);
    assert_eq!(gomon_object(stats[0])["ledger"]["frames"], 24);
    assert_eq!(gomon_object(stats[2])["contacts_by_port"], json!([]));
    // The busy window's record is the last of the window.
    assert_eq!(records.iter().position(|r| class(r) == "busy"), Some(2), "{records:#?}");
}

#[test]
fn the_ports_with_most_contacts_are_listed_up_to_the_limit() {
    let attempts = (1..=300u16).flat_map(|port| {
        let hosts = if port > 290 { 1..=2 } else { 1..=1 };
        hosts.map(move |n: u8| syn(ip(BOT), ip(&format!("198.51.100.{n}")), port))
    });
    let records = Traffic::default().all(0, attempts).judged(BOT, &["--window", "10", "--stats"]);
    let busy = of(&records, "busy")[0];
    let ports: Vec<_> = gomon_object(busy)["contacts_by_port"].as_array().unwrap().iter().collect();
    assert_eq!((ports.len(), &gomon_object(busy)["contacts_by_port_omitted"]), (256, &json!(44)));
    assert!(ports.iter().filter(|port| port["contacts"] == 2).count() == 10, "{ports:?}");
}

#[test]
fn a_gap_in_sliding_windows_is_one_run() {
    let traffic = Traffic::default()
        .one(0, dns(BOT))
        .times(4, 1, &arp())
        .times(2, 30_005, &dns(BOT))
        .times(2, 30_006, &arp());
    let flags = ["--window", "20ms", "--step", "10ms", "--show-idle", "--packet-threshold", "1000"];
    let records = traffic.judged(BOT, &flags);
    let idle = of(&records, "idle");
    let total: f64 = idle.iter().map(|record| number(record, "windows")).sum();
    // Panes 0 to 3000 make windows 0 to 2999; all are idle, the first and the last not silent.
    assert!((total - 3000.0).abs() < 0.5, "{total}");
    assert_eq!(idle.len(), 1 + 1000 + 1 + 1);
    assert_eq!(gomon_object(idle[1001])["windows"], 1998);
}

#[test]
fn times_are_truncated_to_microseconds_and_the_grid_keeps_nanoseconds() {
    let frames = (0..4).map(|n| capture::at(123_456_789 + n * SECOND / 2, dns(BOT)));
    let scratch = Scratch::new();
    let input = scratch.file("bot.pcap", &capture::pcap(PLAIN, &frames.collect::<Vec<_>>()));
    let records = judged(&input, BOT, &["--window", "500ms"]).records;
    let starts: Vec<_> = records.iter().map(|r| &r["timestamp"]).collect();
    let second = |text: &str| json!(format!("2026-01-29T10:00:0{text}+0000"));
    let expected = ["0.123456", "0.623456", "1.123456", "1.623456"].map(second);
    assert_eq!(starts, expected.iter().collect::<Vec<_>>());
}

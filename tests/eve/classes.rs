//! Every class of record, with traffic that causes it and the expected fields.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::rules::{class, gomon_object, number};
use crate::runs::{BOT, BOT6, Traffic, judged};
use crate::schemas::TEXT;
use crate::support::capture::{self, PLAIN, SECOND};
use crate::support::frames::{ip, ip_packet, ping, ping6, syn, udp};
use crate::support::program::Scratch;

/// More packets than the default threshold allows in 10 s.
const FLOOD: usize = 60;
const TEN_SECONDS: [&str; 2] = ["--window", "10"];

fn bot() -> IpAddr {
    ip(BOT)
}

/// A host that the bot sends to.
fn host(number: u8) -> IpAddr {
    ip(&format!("198.51.100.{number}"))
}

fn host6(number: u8) -> IpAddr {
    ip(&format!("2001:db8:1::{number:x}"))
}

/// A SYN to each of these hosts, from the bot's address of their family.
fn syns(hosts: impl IntoIterator<Item = IpAddr>, port: u16) -> impl Iterator<Item = Vec<u8>> {
    let source = |host: &IpAddr| ip(if host.is_ipv4() { BOT } else { BOT6 });
    hosts.into_iter().map(move |host| syn(source(&host), host, port))
}

/// SYNs on a different port each, so that no port is swept.
fn attempts(hosts: impl IntoIterator<Item = IpAddr>) -> impl Iterator<Item = Vec<u8>> {
    (1000..).zip(hosts).flat_map(|(port, host)| syns([host], port))
}

/// Asserts that `value` has these fields, and not those that are `null`.
#[track_caller]
fn has(value: &Value, fields: &Value) {
    for (name, expected) in fields.as_object().expect("fields") {
        assert_eq!(value[name], *expected, "{name} in {value:#}");
    }
}

/// Asserts the fields of a class of alerts: id, category and severity.
#[track_caller]
fn is_alert(record: &Value, id: u64, category: &str, severity: u64) {
    has(record, &json!({"event_type": "alert", "flow": null, "stats": null}));
    has(
        &record["alert"],
        &json!({"action": "allowed", "gid": 5, "rev": 1, "signature_id": id, "category": category,
                "severity": severity}),
    );
    let words = record["alert"]["signature"].as_str().expect("words");
    assert!(TEXT.contains(&format!("\"const\": {words:?}")), "{words}");
}

#[test]
fn an_attack_on_an_endpoint_of_any_protocol() {
    let (IpAddr::V4(bot4), IpAddr::V6(bot6)) = (bot(), ip(BOT6)) else { unreachable!() };
    let (IpAddr::V4(pinged4), IpAddr::V6(pinged6)) = (host(3), host6(4)) else { unreachable!() };
    let cases = [
        (syn(bot(), host(1), 443), "198.51.100.1", "TCP", json!(443)),
        (udp(bot(), host(2), 53, 20), "198.51.100.2", "UDP", json!(53)),
        (ping(bot4, pinged4), "198.51.100.3", "ICMP", Value::Null),
        (ping6(bot6, pinged6), "2001:db8:1::4", "IPv6-ICMP", Value::Null),
        (sctp(bot(), host(5), 36412), "198.51.100.5", "SCTP", json!(36412)),
        (ip_packet(bot(), host(6), 47, &[0; 8]), "198.51.100.6", "GRE", Value::Null),
        (ip_packet(bot(), host(7), 200, &[0; 8]), "198.51.100.7", "200", Value::Null),
        (udp(bot(), host(8), 0, 20), "198.51.100.8", "UDP", json!(0)),
    ];
    for (frame, address, protocol, port) in cases {
        let length = frame.len();
        let source = format!("{BOT},{BOT6}");
        let records = Traffic::default().times(FLOOD, 0, &frame).judged(&source, &TEN_SECONDS);
        let [attack] = records.as_slice() else { panic!("one record: {records:#?}") };
        is_alert(attack, 2_100_001, "attack", 2);
        let expected = json!({
            "timestamp": "2026-01-29T10:00:00.000000+0000", "src_ip": BOT, "dest_ip": address,
            "dest_port": port, "proto": protocol, "host": null, "capture_file": null,
            "in_iface": null,
        });
        has(attack, &expected);
        has(
            gomon_object(attack),
            &json!({
                "classification": "attack", "scope": "local", "window_s": 10.0, "step_s": 10.0,
                "packets": FLOOD, "bytes": FLOOD * length, "packet_rate": 6.0,
                "packet_threshold": 5.0, "dest_port": port, "proto": protocol, "ports": null,
                "hosts": null, "overflow_packets": null, "ledger": null, "c2_ip": null,
            }),
        );
    }
}

/// An SCTP INIT, up to the bytes that gomon parses.
fn sctp(source: IpAddr, destination: IpAddr, port: u16) -> Vec<u8> {
    let mut header = vec![0x9c, 0x40];
    header.extend(port.to_be_bytes());
    header.extend([0; 16]);
    ip_packet(source, destination, 132, &header)
}

#[test]
fn sensor_and_sample_distinguish_bots_with_the_same_address() {
    let records = |flags: &[&str]| {
        let traffic = Traffic::default().times(FLOOD, 0, &syn(bot(), host(1), 443));
        let [record] = traffic.judged(BOT, &[&TEN_SECONDS, flags].concat()).try_into().unwrap();
        record
    };
    let flags: [&[&str]; 4] = [
        &[],
        &["--sample-id", "x"],
        &["--sensor-name", "x"],
        &["--sensor-name", "sensor 7", "--sample-id", "x"],
    ];
    let all = flags.map(records);
    let names = all.each_ref().map(|record: &Value| {
        [&record["host"], &gomon_object(record)["sample_id"]]
            .map(|name| name.as_str().unwrap_or("-"))
    });
    assert_eq!(names, [["-", "-"], ["x", "x"], ["x", "-"], ["sensor 7", "x"]]);
    for (field, of) in [("flow_id", 0), ("id", 1)] {
        let value = |record: &Value| [record, gomon_object(record)][of][field].to_string();
        let values: BTreeSet<_> = all.iter().map(value).collect();
        assert_eq!(values.len(), 4, "{field}: {values:?}");
    }
    // The same input gives the same records.
    assert_eq!(gomon_object(&records(flags[3]))["id"], gomon_object(&all[3])["id"]);
}

#[test]
fn an_attack_on_a_host_none_of_whose_endpoints_is_attacked() {
    let flood = (0u16..).take(FLOOD).map(|n| udp(bot(), host(1), 1024 + n, 20));
    let traffic = Traffic::default().all(0, flood);
    let records = traffic.clone().judged(BOT, &TEN_SECONDS);
    let [attack] = records.as_slice() else { panic!("one record: {records:#?}") };
    is_alert(attack, 2_100_001, "attack", 2);
    has(attack, &json!({"dest_ip": "198.51.100.1", "dest_port": null, "proto": "UDP"}));
    let whole = json!({"scope": "host", "packets": FLOOD, "ports": FLOOD, "proto": "UDP"});
    has(gomon_object(attack), &whole);

    // With several protocols none is named; packets without a port are in the total, and add no port.
    let more = traffic.one(0, ip_packet(bot(), host(1), 47, &[0; 8]));
    let records = more.one(0, udp(bot(), host(1), 0, 20)).judged(BOT, &TEN_SECONDS);
    let [mixed] = records.as_slice() else { panic!("one record: {records:#?}") };
    has(mixed, &json!({"proto": null, "flow_id": attack["flow_id"]}));
    has(gomon_object(mixed), &json!({"packets": FLOOD + 2, "ports": FLOOD, "proto": null}));
}

#[test]
fn a_vertical_scan() {
    let IpAddr::V4(victim) = host(1) else { unreachable!() };
    let IpAddr::V4(bot4) = bot() else { unreachable!() };
    let scan = (1..=21).map(|port| syn(bot(), host(1), port));
    let traffic = Traffic::default().one(0, ping(bot4, victim)).all(1, scan);
    let flags = ["--window", "10", "--port-threshold", "20", "--show-idle"];
    let records = traffic.judged(BOT, &flags);
    let (scans, rest): (Vec<_>, Vec<_>) = records.iter().partition(|r| class(r) == "vertical_scan");
    let [scan] = scans.as_slice() else { panic!("one scan: {records:#?}") };
    is_alert(scan, 2_100_004, "scan", 3);
    has(scan, &json!({"dest_ip": "198.51.100.1", "dest_port": null, "proto": "TCP"}));
    let expected = json!({
        "classification": "vertical_scan", "scope": "host", "packets": 22, "ports": 21,
        "port_threshold": 20.0, "overflow_packets": 0, "proto": "TCP", "hosts": null,
    });
    has(gomon_object(scan), &expected);
    assert_eq!(rest.len(), 22, "the endpoints are ordinary connections besides");

    // A port number that two protocols have in common is two ports.
    let twice = (1..=11).flat_map(|port| [syn(bot(), host(1), port), udp(bot(), host(1), port, 0)]);
    let records = Traffic::default().all(0, twice).judged(BOT, &flags);
    has(&records[0], &json!({"proto": null}));
    has(gomon_object(&records[0]), &json!({"classification": "vertical_scan", "ports": 22}));
}

#[test]
fn a_scan_over_hosts_of_either_family_and_of_both() {
    let source = format!("{BOT},{BOT6}");
    let both = || (1..=6).flat_map(|n| [host(n), host6(n)]);
    let cases: [(Vec<IpAddr>, &str); 4] = [
        ((1..=11).rev().map(host).collect(), "0.0.0.0"),
        ((1..=11).rev().map(host6).collect(), "::"),
        (both().collect(), "0.0.0.0"),
        (vec![host(9)], "198.51.100.9"),
    ];
    for (mut hosts, address) in cases {
        let threshold = if hosts.len() == 1 { "0.5" } else { "10" };
        let flags = ["--window", "10", "--destination-threshold", threshold];
        let records = Traffic::default().all(0, attempts(hosts.clone())).judged(&source, &flags);
        let [scan] = records.as_slice() else { panic!("one record: {records:#?}") };
        is_alert(scan, 2_100_002, "scan", 3);
        has(scan, &json!({"src_ip": BOT, "dest_ip": address, "dest_port": null, "proto": null}));
        // IPv4 addresses sort before 2001:db8::/32.
        hosts.sort_by_key(|host| (host.is_ipv6(), *host));
        let expected = json!({
            "classification": "scan", "scope": "global", "hosts": hosts.len(),
            "packets": hosts.len(), "hosts_exact": true, "overflow_packets": 0,
            "scan_detection_mode": "filtered-host-rate", "dst_ips": hosts, "ports": null,
        });
        has(gomon_object(scan), &expected);
    }
}

#[test]
fn a_sweep_of_each_protocol_and_family() {
    let source = format!("{BOT},{BOT6}");
    let flags = ["--window", "10", "--destination-threshold", "100", "--sweep-hosts", "12"];
    // The fewest hosts are enough, and their connections are not reported individually; one on another
    // port is. A reply to the bot shows that the capture has both directions.
    let other = |t: Traffic| t.one(0, syn(bot(), host(99), 80)).one(0, udp(host(99), bot(), 9, 0));
    let (many4, many6): (Vec<_>, Vec<_>) =
        ((1..=12).map(host).collect(), (1..=12).map(host6).collect());
    let udps = |hosts: &[IpAddr]| {
        let source = |host: &IpAddr| ip(if host.is_ipv4() { BOT } else { BOT6 });
        hosts.iter().map(|host| udp(source(host), *host, 161, 0)).collect::<Vec<_>>()
    };
    for (frames, protocol, port, address, hosts) in [
        (syns(many4.clone(), 23).collect(), "TCP", 23, "0.0.0.0", &many4),
        (syns(many6.clone(), 23).collect(), "TCP", 23, "::", &many6),
        (udps(&many4), "UDP", 161, "0.0.0.0", &many4),
        (udps(&many6), "UDP", 161, "::", &many6),
    ] {
        let records = other(Traffic::default().all(0, frames.clone())).judged(&source, &flags);
        let [sweep, connection] = records.as_slice() else { panic!("two records: {records:#?}") };
        is_alert(sweep, 2_100_005, "scan", 3);
        let expected = json!({
            "src_ip": BOT, "dest_ip": address, "dest_port": port, "proto": protocol,
        });
        has(sweep, &expected);
        let length = frames[0].len();
        let expected = json!({
            "classification": "sweep", "scope": "global", "packets": 12, "bytes": 12 * length,
            "dest_port": port, "proto": protocol, "contacts": 12, "answered": 0,
            "unanswered": 12, "dst_ips": hosts, "hosts": null, "ports": null, "ledger": null,
        });
        has(gomon_object(sweep), &expected);
        assert!((number(sweep, "score") - 12.0 * 4_f64.ln()).abs() < 1e-9, "{sweep:#}");
        has(connection, &json!({"dest_ip": host(99), "dest_port": 80}));

        // With one host less, with sweep detection off, or with a higher --sweep-hosts: ordinary connections.
        let fewer = other(Traffic::default().all(0, frames[1..].to_vec()));
        let all = other(Traffic::default().all(0, frames));
        let off = [&flags[..4], &["--sweep-detection", "off"]].concat();
        let high = [&flags[..5], &["13"]].concat();
        for (traffic, flags) in [(fewer, &flags[..]), (all.clone(), &off), (all, &high)] {
            let records = traffic.judged(&source, flags);
            assert!(records.iter().all(|record| class(record) == "connection"), "{records:#?}");
        }
    }
}

/// More contacts are pending than there is room for: which ones are dropped is the same in every run.
#[test]
fn a_sweep_past_the_limit_is_reported_alike_in_every_run() {
    let hosts = |from: u16| (from..from + 25).map(|n| ip(&format!("198.18.0.{n}")));
    let traffic =
        (0..5).fold(Traffic::default().one(0, udp(host(99), bot(), 9, 0)), |traffic, n| {
            traffic.all(u64::from(n) * 1000, hosts(n * 25).map(|host| udp(bot(), host, 161, 0)))
        });
    let flags = ["--window", "1", "--max-destinations", "40", "--destination-threshold", "100"];
    let traffic = traffic.one(9000, syn(bot(), host(1), 80));
    let listed_hosts = || {
        let records = traffic.clone().judged(BOT, &flags);
        let sweeps = records.iter().filter(|record| class(record) == "sweep");
        sweeps
            .flat_map(|record| gomon_object(record)["dst_ips"].as_array().expect("a list").clone())
            .collect()
    };
    let first: Vec<Value> = listed_hosts();
    // Of the second and the fourth 25, 15 found room; earlier contacts occupy it for 3 s.
    assert_eq!(first.len(), 105);
    for _ in 0..5 {
        assert_eq!(listed_hosts(), first);
    }
}

#[test]
fn a_sweep_is_reported_while_it_continues_and_no_longer() {
    let attempts = |at, numbers: std::ops::RangeInclusive<u8>| {
        Traffic::default().all(at, syns(numbers.map(host), 23))
    };
    // The third window contacts only hosts contacted before; the last contact of the fourth is decided in
    // the fifth.
    let traffic = attempts(0, 1..=12)
        .and(attempts(10_000, 13..=14))
        .and(attempts(20_000, 1..=14))
        .and(attempts(38_000, 15..=15))
        .one(49_000, syn(bot(), host(99), 80));
    let flags = ["--window", "10", "--show-idle", "--destination-threshold", "100"];
    let records = traffic.judged(BOT, &[&flags[..], &["--connections", "off"]].concat());
    let reported: Vec<_> =
        records.iter().map(|r| (class(r), gomon_object(r)["dst_ips"].as_array())).collect();
    let listed: Vec<_> =
        reported.iter().map(|(c, hosts)| (*c, hosts.map_or(0, Vec::len))).collect();
    let expected = [("sweep", 12), ("sweep", 2), ("idle", 0), ("idle", 0), ("sweep", 1)];
    assert_eq!(listed, expected);
    let contacts: Vec<_> =
        records.iter().filter_map(|r| gomon_object(r)["contacts"].as_u64()).collect();
    assert_eq!(contacts, [12, 14, 15], "those of the run");
    let sweeps: Vec<_> = records.iter().filter(|r| class(r) == "sweep").collect();
    let addresses = sweeps.iter().map(|r| r["dest_ip"].as_str().expect("an address"));
    assert_eq!(addresses.collect::<Vec<_>>(), ["0.0.0.0", "0.0.0.0", "198.51.100.15"]);
    assert!(sweeps.iter().all(|r| r["flow_id"] == sweeps[0]["flow_id"]), "one port, one flow id");
}

#[test]
fn a_connection_in_each_form() {
    let frame = udp(bot(), host(1), 53, 20);
    let length = frame.len();
    let traffic = Traffic::default().times(3, 0, &frame).one(0, ip_packet(bot(), host(2), 47, &[]));
    let run = |how| traffic.clone().judged(BOT, &["--window", "2500ms", "--connections", how]);

    let flows = run("flow");
    let [dns, gre] = flows.as_slice() else { panic!("two records: {flows:#?}") };
    let expected = json!({
        "event_type": "flow", "dest_ip": "198.51.100.1", "dest_port": 53, "proto": "UDP",
        "alert": null, "stats": null,
        "flow": {"pkts_toserver": 3, "bytes_toserver": 3 * length, "age": 2, "alerted": false,
                 "start": "2026-01-29T10:00:00.000000+0000",
                 "end": "2026-01-29T10:00:02.500000+0000"},
    });
    has(dns, &expected);
    let expected = json!({"classification": "connection", "scope": "local", "packets": 3});
    has(gomon_object(dns), &expected);
    has(gre, &json!({"event_type": "flow", "dest_port": null, "proto": "GRE"}));

    let alerts = run("alert");
    for (alert, flow) in alerts.iter().zip(&flows) {
        is_alert(alert, 2_100_003, "connection", 4);
        for field in ["timestamp", "flow_id", "dest_ip", "dest_port", "proto", "metadata"] {
            assert_eq!(alert[field], flow[field], "{field}");
        }
    }
    assert_eq!(alerts.len(), flows.len());

    assert_eq!(run("off"), Vec::<Value>::new());
}

#[test]
fn with_any_the_source_is_the_packets_own_or_unspecified_in_the_destinations_family() {
    let (other_bot, other_bot6) = (ip("203.0.113.7"), ip("2001:db8:9::1"));
    let traffic = Traffic::default()
        .one(0, udp(bot(), host(1), 53, 0))
        .one(0, udp(other_bot, host(1), 53, 0))
        .one(0, udp(other_bot, host(2), 53, 0))
        .one(0, udp(other_bot6, host6(1), 53, 0))
        .one(0, udp(ip("2001:db8:9::2"), host6(1), 53, 0))
        .one(0, udp(other_bot6, host6(2), 53, 0));
    let sources = |records: &[Value]| {
        records.iter().map(|r| r["src_ip"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let records = traffic.clone().judged("any", &TEN_SECONDS);
    assert_eq!(sources(&records), ["0.0.0.0", "203.0.113.7", "::", "2001:db8:9::1"]);

    // The flow id depends on the destination only.
    let other = Traffic::default().one(0, udp(bot(), host(2), 53, 0)).judged("any", &TEN_SECONDS);
    assert_eq!(sources(&other), [BOT]);
    assert_eq!(other[0]["flow_id"], records[1]["flow_id"]);

    // The source of all packets to a host, if it is only one.
    let mut spread = (1..=40)
        .fold(Traffic::default(), |traffic, port| traffic.one(0, udp(other_bot, host(3), port, 0)));
    let flags = ["--window", "10", "--packet-threshold", "1", "--port-threshold", "30"];
    assert_eq!(sources(&spread.clone().judged("any", &flags)), ["203.0.113.7", "203.0.113.7"]);
    spread = spread.one(0, udp(bot(), host(3), 40, 0));
    assert_eq!(sources(&spread.judged("any", &flags)), ["0.0.0.0", "0.0.0.0"]);

    // A scan has none, a sweep the source that swept; past the limit it is unknown.
    let swept =
        (1..=15).fold(Traffic::default(), |traffic, n| traffic.one(0, syn(other_bot, host(n), 23)));
    let flags = ["--window", "10", "--destination-threshold", "14"];
    assert_eq!(sources(&swept.clone().judged("any", &flags)), ["0.0.0.0", "203.0.113.7"]);
}

#[test]
fn labels_are_in_every_record() {
    let flags = [
        "--window",
        "10",
        "--show-idle",
        "--sample-id",
        "be a/con \"42\"",
        "--c2-ip",
        "203.0.113.9,2001:DB8::9",
    ];
    let traffic = Traffic::default()
        .times(FLOOD, 0, &syn(bot(), host(1), 80))
        .all(0, (1..=30).map(|port| udp(bot(), host(2), port, 0)))
        .all(10_000, syns((1..=12).map(host), 23))
        .times(FLOOD, 20_000, &syn(bot(), ip("203.0.113.9"), 443))
        .one(30_000, syn(bot(), host(1), 80));
    let records = traffic.judged(BOT, &[&flags[..], &["--port-threshold", "25"]].concat());
    let classes: Vec<_> = records.iter().map(class).collect();
    for expected in ["attack", "vertical_scan", "scan", "sweep", "connection", "idle"] {
        assert!(classes.contains(&expected), "{expected} in {classes:?}");
    }
    for record in &records {
        assert_eq!(record["host"], "be a/con \"42\"");
        let labels = json!({"sample_id": "be a/con \"42\"", "c2_ip": "203.0.113.9,2001:db8::9"});
        has(gomon_object(record), &labels);
    }
    let at_c2 =
        records.iter().find(|r| gomon_object(r)["ledger"]["ignored"] == FLOOD).expect("a record");
    has(gomon_object(at_c2), &json!({"classification": "idle", "packets": 0}));
}

#[test]
fn an_artifact_is_named_in_the_records_it_belongs_to() {
    let traffic = [
        vec![syn(bot(), host(1), 80); FLOOD],
        (1..=30).map(|port| udp(bot(), host(1), port, 0)).collect(),
        syns((1..=12).map(host), 23).collect(),
    ];
    let frames = (SECOND / 8..).zip(traffic.concat()).map(|(time, frame)| capture::at(time, frame));
    let scratch = Scratch::new();
    let input = scratch.file("bot.pcap", &capture::pcap(PLAIN, &frames.collect::<Vec<_>>()));
    let directory = scratch.path().join("saved").display().to_string();
    let flags = [
        "--window",
        "10",
        "--port-threshold",
        "25",
        "--save-packets",
        "20",
        "--sample-id",
        "a/b",
        "--capture-dir",
        &directory,
    ];
    let records = judged(&input, BOT, &flags).records;
    let named: Vec<_> = records.iter().map(|r| (class(r), r["capture_file"].clone())).collect();
    let path = |name: &str| json!(format!("{directory}/{name}_20260129T100000Z.pcap"));
    let expected = [
        ("attack", path("attack_a-b_198.51.100.1")),
        ("vertical_scan", path("vertical_scan_a-b_198.51.100.1")),
        ("scan", path("scan_a-b_global")),
        ("sweep", path("sweep_a-b_TCP-23")),
    ];
    assert_eq!(named, expected);
    for (_, path) in named {
        assert!(std::fs::metadata(path.as_str().expect("a path")).is_ok(), "{path} is there");
    }
}

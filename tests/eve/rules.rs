//! Invariants of the records of every run, whatever the traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

/// The numbers of the protocols in the traffic of these tests.
#[rustfmt::skip]
const PROTOCOLS: [(&str, u64); 14] = [
    ("HOPOPT", 0), ("ICMP", 1), ("IGMP", 2), ("TCP", 6), ("UDP", 17), ("DCN-MEAS", 19), ("DDP", 37),
    ("IPv6", 41), ("GRE", 47), ("IPv6-ICMP", 58), ("STP", 118), ("UTI", 120), ("CRUDP", 127),
    ("SCTP", 132),
];

/// gomon's own object.
pub(crate) fn gomon_object(record: &Value) -> &Value {
    &record["metadata"]["gomon"]
}

/// The class of a record.
pub(crate) fn class(record: &Value) -> &str {
    gomon_object(record)["classification"].as_str().expect("a classification")
}

/// A field of gomon's own object, as a number.
#[track_caller]
pub(crate) fn number(record: &Value, field: &str) -> f64 {
    gomon_object(record)[field].as_f64().unwrap_or_else(|| panic!("{field} in {record:#}"))
}

/// Host (as a number, for sorting), protocol and port of a record; 0 if absent.
fn destination(record: &Value) -> (Ipv6Addr, u64, u64) {
    let protocol = record["proto"].as_str().map_or(0, |name| {
        let known = PROTOCOLS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        known.or_else(|| name.parse().ok()).unwrap_or_else(|| panic!("which number has {name}?"))
    });
    (ordered(&record["dest_ip"]), protocol, record["dest_port"].as_u64().unwrap_or(0))
}

/// An address in the form by which they are sorted: IPv4 as IPv4-mapped IPv6.
fn ordered(address: &Value) -> Ipv6Addr {
    match address.as_str().expect("a string").parse().expect("an address") {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// A timestamp in microseconds since the epoch.
#[track_caller]
pub(crate) fn microseconds(timestamp: &Value) -> i64 {
    let text = timestamp.as_str().expect("a string").replace("+0000", "Z");
    text.parse::<jiff::Timestamp>().expect("a timestamp").as_microsecond()
}

/// Checks the records of a run, all in the default form.
#[track_caller]
pub(crate) fn check_records(records: &[Value]) {
    let mut start = 0;
    for record in records {
        check_record(record);
        check_grid(record, &records[0]);
    }
    let windows = records.chunk_by(|a, b| a["timestamp"] == b["timestamp"]);
    for window in windows {
        let next = microseconds(&window[0]["timestamp"]);
        assert!(next > start, "windows in the order of time: {:#}", window[0]);
        start = next;
        check_window(window);
    }
    flow_ids(records);
    let ids: BTreeSet<_> =
        records.iter().map(|record| gomon_object(record)["id"].to_string()).collect();
    assert_eq!(ids.len(), records.len(), "no two records have one id");
}

/// Checks the last record of a run, and that no other record is a last one.
#[track_caller]
pub(crate) fn check_closing_record(records: &[Value]) {
    let (closing, before) = records.split_last().expect("a closing record");
    assert!(before.iter().all(|record| class(record) != "final"), "one is the last");
    assert_eq!((class(closing), &gomon_object(closing)["final"]), ("final", &Value::Bool(true)));
    check_ledger(closing);
    assert_eq!(gomon_object(closing)["eve_written"], before.len(), "{closing:#}");
    assert_eq!(gomon_object(closing)["eve_dropped"], 0, "{closing:#}");
    let alerts = before.iter().filter(|record| record["event_type"] == "alert").count();
    assert_eq!(closing["stats"]["detect"]["alert"], alerts, "{closing:#}");
}

/// Checks a record by itself.
#[track_caller]
fn check_record(record: &Value) {
    let gomon = gomon_object(record);
    let window = number(record, "window_s");
    assert_close(number(record, "packet_rate"), number(record, "packets") / window, record);
    if class(record) == "sweep" {
        assert_eq!(gomon["scope"], "global", "{record:#}");
    } else if gomon["scope"] == "global" {
        let threshold = number(record, "destination_threshold");
        assert_close(number(record, "destination_rate"), number(record, "hosts") / window, record);
        let per_second = number(record, "destination_rate_threshold");
        assert_close(per_second, (threshold / window).min(f64::MAX), record);
    } else if gomon["scope"] == "local" {
        assert_eq!(gomon["proto"], record["proto"], "{record:#}");
        assert_eq!(gomon["dest_port"], record["dest_port"], "{record:#}");
    } else {
        assert_eq!(gomon["proto"], record["proto"], "{record:#}");
    }
    assert!(gomon["sample_id"].is_null() || record["host"].is_string(), "{record:#}");
    match class(record) {
        "attack" => assert!(number(record, "packet_rate") > number(record, "packet_threshold")),
        "vertical_scan" => assert!(number(record, "ports") > number(record, "port_threshold")),
        "scan" => scan(record),
        "sweep" => sweep(record),
        "connection" => connection(record),
        "idle" => idle(record),
        "busy" => check_ledger(record),
        other => panic!("a record of class {other}"),
    }
}

#[track_caller]
fn scan(record: &Value) {
    assert!(number(record, "hosts") > number(record, "destination_threshold"), "{record:#}");
    let listed = gomon_object(record)["dst_ips"].as_array().expect("a list").len();
    if gomon_object(record)["hosts_exact"] == true {
        assert_eq!(gomon_object(record)["hosts"], listed, "every host is listed: {record:#}");
    }
    listed_hosts(record, gomon_object(record)["hosts"] == 1);
}

#[track_caller]
fn sweep(record: &Value) {
    let gomon = gomon_object(record);
    for field in ["proto", "dest_port"] {
        assert_eq!(gomon[field], record[field], "{record:#}");
    }
    let count = |field: &str| gomon[field].as_u64().expect("a number");
    assert_eq!(count("contacts"), count("answered") + count("unanswered"), "{record:#}");
    let listed = gomon["dst_ips"].as_array().expect("a list").len() as u64;
    assert!((1..=count("contacts")).contains(&listed), "{record:#}");
    // The score of a walk that never was reset at 0 is the sum of its steps; any other is higher.
    let sum = (number(record, "unanswered") - number(record, "answered")) * 4_f64.ln();
    let score = number(record, "score");
    assert!(score > 99_f64.ln() && score >= sum - 1e-9 * sum.abs(), "{record:#}");
    listed_hosts(record, listed == 1);
}

/// Checks the hosts that a record lists and its destination address. `alone` is whether there is only one
/// host.
#[track_caller]
fn listed_hosts(record: &Value, alone: bool) {
    let hosts = gomon_object(record)["dst_ips"].as_array().expect("a list");
    assert!(hosts.is_sorted_by(|a, b| ordered(a) < ordered(b)), "{record:#}");
    match hosts.as_slice() {
        [host] if alone => assert_eq!(record["dest_ip"], *host),
        [_, ..]
            if hosts.iter().all(|host| host.as_str().is_some_and(|host| host.contains(':'))) =>
        {
            assert_eq!(record["dest_ip"], "::");
        }
        _ => assert_eq!(record["dest_ip"], "0.0.0.0"),
    }
}

#[track_caller]
fn connection(record: &Value) {
    assert!(number(record, "packet_rate") <= number(record, "packet_threshold"), "{record:#}");
    let Some(flow) = record.get("flow") else { return };
    assert_eq!(flow["pkts_toserver"], gomon_object(record)["packets"], "{record:#}");
    assert_eq!(flow["bytes_toserver"], gomon_object(record)["bytes"], "{record:#}");
    assert_eq!(flow["start"], record["timestamp"], "{record:#}");
    let length = microseconds(&flow["end"]) - microseconds(&flow["start"]);
    // An observation shorter than a sliding window has no complete one.
    assert!(length > 0 && length <= length_of(record, "window_s"), "{record:#}");
    assert_eq!(flow["age"], length / 1_000_000, "{record:#}");
}

#[track_caller]
fn idle(record: &Value) {
    let gomon = gomon_object(record);
    check_ledger(record);
    assert!(gomon["packets"] == 0 || gomon["windows"] == 1, "{record:#}");
    assert!(number(record, "hosts") <= number(record, "destination_threshold"), "{record:#}");
}

/// Checks the record of a window as a whole.
#[track_caller]
fn check_ledger(record: &Value) {
    let gomon = gomon_object(record);
    let ledger = &gomon["ledger"];
    let entered = ["counted", "not_from_bot", "ignored", "not_ip", "malformed"];
    let entered: u64 = entered.iter().map(|name| ledger[*name].as_u64().expect("frames")).sum();
    assert_eq!(ledger["frames"], entered, "the ledger balances: {record:#}");
    assert_eq!(ledger["counted"], gomon["packets"], "{record:#}");
    for port in gomon["contacts_by_port"].as_array().into_iter().flatten() {
        let count = |field: &str| port[field].as_u64().expect("a number");
        assert_eq!(count("contacts"), count("answered") + count("unanswered"), "{record:#}");
    }
}

fn assert_close(found: f64, expected: f64, record: &Value) {
    let close = (found - expected).abs() <= expected.abs() * 1e-12;
    assert!(close, "{found} is not {expected} in {record:#}");
}

/// A length in gomon's own object, in microseconds.
fn length_of(record: &Value, field: &str) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "lengths of windows")]
    let microseconds = (number(record, field) * 1e6).round() as i64;
    microseconds
}

#[track_caller]
fn check_grid(record: &Value, first: &Value) {
    let offset = microseconds(&record["timestamp"]) - microseconds(&first["timestamp"]);
    assert_eq!(offset % length_of(record, "step_s"), 0, "off the grid: {record:#}");
}

/// Checks the records of one window together.
#[track_caller]
fn check_window(window: &[Value]) {
    let place = |record: &Value| {
        let classes = ["attack", "vertical_scan", "scan", "sweep", "connection", "idle", "busy"];
        let (host, protocol, port) = destination(record);
        // A sweep is identified by its port, whatever its destination address.
        let host = if class(record) == "sweep" { Ipv6Addr::UNSPECIFIED } else { host };
        (classes.iter().position(|name| *name == class(record)), (host, protocol, port))
    };
    for pair in window.windows(2) {
        assert!(place(&pair[0]) < place(&pair[1]), "in this order: {:#}\n{:#}", pair[0], pair[1]);
    }
    let has = |name: &str| window.iter().any(|record| class(record) == name);
    assert!(!(has("scan") && has("connection")), "a connection in the window of a scan");
    let alarmed = ["attack", "vertical_scan", "scan", "sweep"].into_iter().any(has);
    assert!(!(has("idle") && alarmed), "an idle window with an attack or a scan");
    for sweep in window.iter().filter(|record| class(record) == "sweep") {
        let port = |record: &Value| [record["proto"].clone(), record["dest_port"].clone()];
        let on_same_port = |r: &&Value| class(r) == "connection" && port(r) == port(sweep);
        assert_eq!(window.iter().find(on_same_port), None, "a connection to a swept port");
    }

    let of_hosts =
        window.iter().filter(|r| class(r) == "attack" && gomon_object(r)["scope"] == "host");
    let flooded: BTreeSet<_> = of_hosts.map(|record| destination(record).0).collect();
    for record in window.iter().filter(|record| gomon_object(record)["scope"] == "local") {
        let host = destination(record).0;
        assert!(!flooded.contains(&host), "an endpoint of a host under attack: {record:#}");
    }
}

/// Checks that each destination has one flow id, which no other has.
#[track_caller]
fn flow_ids(records: &[Value]) {
    let mut ids = BTreeMap::new();
    let mut owners = BTreeMap::new();
    for record in records {
        let id = record["flow_id"].as_u64().expect("a number");
        assert!(id < 1 << 51);
        let (mut host, protocol, port) = destination(record);
        if class(record) == "sweep" {
            // A sweep is identified by its port, whatever its destination address.
            let four = host.to_ipv4_mapped().is_some();
            host =
                if four { Ipv4Addr::UNSPECIFIED.to_ipv6_mapped() } else { Ipv6Addr::UNSPECIFIED };
        }
        let ported = gomon_object(record)["scope"] == "local" || class(record) == "sweep";
        let endpoint = ported.then_some((protocol, port));
        let subject = (record["src_ip"].to_string(), host, endpoint);
        let first = *ids.entry(subject.clone()).or_insert(id);
        assert_eq!(first, id, "one destination, two flow ids: {record:#}");
        let owner = owners.entry(id).or_insert_with(|| subject.clone());
        assert_eq!(*owner, subject, "two destinations, one flow id: {record:#}");
    }
}

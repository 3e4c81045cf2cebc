//! `docs/records.md` shows the records of this traffic, and describes every field.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::rules::{class, gomon_object, number};
use crate::runs::{Traffic, judged};
use crate::schemas::TEXT;
use crate::support::frames::{arp, ip, syn, udp};
use crate::support::program::Scratch;

const RECORDS: &str = include_str!("../../docs/records.md");
const BOT: &str = "10.10.0.20";

/// A bot that calls its controller, floods a port, floods a host, scans, and is silent for a day.
fn traffic() -> Traffic {
    let send = |host: &str, port| udp(ip(BOT), ip(host), port, 64);
    let attempts = (1..=12).map(|n| syn(ip(BOT), ip(&format!("198.51.100.{n}")), 23));
    let call = syn(ip(BOT), ip("203.0.113.50"), 8443);
    Traffic::default()
        .times(3, 0, &call)
        .times(3000, 30_000, &send("203.0.113.80", 80))
        .all(60_000, (0..600).map(|n| send("203.0.113.90", 20_000 + 31 * n)))
        .all(90_000, attempts)
        .times(6, 120_000, &arp())
        .times(2, 120_001, &udp(ip("10.10.0.1"), ip("224.0.0.251"), 5353, 64))
        .times(2, 24 * 3_600_000, &call)
}

/// The records of it, with connections in both forms, and the names used in the document.
fn written() -> Vec<Value> {
    let scratch = Scratch::new();
    let capture = traffic().capture(&scratch);
    let captures = scratch.path().join("captures").display().to_string();
    let common = ["--sample-id", "beacon-42"];
    let saving = ["--show-idle", "--save-packets", "20", "--capture-dir", &captures];
    let flows = judged(&capture, BOT, &[&common[..], &saving].concat());
    let flows = flows.records.into_iter().chain(flows.closing);
    let alerts =
        judged(&capture, BOT, &[&common[..], &["--connections", "alert"]].concat()).records;
    let stats = judged(&capture, BOT, &[&common[..], &["--stats"]].concat()).records;
    let busy = stats.into_iter().filter(|record| class(record) == "busy");
    let mut records: Vec<_> = flows.chain(alerts).chain(busy).collect();
    for record in &mut records {
        record["pcap_filename"] = "bot.pcap".into();
        if let Some(path) = record.get_mut("capture_file") {
            *path =
                path.as_str().expect("a path").replace(&captures, "/srv/sandbox/captures").into();
        }
    }
    records
}

/// The records in the document.
fn shown() -> Vec<Value> {
    let blocks = RECORDS.split("```json\n").skip(1);
    let texts = blocks.map(|block| block.split("```").next().expect("a text"));
    texts.map(|text| serde_json::from_str(text).expect("a record")).collect()
}

/// The fields that distinguish the kinds of records.
fn kind(record: &Value) -> (&str, &str, String, bool) {
    let run = class(record) == "idle" && number(record, "windows") > 1.5;
    (
        class(record),
        record["event_type"].as_str().expect("a type"),
        gomon_object(record)["scope"].to_string(),
        run,
    )
}

#[test]
fn every_kind_of_record_is_shown_as_it_is_written() {
    let (written, shown) = (written(), shown());
    let kinds = |records: &[Value]| -> BTreeSet<_> {
        records.iter().map(|record| format!("{:?}", kind(record))).collect()
    };
    assert_eq!(kinds(&shown), kinds(&written));
    for record in &shown {
        let alike = || written.iter().filter(|other| kind(other) == kind(record));
        assert!(alike().any(|other| other == record), "{record:#}\n{:#?}", alike().next());
    }
}

/// The names of all properties in a schema.
fn properties(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(properties)) = fields.get("properties") {
                names.extend(properties.keys().cloned());
            }
            fields.values().for_each(|value| properties(value, names));
        }
        Value::Array(items) => items.iter().for_each(|item| properties(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_field_is_explained_and_no_other() {
    let mut fields = BTreeSet::new();
    properties(&serde_json::from_str(TEXT).expect("a JSON file"), &mut fields);
    let mut named = BTreeSet::new();
    for word in RECORDS.split('`').skip(1).step_by(2) {
        named.extend(word.split('.').map(ToOwned::to_owned));
    }
    let silent: Vec<_> = fields.difference(&named).collect();
    assert!(silent.is_empty(), "not a word on {silent:?}");

    let of_fields = RECORDS.split("\n\n").filter(|paragraph| paragraph.starts_with("| field"));
    let rows = of_fields.flat_map(|table| table.lines().skip(2));
    let firsts = rows.map(|row| row.split('|').nth(1).expect("a first column"));
    for name in firsts.flat_map(|first| first.split('`').skip(1).step_by(2)) {
        let last = name.rsplit('.').next().expect("a name");
        assert!(fields.contains(last), "{name} is no field");
    }
}

#[test]
fn every_field_in_the_schema_has_a_description() {
    fn undescribed<'a>(name: &'a str, schema: &'a Value, missing: &mut Vec<&'a str>) {
        if let Some(Value::Object(properties)) = schema.get("properties") {
            for (name, property) in properties {
                undescribed(name, property, missing);
            }
        }
        let described = schema.get("description").or_else(|| schema.get("$ref"));
        if described.is_none() {
            missing.push(name);
        }
    }
    let schema: Value = serde_json::from_str(TEXT).expect("a JSON file");
    let mut missing = Vec::new();
    undescribed("record", &schema, &mut missing);
    for shared in ["metadata", "gomon", "time", "address", "port", "proto"] {
        undescribed(shared, &schema["$defs"][shared], &mut missing);
    }
    assert!(missing.is_empty(), "no word on {missing:?}");
}

//! The schema rejects records that are wrong in one field.

use serde_json::{Value, json};

use crate::rules::{class, gomon_object};
use crate::runs::{BOT, Traffic, as_strict};
use crate::schemas::accepts;
use crate::support::frames::{ip, ip_packet, syn, udp};

/// A record of every class, the alerts in the default form.
fn specimens() -> Vec<Value> {
    let host = |n| ip(&format!("198.51.100.{n}"));
    let ports = (1..=60).map(|port| udp(ip(BOT), host(1), port, 0));
    let attempts = (1..=11).map(|n| syn(ip(BOT), host(n), 23));
    let traffic = || {
        Traffic::default()
            .times(60, 0, &syn(ip(BOT), host(1), 80))
            .times(60, 0, &ip_packet(ip(BOT), host(2), 47, &[]))
            .all(10_000, ports.clone())
            .all(20_000, attempts.clone())
            .one(30_000, syn(ip(BOT), host(1), 80))
    };
    let flags = ["--window", "10", "--port-threshold", "50", "--show-idle", "--sample-id", "x"];
    let mut records = traffic().judged(BOT, &[&flags[..], &["--c2-ip", "::1"]].concat());
    let alerts = traffic().judged(BOT, &[&flags[..], &["--connections", "alert"]].concat());
    records.extend(alerts.into_iter().filter(|record| class(record) == "connection"));
    let mut classes: Vec<_> =
        records.iter().map(|record| (class(record), &gomon_object(record)["scope"])).collect();
    classes.dedup();
    assert_eq!(classes.len(), 7, "{classes:?}");
    records
}

/// Every object in a record, by the path to it.
fn objects(value: &Value, path: &str, found: &mut Vec<String>) {
    if let Value::Object(fields) = value {
        found.push(path.to_owned());
        for (name, value) in fields {
            objects(value, &format!("{path}/{name}"), found);
        }
    }
}

fn fields<'a>(record: &'a mut Value, path: &str) -> &'a mut serde_json::Map<String, Value> {
    record.pointer_mut(path).and_then(Value::as_object_mut).expect("an object")
}

/// Values that a field with `value` may not have: of another type, or null.
fn wrong(value: &Value) -> Vec<Value> {
    let other = match value {
        Value::String(_) => vec![json!(7), json!("")],
        Value::Number(_) => vec![json!("7"), json!(-1)],
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            vec![json!("7"), json!(7)]
        }
    };
    [other, vec![Value::Null]].concat()
}

/// Whether a field of a record is optional. `sample_id` is, even in a record with `host`, which may be the
/// sensor's name.
fn is_optional(name: &str, record: &Value) -> bool {
    ["c2_ip", "sample_id"].contains(&name)
        || name == "proto" && gomon_object(record)["scope"] == "host"
}

#[test]
fn every_field_of_every_record_must_have_its_type() {
    for record in specimens() {
        assert!(accepts(&record));
        let mut paths = Vec::new();
        objects(&record, "", &mut paths);
        for path in &paths {
            let mut more = record.clone();
            fields(&mut more, path).insert("extra".to_owned(), json!(1));
            assert!(!accepts(&more), "accepted with one field more in {path:?}: {more:#}");

            for (name, value) in fields(&mut record.clone(), path).iter() {
                for value in wrong(value) {
                    let mut broken = record.clone();
                    fields(&mut broken, path).insert(name.clone(), value);
                    assert!(!accepts(&broken), "accepted with a wrong {path}/{name}: {broken:#}");
                }
                // Only labels are optional, and the whole object of a record without an alert.
                let mut less = record.clone();
                fields(&mut less, path).remove(name);
                let whole = path.is_empty() && name == "metadata" && record.get("alert").is_none();
                let optional = is_optional(name, &record);
                assert_eq!(accepts(&less), whole || optional, "without {path}/{name}: {less:#}");
            }
        }
    }
}

#[test]
fn wrong_values_of_the_right_type_are_rejected() {
    let cases = [
        ("/timestamp", json!("2026-01-29T10:00:00.000000Z")),
        ("/timestamp", json!("2026-01-29T10:00:00.000000+00:00")),
        ("/timestamp", json!("2026-01-29T10:00:00+0000")),
        ("/timestamp", json!("2026-13-29T10:00:00.000000+0000")),
        ("/flow_id", json!(1u64 << 51)),
        ("/flow_id", json!(1.5)),
        ("/event_type", json!("anomaly")),
        ("/src_ip", json!("banana")),
        ("/src_ip", json!("10.0.0.256")),
        ("/dest_ip", json!("<nil>")),
        ("/dest_ip", json!("2001:DB8::1")),
        ("/dest_port", json!(65_536)),
        ("/proto", json!("tcp")),
        ("/proto", json!("6")),
        ("/alert/gid", json!(1)),
        ("/alert/rev", json!(2)),
        ("/alert/action", json!("blocked")),
        ("/alert/severity", json!(1)),
        ("/alert/signature", json!("gomon")),
        ("/alert/signature_id", json!(2_100_005)),
        ("/metadata/gomon/classification", json!("idle")),
        ("/metadata/gomon/scope", json!("global")),
        ("/metadata/gomon/window_s", json!(0)),
        ("/metadata/gomon/packets", json!(0)),
        ("/metadata/gomon/packets", json!(1.5)),
        ("/metadata/gomon/c2_ip", json!("localhost")),
        ("/metadata/gomon/ports", json!(1)),
        ("/flow", json!({"alerted": false})),
    ];
    let attack = &specimens()[0];
    assert_eq!((class(attack), &attack["proto"]), ("attack", &json!("TCP")));
    for (path, value) in cases {
        let (parent, name) = path.rsplit_once('/').expect("a path");
        let mut broken = attack.clone();
        fields(&mut broken, parent).insert(name.to_owned(), value.clone());
        assert!(!accepts(&broken), "accepted: {path} {value}");
    }
    // The signature of one verdict with the id of another; gomon's object in both places.
    let mut broken = attack.clone();
    broken["alert"]["signature_id"] = json!(2_100_002);
    assert!(!accepts(&broken));
    let mut twice = attack.clone();
    twice["alert"]["metadata"] = twice["metadata"].clone();
    assert!(!accepts(&twice));
    let mut nowhere = attack.clone();
    fields(&mut nowhere, "").remove("metadata");
    assert!(!accepts(&nowhere));
}

#[test]
fn a_strict_alert_must_have_the_same_fields() {
    for alert in specimens().iter().filter(|record| record.get("alert").is_some()) {
        let strict = as_strict(alert);
        assert!(accepts(&strict), "{strict:#}");
        let path = "/alert/metadata/gomon";
        for name in gomon_object(alert).as_object().expect("an object").keys() {
            let mut less = strict.clone();
            fields(&mut less, path).remove(name);
            assert_eq!(accepts(&less), is_optional(name, alert), "without {path}/{name}: {less:#}");
        }
        let mut more = strict.clone();
        fields(&mut more, path).insert("windows".to_owned(), json!(1));
        assert!(!accepts(&more), "{more:#}");
    }
}

#[test]
fn only_protocols_with_ports_have_ports() {
    let specimens = specimens();
    let of = |protocol: &str| specimens.iter().find(|record| record["proto"] == protocol);
    let mut gre = of("GRE").expect("a record").clone();
    fields(&mut gre, "").insert("dest_port".to_owned(), json!(0));
    assert!(!accepts(&gre));
    let mut tcp = of("TCP").expect("a record").clone();
    fields(&mut tcp, "/metadata/gomon").remove("dest_port");
    assert!(!accepts(&tcp));
}

//! Real captures: every window must have tshark's counts.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::support::program::gomon;
use crate::support::real;

/// Packets per window, destination and port.
type Flows = BTreeMap<(u64, String, u64), u64>;

const NANOSECONDS: u64 = 1_000_000_000;

/// Returns tshark's flows, with port 0 for protocols without ports.
fn expected(truth: &Value) -> Flows {
    let mut flows = Flows::new();
    for window in truth["windows"].as_array().into_iter().flatten() {
        for flow in window["flows"].as_array().expect("flows") {
            let ported = ["tcp", "udp", "sctp"].contains(&flow[2].as_str().expect("a protocol"));
            let port = if ported { flow[1].as_u64().unwrap_or(0) } else { 0 };
            let key = (window["index"].as_u64().expect("a window"), text(&flow[0]), port);
            *flows.entry(key).or_default() += flow[3].as_u64().expect("packets");
        }
    }
    flows
}

/// Returns the flows in gomon's records, with windows numbered from `anchor`.
fn reported(records: &[Value], anchor: u64, window: u64) -> Flows {
    let mut flows = Flows::new();
    for record in records.iter().filter(|record| record["event_type"] == "flow") {
        let start = microseconds(&text(&record["timestamp"])) * 1000;
        let index = (start + 1000).saturating_sub(anchor) / (window * NANOSECONDS);
        let key = (index, text(&record["dest_ip"]), record["dest_port"].as_u64().unwrap_or(0));
        *flows.entry(key).or_default() +=
            record["flow"]["pkts_toserver"].as_u64().expect("packets");
    }
    flows
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// `2026-01-29T10:00:00.123456+0000` as microseconds since the epoch.
fn microseconds(timestamp: &str) -> u64 {
    let time: jiff::Timestamp = timestamp.replace("+0000", "Z").parse().expect("a timestamp");
    u64::try_from(time.as_microsecond()).expect("after 1970")
}

/// Returns the truth files of a capture.
fn truths(folder: &Path, capture: &str) -> Vec<Value> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let prefix = format!("{capture}.truth.");
    let ours = paths.iter().filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
    });
    ours.map(|path| {
        let truth = std::fs::read_to_string(path).expect("a truth file");
        serde_json::from_str(&truth).expect("JSON")
    })
    .collect()
}

#[test]
fn every_window_has_tsharks_counts() {
    let Some(folder) = real::captures() else { return };
    let mut compared = 0;
    for capture in real::capture_files() {
        let name = capture.file_name().expect("a name").to_string_lossy().into_owned();
        for truth in truths(&folder, &name) {
            let source = text(&truth["src"]);
            let window = truth["window_s"].as_u64().expect("a window");
            // Without alerts every endpoint is reported as a flow.
            let outcome = gomon([
                capture.to_str().expect("a path"),
                &source,
                "--quiet",
                "--window",
                &window.to_string(),
                "--packet-threshold",
                "1e12",
                "--destination-threshold",
                "1e12",
                "--port-threshold",
                "0",
                "--sweep-detection",
                "off",
                "--max-destinations",
                "100000",
            ]);
            let anchor = truth["anchor_epoch_ns"].as_u64().unwrap_or(0);
            let expected = expected(&truth);
            let reported = reported(&outcome.records(), anchor, window);
            let differ = reported.iter().filter(|(key, n)| expected.get(*key) != Some(n));
            let missing = expected.iter().filter(|(key, _)| !reported.contains_key(*key));
            let wrong: Vec<_> = differ.chain(missing).take(5).collect();
            assert!(wrong.is_empty(), "{name} from {source}: {wrong:?}\n{}", outcome.stderr);
            let clean = !name.starts_with("malformed") && truth["tshark"] == "clean";
            assert_eq!(outcome.status == Some(0), clean || outcome.errors().is_empty(), "{name}");
            assert!(!clean || outcome.status == Some(0), "{name}: {}", outcome.stderr);
            compared += expected.len();
        }
    }
    assert!(compared > 1000, "only {compared} flows were compared");
    println!("{compared} flows compared with tshark's");
}

#[test]
fn every_real_capture_is_read_cleanly_and_its_ledger_adds_up() {
    for capture in real::capture_files() {
        let name = capture.file_name().expect("a name").to_string_lossy().into_owned();
        let outcome = gomon([capture.as_os_str(), "any".as_ref(), "--quiet".as_ref()]);
        assert!(matches!(outcome.status, Some(0 | 2 | 3)), "{name}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("panicked"), "{name}: {}", outcome.stderr);
        assert_eq!(outcome.status == Some(0), outcome.errors().is_empty(), "{name}");
        assert!(outcome.errors().len() <= 1, "{name}: {}", outcome.stderr);
        if name.starts_with("unsupported") {
            // All frames are encrypted wireless frames.
            assert_eq!(outcome.status, Some(0), "{name}");
            let opaque = "1093 of 1093 frames carry layers that are not parsed";
            assert!(outcome.stderr.contains(opaque), "{}", outcome.stderr);
        }
        let ledger = outcome.line("Ledger:");
        let numbers: Vec<u64> =
            ledger.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        assert_eq!(numbers[0], numbers[1..6].iter().sum::<u64>(), "{name}: {ledger}");
    }
}

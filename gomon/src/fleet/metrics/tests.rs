//! Tests of the metrics.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::core::Ledger;
use crate::fleet::id::BotId;
use crate::fleet::roster::BotKey;
use crate::fleet::status::BotDescription;
use crate::source::live::AttachMode;

fn bot(interface: &str) -> (ListedBot, Option<BotStatus>) {
    let key = BotKey { interface: interface.into(), src: "10.0.0.5".into() };
    let bot = BotDescription {
        id: BotId(1),
        interface: interface.into(),
        sources: "10.0.0.5".into(),
        sample_id: None,
    };
    let counts = BotStatus {
        bot,
        mode: AttachMode::Tcx,
        ledger: Ledger { counted: 42, malformed: [1, 0, 0, 0, 2], ..Ledger::default() },
        open: None,
        overflow_packets: 7,
        packets_lost: 0,
        progress: BotProgress { windows: 3, verdicts: [1, 0, 0, 0, 0, 2], latest: None },
        drained_in: Duration::from_millis(250),
        records_written: 11,
        records_dropped: 0,
        artifacts_written: 0,
        artifacts_dropped: 0,
    };
    let listed = ListedBot {
        key,
        id: Some(BotId(1)),
        sample_id: None,
        state: BotState::Counting,
        is_added: false,
    };
    (listed, Some(counts))
}

fn metrics(interface: &str) -> String {
    let bots = vec![bot(interface)];
    exposition(FleetStatus { uptime: Duration::from_secs(1), bots }).unwrap()
}

#[test]
fn values_have_the_labels_of_their_bot() {
    let text = metrics("vnet0");
    for line in [
        "gomon_bots{state=\"counting\"} 1",
        "gomon_frames_total{interface=\"vnet0\",src=\"10.0.0.5\",outcome=\"counted\"} 42.0",
        "gomon_frames_total{interface=\"vnet0\",src=\"10.0.0.5\",outcome=\"malformed\"} 3.0",
        "gomon_malformed_frames_total{interface=\"vnet0\",src=\"10.0.0.5\",reason=\"nesting\"} 2.0",
        "gomon_verdicts_total{interface=\"vnet0\",src=\"10.0.0.5\",class=\"idle\"} 2.0",
        "gomon_drain_seconds{interface=\"vnet0\",src=\"10.0.0.5\"} 0.25",
        "gomon_attached{interface=\"vnet0\",src=\"10.0.0.5\",mode=\"TCX\"} 1.0",
        "# UNIT gomon_drain_seconds seconds",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in:\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    let metrics = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
    let helps = text.lines().filter(|line| line.starts_with("# HELP ")).count();
    assert_eq!(metrics, helps);
}

#[test]
fn special_characters_in_labels_are_escaped() {
    // All are allowed in the name of an interface.
    let text = metrics("a\"b\\c{}");
    assert!(text.contains("{interface=\"a\\\"b\\\\c{}\",src="), "{text}");
}

/// The names of the time series, as a query has them.
fn known() -> BTreeSet<String> {
    let text = metrics("vnet0");
    let series = text.lines().filter(|line| !line.starts_with('#'));
    series.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

/// The names in a text that start as those of the metrics do.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("gomon_")).map(str::to_owned).collect()
}

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).unwrap()
}

#[test]
fn the_dashboard_the_alerts_and_the_documentation_name_only_metrics_that_exist() {
    let known = known();
    let dashboard: Value = serde_json::from_str(&read("docs/grafana/gomon.json")).unwrap();
    let mut expressions = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            expressions.push(target["expr"].as_str().unwrap().to_owned());
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        expressions.push(variable["query"].as_str().unwrap().to_owned());
    }
    let rules = read("docs/prometheus/alerts.yml");
    let rules: Vec<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert!(rules.len() > 5 && expressions.len() > 10);
    for expression in expressions.iter().map(String::as_str).chain(rules) {
        let missing: Vec<_> = named(expression).difference(&known).cloned().collect();
        assert!(missing.is_empty(), "{missing:?} in {expression}");
    }
    // The page has all of them, and the dashboard as well.
    for page in [read("docs/fleet.md"), expressions.join("\n")] {
        let missing: Vec<_> = known.difference(&named(&page)).cloned().collect();
        assert!(missing.is_empty(), "{missing:?} are not shown");
    }
}

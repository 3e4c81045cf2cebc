//! The state of the fleet: for clients, as JSON, and for metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::id::BotId;
use super::roster::{BotState, ListedBot};
use super::status::BotStatus;
use crate::core::Ledger;
use crate::run::progress::BotProgress;
use crate::sink::calendar;

/// The state of all bots.
#[derive(Clone, Debug)]
pub(crate) struct FleetStatus {
    /// The time since the start.
    pub(crate) uptime: Duration,
    /// The bots, in the order of their interfaces; those that are counted with their counts.
    pub(crate) bots: Vec<(ListedBot, Option<BotStatus>)>,
}

impl FleetStatus {
    /// Joins the bots with the counts of those that are counted.
    pub(crate) fn new(uptime: Duration, listed: Vec<ListedBot>, counts: Vec<BotStatus>) -> Self {
        let mut counts: BTreeMap<BotId, BotStatus> =
            counts.into_iter().map(|status| (status.bot.id, status)).collect();
        let mut join = |bot: ListedBot| {
            let counts = bot.id.and_then(|id| counts.remove(&id));
            (bot, counts)
        };
        Self { uptime, bots: listed.into_iter().map(&mut join).collect() }
    }

    /// Returns the answer to a request for the counts.
    pub(crate) fn to_json(&self) -> Value {
        let bots = self.bots.iter().map(|(bot, counts)| {
            let mut object = listed(bot);
            if let Some(counts) = counts {
                add_counts(&mut object, counts);
            }
            Value::Object(object)
        });
        json!({ "ok": true, "uptime_s": self.uptime.as_secs(), "bots": bots.collect::<Vec<_>>() })
    }
}

/// Returns the answer to a request for the list.
pub(crate) fn list(bots: &[ListedBot]) -> Value {
    let bots: Vec<_> = bots.iter().map(|bot| Value::Object(listed(bot))).collect();
    json!({ "ok": true, "bots": bots })
}

/// Returns the answer that a request failed.
pub(crate) fn failed(error: &str) -> Value {
    json!({ "ok": false, "error": error })
}

/// Returns the answer that a bot has ended, and why records or artifacts of it are missing.
pub(crate) fn removed(lost: Option<&str>) -> Value {
    json!({ "ok": true, "lost": lost })
}

fn listed(bot: &ListedBot) -> Map<String, Value> {
    let mut object = Map::new();
    let mut set = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
    set("interface", json!(bot.key.interface));
    set("src", json!(bot.key.src));
    set("sample_id", json!(bot.sample_id));
    set("state", json!(bot.state.name()));
    if let BotState::Failed(why) = &bot.state {
        set("error", json!(why));
    }
    set("added", json!(bot.is_added));
    object
}

fn add_counts(object: &mut Map<String, Value>, status: &BotStatus) {
    let BotStatus { mode, ledger, open, progress, .. } = status;
    let verdicts = BotProgress::CLASSES.into_iter().zip(progress.verdicts);
    let verdicts: Map<String, Value> =
        verdicts.map(|(class, count)| (class.to_owned(), json!(count))).collect();
    let latest = progress
        .latest
        .as_ref()
        .map(|(classes, end)| json!({ "classes": classes, "end": calendar(*end).to_string() }));
    let mut set = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
    set("attach", json!(mode.to_string()));
    set("ledger", ledger_json(ledger));
    set("open_window", json!(open.as_ref().map(ledger_json)));
    set("overflow_packets", json!(status.overflow_packets));
    set("artifact_packets_lost", json!(status.packets_lost));
    set("windows", json!(progress.windows));
    set("verdicts", Value::Object(verdicts));
    set("latest", json!(latest));
    set("drain_s", json!(status.drained_in.as_secs_f64()));
    set("records_written", json!(status.records_written));
    set("records_dropped", json!(status.records_dropped));
    set("artifacts_written", json!(status.artifacts_written));
    set("artifacts_dropped", json!(status.artifacts_dropped));
}

fn ledger_json(ledger: &Ledger) -> Value {
    json!({
        "seen": ledger.seen(),
        "counted": ledger.counted,
        "not_from_bot": ledger.not_from_bot,
        "ignored": ledger.ignored,
        "not_ip": ledger.not_ip,
        "malformed": ledger.malformed_total(),
        "lost": ledger.lost,
    })
}

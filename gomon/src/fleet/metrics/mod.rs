//! Metrics for Prometheus, from the state of the fleet at the time of a request. Labels are bounded by the number of
//! bots, and a bot that was removed leaves none.

mod http;

use std::fmt;

use gomon_common::parse::Malformed;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::http::serve;

use super::report::FleetStatus;
use super::roster::{BotState, ListedBot};
use super::status::BotStatus;
use crate::VERSION;
use crate::run::progress::BotProgress;

/// A label and its value.
type Label = (&'static str, String);
/// The values of a metric of one bot, each with a label in addition to those of the bot.
type BotValues = Vec<(Option<Label>, f64)>;

/// A metric of each bot that is counted.
struct BotMetric {
    /// Without the suffix of a counter, and without the unit.
    name: &'static str,
    help: &'static str,
    is_counter: bool,
    unit: Option<Unit>,
    values: fn(&BotStatus) -> BotValues,
}

/// Returns the one value of a metric without other labels.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53, and Prometheus stores nothing else"
)]
fn one(value: u64) -> BotValues {
    vec![(None, value as f64)]
}

/// Returns a value for each of several labels.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53, and Prometheus stores nothing else"
)]
fn each(label: &'static str, values: impl IntoIterator<Item = (&'static str, u64)>) -> BotValues {
    let values = values.into_iter();
    values.map(|(name, value)| (Some((label, name.to_owned())), value as f64)).collect()
}

/// The metrics of bots.
fn bot_metrics() -> Vec<BotMetric> {
    let counter =
        |name, help, values| BotMetric { name, help, is_counter: true, unit: None, values };
    vec![
        counter("gomon_frames", "Frames seen in closed windows, by outcome", |bot| {
            let ledger = &bot.ledger;
            each(
                "outcome",
                [
                    ("counted", ledger.counted),
                    ("not_from_bot", ledger.not_from_bot),
                    ("ignored", ledger.ignored),
                    ("not_ip", ledger.not_ip),
                    ("malformed", ledger.malformed_total()),
                ],
            )
        }),
        counter("gomon_malformed_frames", "Frames that could not be parsed, by reason", |bot| {
            let reasons = Malformed::ALL.map(Malformed::name);
            each("reason", reasons.into_iter().zip(bot.ledger.malformed))
        }),
        counter("gomon_lost_frames", "Frames that a capture by libpcap lost", |bot| {
            one(bot.ledger.lost)
        }),
        counter(
            "gomon_overflow_packets",
            "Packets to destinations beyond --max-destinations, which are counted together",
            |bot| one(bot.overflow_packets),
        ),
        counter(
            "gomon_artifact_packets_lost",
            "Packets missing in artifacts, because the buffer of the kernel was full",
            |bot| one(bot.packets_lost),
        ),
        counter("gomon_windows", "Windows that were judged", |bot| one(bot.progress.windows)),
        counter("gomon_verdicts", "Verdicts, by class", |bot| {
            each("class", BotProgress::CLASSES.into_iter().zip(bot.progress.verdicts))
        }),
        counter("gomon_records_written", "EVE records that were written or are queued", |bot| {
            one(bot.records_written)
        }),
        counter("gomon_records_dropped", "EVE records that were lost", |bot| {
            one(bot.records_dropped)
        }),
        counter("gomon_artifacts_written", "Artifacts that were written", |bot| {
            one(bot.artifacts_written)
        }),
        counter("gomon_artifacts_dropped", "Artifacts that were lost", |bot| {
            one(bot.artifacts_dropped)
        }),
        BotMetric {
            name: "gomon_drain",
            help: "Time that reading the counts of the latest window took",
            is_counter: false,
            unit: Some(Unit::Seconds),
            values: |bot| vec![(None, bot.drained_in.as_secs_f64())],
        },
        BotMetric {
            name: "gomon_attached",
            help: "How the bot is attached: 1 for the mode",
            is_counter: false,
            unit: None,
            values: |bot| vec![(Some(("mode", bot.mode.to_string())), 1.0)],
        },
    ]
}

/// Returns the metrics in the text format of `OpenMetrics` 1.0.
pub(crate) fn exposition(status: FleetStatus) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(FleetCollector(status)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct FleetCollector(FleetStatus);

impl Collector for FleetCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let FleetCollector(status) = self;
        let gauge = MetricType::Gauge;
        let mut build = encoder.encode_descriptor(
            "gomon_build",
            "The version of gomon",
            None,
            MetricType::Info,
        )?;
        build.encode_info(&[("version", VERSION.trim_start_matches("version "))])?;

        let help = "Time since the start";
        let mut uptime =
            encoder.encode_descriptor("gomon_uptime", help, Some(&Unit::Seconds), gauge)?;
        uptime.encode_gauge(&status.uptime.as_secs_f64())?;

        let mut bots = encoder.encode_descriptor("gomon_bots", "Bots, by state", None, gauge)?;
        for state in BotState::NAMES.into_iter().filter(|state| *state != "pattern") {
            let count = status.bots.iter().filter(|(bot, _)| bot.state.name() == state).count();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            bots.encode_family(&[("state", state)])?.encode_gauge(&count)?;
        }

        let counted = || {
            let bots = status.bots.iter();
            bots.filter_map(|(bot, counts)| Some((bot, counts.as_ref()?)))
        };
        for BotMetric { name, help, is_counter, unit, values } in bot_metrics() {
            let kind = if is_counter { MetricType::Counter } else { MetricType::Gauge };
            let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
            for (bot, counts) in counted() {
                for (label, value) in values(counts) {
                    let labels: Vec<Label> = labels(bot).into_iter().chain(label).collect();
                    let mut family = metric.encode_family(&labels)?;
                    if is_counter {
                        family.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
                    } else {
                        family.encode_gauge(&value)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Returns the labels of a bot.
fn labels(bot: &ListedBot) -> [Label; 2] {
    [("interface", bot.key.interface.clone()), ("src", bot.key.src.clone())]
}

#[cfg(test)]
mod tests;

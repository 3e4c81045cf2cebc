//! The state of a bot, for status reports and metrics.

use std::time::Duration;

use super::id::BotId;
use crate::core::{Ledger, Sources};
use crate::run::pipeline::Pipeline;
use crate::run::progress::BotProgress;
use crate::run::sink_queue::SinkMonitor;
use crate::settings::BotSettings;
use crate::source::live::{AttachMode, LiveState};

/// What does not change while a bot is counted.
#[derive(Clone, Debug)]
pub struct BotDescription {
    /// The number of the bot.
    pub id: BotId,
    /// The name of the interface when the bot was added.
    pub interface: String,
    /// The bot's addresses, separated by commas, or `any`.
    pub sources: String,
    /// The name of the sample.
    pub sample_id: Option<String>,
}

/// The state of a bot. All numbers are since it was added, and count closed windows, except for those of `open`.
#[derive(Clone, Debug)]
pub struct BotStatus {
    /// What does not change.
    pub bot: BotDescription,
    /// How it is attached.
    pub mode: AttachMode,
    /// The frames by outcome.
    pub ledger: Ledger,
    /// The frames of the open window by outcome; `None` if the kernel can't be asked.
    pub open: Option<Ledger>,
    /// Packets to destinations that were not listed, because the list was full.
    pub overflow_packets: u64,
    /// Packets that are missing in artifacts, because a buffer between the kernel and gomon was full.
    pub packets_lost: u64,
    /// Windows and verdicts.
    pub progress: BotProgress,
    /// How long the latest drain took.
    pub drained_in: Duration,
    /// Records that were written or are queued.
    pub records_written: u64,
    /// Records that were dropped or could not be written.
    pub records_dropped: u64,
    /// Artifacts that were written.
    pub artifacts_written: u64,
    /// Artifacts that were dropped or could not be written.
    pub artifacts_dropped: u64,
}

impl BotDescription {
    pub(super) fn new(id: BotId, interface: String, settings: &BotSettings) -> Self {
        let sources = match &settings.sources {
            Sources::Any => "any".to_owned(),
            sources @ Sources::Bot { .. } => {
                let addresses: Vec<_> =
                    sources.addresses().map(|source| source.to_string()).collect();
                addresses.join(",")
            }
        };
        Self { id, interface, sources, sample_id: settings.sample_id.clone() }
    }
}

impl BotStatus {
    pub(super) fn new(bot: &BotDescription, state: &LiveState<'_, Pipeline>) -> Self {
        let (ledger, overflow_packets, packets_lost) = state.sink.totals();
        Self {
            bot: bot.clone(),
            mode: state.live.mode(),
            ledger,
            open: state.open,
            overflow_packets,
            packets_lost,
            progress: state.sink.verdicts().clone(),
            drained_in: state.drained_in,
            records_written: 0,
            records_dropped: 0,
            artifacts_written: 0,
            artifacts_dropped: 0,
        }
    }

    /// Adds the numbers of the sinks.
    pub(super) fn with_sinks(self, monitor: Option<SinkMonitor>) -> Self {
        let Some(monitor) = monitor else { return self };
        let (records, artifacts) = (monitor.records(), monitor.artifacts());
        Self {
            records_written: records.written,
            records_dropped: records.lost,
            artifacts_written: artifacts.0,
            artifacts_dropped: artifacts.1,
            ..self
        }
    }
}

//! The sinks of one bot: artifacts, and then the records that name them.

use std::path::PathBuf;

use anyhow::{Error, Result, anyhow};
use bytes::Bytes;

use crate::core::WindowReport;
use crate::settings::BotSettings;
use crate::sink::artifacts::{ArtifactWriter, SelectedPackets};
use crate::sink::console;
use crate::sink::eve::{
    EndReason, Eve, EveConfig, EveTargets, InputName, MissedWindows, OverflowPolicy,
    RecordSelection,
};
use crate::source::wall_clock;

/// Writes what the reports of a bot call for.
pub(crate) struct BotSinks {
    pub(super) eve: Option<Eve>,
    /// `None` if nothing is saved, and after a write that did not end.
    pub(super) artifacts: Option<ArtifactWriter>,
    capture_dir: PathBuf,
    /// Artifacts that were written.
    pub(super) saved: u64,
    /// Artifacts that could not be written, or whose packets were dropped.
    pub(super) failed: u64,
}

/// The report of a window, and the packets of its artifacts, with their bytes as `Data`.
pub(crate) struct JudgedWindow<Data = Bytes> {
    pub(super) report: WindowReport,
    pub(super) packets: Option<SelectedPackets<Data>>,
}

/// What was dropped, because the sinks of a bot did not keep up.
#[derive(Clone, Copy)]
pub(super) struct MissedReports {
    pub(super) windows: MissedWindows,
    pub(super) records: u64,
    pub(super) artifacts: u64,
}

impl BotSinks {
    /// Creates the sinks of a run that writes nothing.
    pub(super) fn none() -> Self {
        Self { eve: None, artifacts: None, capture_dir: PathBuf::new(), saved: 0, failed: 0 }
    }

    /// Opens the outputs that `bot` names. `on_close` is called when the reader of standard output closes it.
    ///
    /// # Errors
    ///
    /// When one of them can't be opened.
    pub(crate) fn open(
        bot: &BotSettings,
        input: InputName,
        targets: &EveTargets,
        on_overflow: OverflowPolicy,
        on_close: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self> {
        let output = targets.open(&bot.eve.target, bot.eve.fresh, on_overflow, on_close)?;
        let config = EveConfig {
            input,
            sources: bot.sources.clone(),
            sensor_name: bot.sensor_name.clone(),
            sample_id: bot.sample_id.clone(),
            c2_ip: bot.c2_ip.clone(),
            policy: bot.policy.clone(),
            strict: bot.eve.strict,
            connections: bot.eve.connections,
            show_idle: bot.eve.show_idle,
            stats: bot.eve.stats,
        };
        let eve = Some(Eve::new(config, output));
        let writer = || ArtifactWriter::new(&bot.capture_dir, bot.sample_id.as_deref());
        let artifacts = (bot.save_packets > 0).then(writer).transpose()?;
        Ok(Self { eve, artifacts, capture_dir: bot.capture_dir.clone(), saved: 0, failed: 0 })
    }

    /// Whether records are written.
    pub(super) fn has_records(&self) -> bool {
        self.eve.is_some()
    }

    /// Returns which records are written.
    pub(super) fn selection(&self) -> Option<RecordSelection> {
        self.eve.as_ref().map(Eve::selection)
    }

    /// Writes the artifacts and the records of a window.
    pub(super) fn report<Data: AsRef<[u8]>>(&mut self, window: &JudgedWindow<Data>) {
        let mut paths = None;
        if let (Some(writer), Some(packets)) = (&mut self.artifacts, &window.packets) {
            paths = Some(writer.write(packets));
            (self.saved, self.failed) = (writer.saved(), writer.failed());
        }
        if let Some(eve) = &mut self.eve {
            eve.report(&window.report, |verdict| {
                paths.as_ref()?.path(verdict).map(|path| path.display().to_string())
            });
        }
    }

    /// Counts what was dropped.
    pub(super) fn miss(&mut self, missed: &MissedReports) {
        self.failed += missed.artifacts;
        if let Some(eve) = &mut self.eve {
            eve.miss(&missed.windows, missed.records);
        }
    }

    /// Writes the last record, and closes the outputs. `attached` is the attach mode with the interface, if there is
    /// one. Returns the failures. Waits while there is progress.
    pub(super) fn close(mut self, reason: EndReason, attached: Option<&str>) -> Vec<Error> {
        let mut failures = Vec::new();
        if let Some(eve) = &mut self.eve {
            eve.close(reason, attached.map(|attached| (attached, wall_clock())));
            let (delivery, outcome) = eve.output().finish();
            failures.extend(outcome.err());
            // Not for a capture, which can be analysed again.
            if eve.output().is_closed() && attached.is_some() {
                console::line(format_args!(
                    "Standard output was closed by its reader: {} record(s) are lost; with \
                     --eve-log-path they would have been written",
                    delivery.lost
                ));
            }
        }
        if self.failed > 0 {
            let directory = self.capture_dir.display().to_string();
            failures.push(anyhow!(
                "saving captures in {directory:?}: {} file(s) could not be written: see the \
                 log above, and free some space or name another directory",
                self.failed
            ));
        }
        failures
    }
}

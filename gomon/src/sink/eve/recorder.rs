//! Writes the records of a run to its output.

use super::config::{EveConfig, RecordSelection};
use super::context::{RecordContext, WindowContext};
use super::destination::WindowIdSeed;
use super::output::Output;
use super::record::{Metadata, Record, timestamp};
use super::stats::{EndReason, MissedWindows, RunEnd, RunTotals, final_record, window_stats};
use super::verdict::verdict_record;
use crate::core::{Span, Timestamp, Verdict, WindowReport};

/// The number of bytes of lines that are passed to the output at once. A system call per line would cost as much as
/// formatting it.
const BATCH: usize = 64 << 10;

/// Writes records.
pub struct Eve {
    output: Output,
    context: RecordContext,
    selection: RecordSelection,
    totals: RunTotals,
    /// The buffer for lines, kept to reuse its memory.
    lines: Vec<u8>,
}

impl Eve {
    /// Creates a writer of the records that `config` describes, to `output`.
    #[must_use]
    pub fn new(config: EveConfig, output: Output) -> Self {
        Self {
            output,
            selection: RecordSelection {
                connections: config.connections,
                show_idle: config.show_idle,
                stats: config.stats,
            },
            context: RecordContext::new(config),
            totals: RunTotals::default(),
            lines: Vec::new(),
        }
    }

    /// Returns the target of the records as it is written on the command line.
    #[must_use]
    pub fn name(&self) -> &str {
        self.output.name()
    }

    /// Returns which records are written.
    #[must_use]
    pub fn selection(&self) -> RecordSelection {
        self.selection
    }

    /// Returns the output of the records.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Records windows of which `records` records are not written, because their reports were dropped.
    pub fn miss(&mut self, windows: &MissedWindows, records: u64) {
        self.totals.add_missed(windows);
        self.output.record_lost(records);
    }

    /// Writes the records of a window. `artifact` returns the path of a verdict's artifact.
    pub fn report(&mut self, report: &WindowReport, artifact: impl Fn(&Verdict) -> Option<String>) {
        self.totals.add(report);
        let window = WindowContext::new(report);
        let seed = self.context.window_seed(report.span);
        let mut lines = std::mem::take(&mut self.lines);
        for (number, verdict) in report.verdicts.iter().enumerate() {
            if let Some(mut record) = self.record(&window, verdict) {
                if let Some(source) = report.verdict_sources.get(number).copied().flatten() {
                    record.src_ip = Some(source.ip());
                }
                record.capture_file = artifact(verdict);
                set_id(&mut record, seed);
                let is_alert = record.alert.is_some();
                add_line(&mut lines, &record);
                self.totals.alerts += u64::from(is_alert);
                if lines.len() >= BATCH {
                    self.output.queue_lines(&lines);
                    lines.clear();
                }
            }
        }
        if self.selection.stats && !report.is_idle() {
            let mut record = self.window_stats("busy", &window);
            set_id(&mut record, seed);
            add_line(&mut lines, &record);
        }
        self.output.queue_lines(&lines);
        lines.clear();
        self.lines = lines;
    }

    fn record<'a>(
        &'a self,
        window: &'a WindowContext<'_>,
        verdict: &Verdict,
    ) -> Option<Record<'a>> {
        if matches!(verdict, Verdict::Idle) {
            return (self.selection.show_idle || self.selection.stats)
                .then(|| self.window_stats("idle", window));
        }
        verdict_record(&self.context, self.selection.connections, window, verdict)
    }

    fn window_stats<'a>(
        &'a self,
        classification: &'static str,
        window: &'a WindowContext<'_>,
    ) -> Record<'a> {
        window_stats(&self.context, &self.totals, self.selection.stats, classification, window)
    }

    /// Writes the last record of the run. `live` is the attach mode with the interface, and the current time. A replay
    /// ends at the end of its last window, so that its record is the same in every run.
    pub fn close(&mut self, reason: EndReason, live: Option<(&str, Timestamp)>) {
        let attach = live.map(|(attach, _)| attach);
        let end = live.map(|(_, now)| now).or(self.totals.end).unwrap_or_default();
        let time = timestamp(end);
        let delivery = self.output.delivery();
        let run_end = RunEnd { reason, attach, end, time: &time, delivery };
        let mut record = final_record(&self.context, &self.totals, run_end);
        let span = Span { start: self.totals.start.unwrap_or(end), end };
        set_id(&mut record, self.context.window_seed(span));
        let mut lines = Vec::new();
        add_line(&mut lines, &record);
        self.output.queue_lines(&lines);
    }
}

/// Sets the id of a record, if it has the metadata for one.
fn set_id(record: &mut Record<'_>, seed: WindowIdSeed) {
    let in_alert = record.alert.as_mut().and_then(|alert| alert.metadata.as_mut());
    if let Some(Metadata { gomon }) = in_alert.or(record.metadata.as_mut()) {
        gomon.id = seed.record_id(record.flow_id, gomon.classification, gomon.scope);
    }
}

/// Appends a record as a line.
fn add_line(lines: &mut Vec<u8>, record: &Record<'_>) {
    // Every value of a record can be written as JSON, and writing to memory does not fail.
    let _ = serde_json::to_writer(&mut *lines, record);
    lines.push(b'\n');
}

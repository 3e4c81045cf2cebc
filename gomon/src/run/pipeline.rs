//! Turns panes into records, artifacts and a summary.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Error, Result, anyhow};

use crate::core::{
    Calibration, Engine, Ledger, Policy, Senders, Sources, Span, Timestamp, WindowCounts,
    WindowReport,
};
use crate::frame::{Frame, PacketVisitor, RemoteHosts};
use crate::sink::artifacts::Artifacts;
use crate::sink::calibration;
use crate::sink::console::{self, Progress};
use crate::sink::eve::{EndReason, Eve};
use crate::sink::summary::{Summary, ledger_text};
use crate::source::{PacketSink, PaneSink, wall_clock};

/// The reason of a warning for [`Sources::Any`], when the input has both directions.
const ANY_SOURCE: &str = "packets of every source count as the bot's, and hosts send to each other: the \
                          replies of hosts count as well.";

/// The start of a warning when no packet is from the bot.
const COUNTED_NOTHING: &str = "no packet counted so far";

/// The configuration of a [`Pipeline`].
pub(super) struct PipelineConfig {
    pub(super) sources: Sources,
    /// The bot's MAC address as it is written on the command line.
    pub(super) bot_mac: Option<String>,
    pub(super) policy: Policy,
    /// Whether to recommend thresholds instead of reporting verdicts.
    pub(super) calibrate: bool,
    /// The directory for artifacts.
    pub(super) capture_dir: PathBuf,
}

/// The sinks of a [`Pipeline`].
pub(super) struct Sinks {
    pub(super) eve: Option<Eve>,
    pub(super) artifacts: Option<Artifacts>,
    pub(super) progress: Progress,
}

/// Passes panes from the source to the engine, and its reports to the sinks.
pub(super) struct Pipeline {
    panes_per_window: u64,
    /// The number of the open pane.
    open_pane: u64,
    /// The pane of the latest warning about unlisted destinations.
    overflow_warned_in: Option<u64>,
    /// The bot's addresses.
    sources: Sources,
    /// The bot's MAC address as it is written on the command line.
    bot_mac: Option<String>,
    /// The senders of the latest pane that has any, until a warning reports them.
    senders: Senders,
    engine: Engine,
    detects_sweeps: bool,
    eve: Option<Eve>,
    artifacts: Option<Artifacts>,
    capture_dir: PathBuf,
    calibration: Option<Calibration>,
    progress: Progress,
    summary: Summary,
}

impl Pipeline {
    /// Creates a pipeline into `sinks`, before the first pane.
    pub(super) fn new(config: PipelineConfig, sinks: Sinks) -> Self {
        let calibration = config.calibrate.then(Calibration::default);
        let policy = match calibration {
            Some(_) => Calibration::policy(&config.policy),
            None => config.policy,
        };
        let panes_per_window = policy.panes() as u64;
        Self {
            panes_per_window,
            open_pane: 0,
            overflow_warned_in: None,
            sources: config.sources,
            bot_mac: config.bot_mac,
            senders: Senders::default(),
            detects_sweeps: policy.sweep_hosts.is_some(),
            engine: Engine::new(policy),
            eve: sinks.eve,
            artifacts: sinks.artifacts,
            capture_dir: config.capture_dir,
            calibration,
            progress: sinks.progress,
            summary: Summary::new(panes_per_window),
        }
    }

    /// Sets the attach mode and the interface, as text.
    pub(super) fn set_attached(&mut self, attached: String) {
        self.summary.attached = Some(attached);
    }

    /// Whether packets are saved.
    pub(super) fn saves_packets(&self) -> bool {
        self.artifacts.is_some()
    }

    /// See [`Artifacts::reread_with`].
    pub(super) fn reread_with(
        &mut self,
        reread: impl FnMut(PacketVisitor<'_>) -> Result<()> + 'static,
    ) {
        self.artifacts = self.artifacts.take().map(|artifacts| artifacts.reread_with(reread));
    }

    /// Passes the report of a window to the sinks.
    fn report_window(&mut self, report: &WindowReport) {
        // A live window may be reported before its end. In the summary it ends at the current time, in records at
        // its nominal end.
        let end = self.summary.attached.as_ref().map(|_| wall_clock());
        match end.filter(|end| *end < report.span.end) {
            Some(end) => {
                let span = Span { end, ..report.span };
                self.summary.add_window(&WindowReport { span, ..report.clone() });
            }
            None => self.summary.add_window(report),
        }
        if let Some(calibration) = &mut self.calibration {
            calibration.observe(report);
            calibration::log(report, calibration);
        }
        let written = self.artifacts.as_mut().map(|artifacts| artifacts.report(report));
        if let Some(eve) = &mut self.eve {
            eve.report(report, |verdict| {
                written.as_ref()?.path(verdict).map(|path| path.display().to_string())
            });
        }
    }

    /// Passes reports to the sinks and closes `panes` panes. Breaks if standard output was closed.
    fn advance(&mut self, reports: &[WindowReport], panes: u64) -> ControlFlow<()> {
        for report in reports {
            self.report_window(report);
        }
        self.open_pane += panes;
        if let Some(artifacts) = &mut self.artifacts {
            artifacts.advance(panes);
            // The next window that is judged starts with this pane.
            artifacts.drop_before((self.open_pane + 1).saturating_sub(self.panes_per_window));
        }
        if self.eve.as_mut().is_some_and(|eve| eve.output().is_closed()) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Warns that the bot's address may be wrong, and names the senders seen: if no packet was the bot's and enough
    /// packets were of other senders (at the end of the run, any number), or if [`Sources::Any`] counts both
    /// directions.
    fn warn_about_sources(&mut self, is_end_of_run: bool) {
        let ledger = &self.summary.ledger;
        let was_bot_seen = ledger.counted + ledger.ignored > 0;
        let is_missing = !was_bot_seen && (is_end_of_run || self.senders.is_sufficient());
        let first = self.sources.addresses().next();
        let reason = match (first, &self.bot_mac) {
            _ if self.senders.is_empty() => return,
            (None, None) => ANY_SOURCE.to_owned(),
            _ if !is_missing => return,
            (Some(first), None) => format!("{COUNTED_NOTHING}: is {first} the bot's address?"),
            (Some(first), Some(mac)) => format!(
                "{COUNTED_NOTHING}: is {first} the bot's address and {mac} its MAC address?"
            ),
            // The senders are recorded by IP address, not by MAC address.
            (None, Some(mac)) => {
                log::warn!(
                    "{COUNTED_NOTHING}: is {mac} the bot's MAC address? {} packets examined have \
                     other senders: see their MAC addresses with --list-sources",
                    self.senders.packets
                );
                self.senders = Senders::default();
                return;
            }
        };
        let senders = std::mem::take(&mut self.senders);
        let busiest: Vec<_> = senders
            .busiest
            .iter()
            .map(|(source, packets)| format!("{source} sent {packets}"))
            .collect();
        log::warn!(
            "{reason} Of {} packets examined, {}: give the bot's address or --bot-mac, or see all \
             sources with --list-sources",
            senders.packets,
            busiest.join(", ")
        );
    }

    /// Ends the run: judges the last windows, shows the summary and closes the sinks. Returns the failures
    /// of the sinks.
    pub(super) fn finish(mut self, reason: EndReason) -> Vec<Error> {
        let mut reports = Vec::new();
        self.engine.finish(&mut |report| reports.push(report));
        let _ = self.advance(&reports, 0);
        self.progress.finish();

        self.warn_about_sources(true);
        let summary = &mut self.summary;
        // On an interface this was logged when attaching. With `Sources::Any`, no address is known to be the bot's, so
        // only unanswered contacts show that one direction is missing.
        let sweeps = self.engine.sweeps();
        let is_one_directional = match self.sources {
            Sources::Bot { .. } => sweeps.is_one_directional() && summary.ledger.counted > 0,
            Sources::Any => sweeps.has_unjudged_contacts(),
        };
        let is_closed = self.eve.as_mut().is_some_and(|eve| eve.output().is_closed());
        if self.detects_sweeps && is_one_directional && summary.attached.is_none() && !is_closed {
            log::warn!(
                "UDP sweeps can't be judged: the capture has no packets to the bot, so it has no replies"
            );
        }
        summary.captures = self.artifacts.as_ref().map_or(0, Artifacts::saved);
        match (&self.calibration, &mut self.eve) {
            (Some(calibration), _) => summary.show_calibration(calibration),
            (None, Some(eve)) => summary.show(eve.output().name()),
            (None, None) => {}
        }
        let mut failures = Vec::new();
        if let Some(eve) = &mut self.eve {
            eve.close(
                reason,
                self.summary.attached.as_deref().map(|attached| (attached, wall_clock())),
            );
            let (delivery, outcome) = eve.output().finish();
            failures.extend(outcome.err());
            // Not for a capture, which can be analysed again.
            if eve.output().is_closed() && self.summary.attached.is_some() {
                console::line(format_args!(
                    "Standard output was closed by its reader: {} record(s) are lost; with \
                     --eve-log-path they would have been written",
                    delivery.lost
                ));
            }
        }
        let failed = self.artifacts.as_ref().map_or(0, Artifacts::failed);
        if failed > 0 {
            let directory = self.capture_dir.display().to_string();
            failures.push(anyhow!(
                "saving captures in {directory:?}: {failed} file(s) could not be written: see the \
                 log above, and free some space or name another directory"
            ));
        }
        failures
    }
}

impl PacketSink for Pipeline {
    fn needs_packets(&self) -> bool {
        self.artifacts.as_ref().is_some_and(Artifacts::needs_packets)
    }

    fn packet(&mut self, hosts: RemoteHosts, frame: &Frame<'_>) {
        if let Some(artifacts) = &mut self.artifacts {
            artifacts.packet(hosts, frame);
        }
    }

    fn packets_failed(&mut self, error: &Error) {
        if let Some(artifacts) = &mut self.artifacts {
            artifacts.packets_failed(error);
        }
    }
}

impl PaneSink for Pipeline {
    fn pane(&mut self, mut counts: WindowCounts) -> ControlFlow<()> {
        self.summary.add_pane(&counts);
        if !counts.senders.is_empty() {
            self.senders = std::mem::take(&mut counts.senders);
        }
        if self.open_pane + 1 >= self.panes_per_window {
            self.warn_about_sources(false);
        }
        if counts.ledger.lost > 0 {
            log::warn!(
                "{} frames of a window were lost before they could be counted: this machine is too \
                 slow to read every frame: let the kernel count (--attach auto), or give gomon more \
                 CPU time",
                counts.ledger.lost
            );
        }
        let overflow = counts.overflow.endpoints.packets;
        // At most one warning per window, however many panes it has.
        let is_due = self
            .overflow_warned_in
            .is_none_or(|pane| self.open_pane >= pane + self.panes_per_window);
        if overflow > 0 && is_due {
            self.overflow_warned_in = Some(self.open_pane);
            log::warn!(
                "{overflow} packets of a window were sent to unlisted destinations, because the list was \
                 full: raise --max-destinations"
            );
        }
        let mut reports = Vec::new();
        self.engine.add_pane(counts, &mut |report| reports.push(report));
        self.advance(&reports, 1)
    }

    fn silence(&mut self, start: Timestamp, panes: u64) -> ControlFlow<()> {
        let mut reports = Vec::new();
        self.engine.add_silent_panes(start, panes, &mut |report| reports.push(report));
        self.advance(&reports, panes)
    }

    fn clock_set(&mut self, by: i64) -> ControlFlow<()> {
        let mut reports = Vec::new();
        self.engine.clock_set(by, &mut |report| reports.push(report));
        self.advance(&reports, 0)
    }

    fn timestamps_are_constant(&mut self) {
        self.engine.disable_thresholds();
        log::warn!(
            "rates are unknown, because the frames of the capture have no timestamps, or all have the same one: \
             attacks, scans and vertical scans are not detected"
        );
    }

    fn packets_lost(&mut self, packets: u64) {
        self.summary.packets_lost += packets;
        log::warn!(
            "{packets} packets of a window are missing in artifacts, because a buffer between the kernel and gomon \
             was full: lower --save-packets"
        );
    }

    fn status(&mut self, open: &Ledger) {
        log::info!("open window: {}", ledger_text(open));
        let mut so_far = self.summary.ledger;
        so_far += open;
        log::info!("since the start: {}", ledger_text(&so_far));
    }

    fn progress(&mut self, frames: u64, bytes: u64) {
        self.progress.update(frames, bytes);
    }
}

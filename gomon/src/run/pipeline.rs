//! Turns panes into records, artifacts and a summary.

use std::ops::ControlFlow;

use anyhow::{Error, Result, anyhow};
use tokio::task::spawn_blocking;

use super::progress::BotProgress;
use super::sink_queue::{SinkMonitor, SinkQueue};
use super::sinks::{BotSinks, JudgedWindow};
use crate::core::{
    Calibration, Engine, Ledger, Senders, Sources, Span, Timestamp, WindowCounts, WindowReport,
};
use crate::frame::{Frame, PacketVisitor, RemoteHosts};
use crate::settings::{BotSettings, RunMode};
use crate::sink::artifacts::{Artifacts, SelectedPackets};
use crate::sink::calibration;
use crate::sink::console::Progress;
use crate::sink::eve::EndReason;
use crate::sink::summary::{Summary, ledger_text};
use crate::source::{PacketSink, PaneSink, wall_clock};

/// The reason of a warning for [`Sources::Any`], when the input has both directions.
const ANY_SOURCE: &str = "packets of every source count as the bot's, and hosts send to each other: the \
                          replies of hosts count as well.";

/// The start of a warning when no packet is from the bot.
const COUNTED_NOTHING: &str = "no packet counted so far";

/// Where the reports of a [`Pipeline`] go.
pub(crate) enum Outlet {
    /// They are written at once: the source waits.
    Direct(Box<BotSinks>),
    /// They are queued, or dropped: the source can't wait.
    Queued(Box<SinkQueue>),
}

impl Outlet {
    fn report(&mut self, report: WindowReport, packets: Option<SelectedPackets<&[u8]>>) {
        match self {
            Self::Direct(sinks) => sinks.report(&JudgedWindow { report, packets }),
            Self::Queued(queue) => {
                let packets = packets.map(SelectedPackets::into_owned);
                queue.report(JudgedWindow { report, packets });
            }
        }
    }

    /// Whether the reader of standard output closed it. A queue leaves it to the output to stop the run.
    fn is_closed(&mut self) -> bool {
        match self {
            Self::Direct(sinks) => sinks.eve.as_mut().is_some_and(|eve| eve.output().is_closed()),
            Self::Queued(_) => false,
        }
    }
}

/// Passes panes from the source to the engine, and its reports to the sinks.
pub(crate) struct Pipeline {
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
    outlet: Outlet,
    artifacts: Option<Artifacts>,
    calibration: Option<Calibration>,
    progress: Progress,
    summary: Summary,
    bot_progress: BotProgress,
}

impl Pipeline {
    /// Creates the pipeline of a bot into `outlet`, before the first pane. Artifacts are selected from `artifacts`.
    pub(crate) fn new(
        bot: &BotSettings,
        run_mode: RunMode,
        artifacts: Option<Artifacts>,
        progress: Progress,
        outlet: Outlet,
    ) -> Self {
        let calibration = (run_mode == RunMode::Calibrate).then(Calibration::default);
        let policy = match calibration {
            Some(_) => Calibration::policy(&bot.policy),
            None => bot.policy.clone(),
        };
        let panes_per_window = policy.panes() as u64;
        Self {
            panes_per_window,
            open_pane: 0,
            overflow_warned_in: None,
            sources: bot.sources.clone(),
            bot_mac: bot.bot_mac_text(),
            senders: Senders::default(),
            detects_sweeps: policy.sweep_hosts.is_some(),
            engine: Engine::new(policy),
            outlet,
            artifacts,
            calibration,
            progress,
            summary: Summary::new(panes_per_window),
            bot_progress: BotProgress::default(),
        }
    }

    /// Sets the attach mode and the interface, as text.
    pub(crate) fn set_attached(&mut self, attached: String) {
        self.summary.attached = Some(attached);
    }

    /// Returns the verdicts so far.
    pub(crate) fn verdicts(&self) -> &BotProgress {
        &self.bot_progress
    }

    /// Returns the ledger of the closed panes, the packets to unlisted endpoints, and the packets lost to artifacts.
    pub(crate) fn totals(&self) -> (Ledger, u64, u64) {
        let Summary { ledger, overflow_packets, packets_lost, .. } = self.summary;
        (ledger, overflow_packets, packets_lost)
    }

    /// Creates the pipeline of a bot on an interface, whose reports are queued.
    pub(crate) fn live(bot: &BotSettings, run_mode: RunMode, queue: SinkQueue) -> Self {
        let saves = bot.save_packets > 0 && run_mode != RunMode::Calibrate;
        let artifacts = saves.then(|| Artifacts::new(bot.save_packets));
        Self::new(bot, run_mode, artifacts, Progress::none(), Outlet::Queued(Box::new(queue)))
    }

    /// Returns a handle to the numbers of records and artifacts, if reports are queued.
    pub(crate) fn monitor(&self) -> Option<SinkMonitor> {
        match &self.outlet {
            Outlet::Direct(_) => None,
            Outlet::Queued(queue) => Some(queue.monitor()),
        }
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
    fn report_window(&mut self, report: WindowReport) {
        // A live window may be reported before its end. In the summary it ends at the current time, in records at
        // its nominal end.
        let end = self.summary.attached.as_ref().map(|_| wall_clock());
        match end.filter(|end| *end < report.span.end) {
            Some(end) => {
                let span = Span { end, ..report.span };
                self.summary.add_window(&WindowReport { span, ..report.clone() });
            }
            None => self.summary.add_window(&report),
        }
        self.bot_progress.add(&report);
        if let Some(calibration) = &mut self.calibration {
            calibration.observe(&report);
            calibration::log(&report, calibration);
        }
        let packets = self.artifacts.as_mut().map(|artifacts| artifacts.select(&report));
        self.outlet.report(report, packets);
    }

    /// Passes reports to the sinks and closes `panes` panes. Breaks if standard output was closed.
    fn advance(&mut self, reports: Vec<WindowReport>, panes: u64) -> ControlFlow<()> {
        for report in reports {
            self.report_window(report);
        }
        self.open_pane += panes;
        if let Some(artifacts) = &mut self.artifacts {
            artifacts.advance(panes);
            // The next window that is judged starts with this pane.
            artifacts.drop_before((self.open_pane + 1).saturating_sub(self.panes_per_window));
        }
        if self.outlet.is_closed() {
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

    /// Ends a run: judges the last windows, shows the summary and closes the sinks. Returns the failures of the sinks.
    /// Of reports that are queued, see [`Pipeline::end`].
    pub(super) fn finish(self, reason: EndReason) -> Vec<Error> {
        let EndedPipeline { outlet, summary, calibration } = self.end();
        match outlet {
            Outlet::Direct(sinks) => close(*sinks, summary, calibration.as_ref(), reason),
            Outlet::Queued(_) => Vec::new(),
        }
    }

    /// Judges the last windows, and returns what is left to be done.
    pub(crate) fn end(mut self) -> EndedPipeline {
        self.judge_rest();
        let Self { outlet, summary, calibration, .. } = self;
        EndedPipeline { outlet, summary, calibration }
    }

    /// Judges the last windows, and logs what the whole run shows.
    fn judge_rest(&mut self) {
        let mut reports = Vec::new();
        self.engine.finish(&mut |report| reports.push(report));
        let _ = self.advance(reports, 0);
        self.progress.finish();

        self.warn_about_sources(true);
        let is_closed = self.outlet.is_closed();
        if self.detects_sweeps && !is_closed {
            self.warn_about_direction();
        }
    }

    /// Warns that UDP sweeps can't be judged, because the capture has only one direction.
    fn warn_about_direction(&self) {
        // On an interface this was logged when attaching. With `Sources::Any`, no address is known to be the bot's, so
        // only unanswered contacts show that one direction is missing.
        let (summary, sweeps) = (&self.summary, self.engine.sweeps());
        let is_one_directional = match self.sources {
            Sources::Bot { .. } => sweeps.is_one_directional() && summary.ledger.counted > 0,
            Sources::Any => sweeps.has_unjudged_contacts(),
        };
        if is_one_directional && summary.attached.is_none() {
            log::warn!(
                "UDP sweeps can't be judged: the capture has no packets to the bot, so it has no replies"
            );
        }
    }
}

/// A pipeline whose windows are judged. Its last reports may be queued.
pub(crate) struct EndedPipeline {
    outlet: Outlet,
    summary: Summary,
    calibration: Option<Calibration>,
}

impl EndedPipeline {
    /// Waits for the queued reports, shows the summary and closes the sinks. Returns the failures of the sinks. Of a bot
    /// that `is_alone` in the process the whole summary is shown, of another one a line.
    pub(crate) async fn finish(self, reason: EndReason, is_alone: bool) -> Vec<Error> {
        let Self { outlet, mut summary, calibration } = self;
        let sinks = match outlet {
            Outlet::Direct(sinks) => Some(*sinks),
            Outlet::Queued(queue) => queue.end().await,
        };
        let Some(sinks) = sinks else {
            return vec![anyhow!("the task that writes records failed")];
        };
        if !is_alone {
            summary.captures = sinks.saved;
            summary.log();
        }
        // This waits for the reader of the records.
        let closing = spawn_blocking(move || {
            if is_alone {
                return close(sinks, summary, calibration.as_ref(), reason);
            }
            sinks.close(reason, summary.attached.as_deref())
        });
        closing.await.unwrap_or_default()
    }
}

/// Shows the summary, or the result of a calibration, and closes the sinks. Returns their failures.
fn close(
    sinks: BotSinks,
    mut summary: Summary,
    calibration: Option<&Calibration>,
    reason: EndReason,
) -> Vec<Error> {
    summary.captures = sinks.saved;
    match (calibration, &sinks.eve) {
        (Some(calibration), _) => summary.show_calibration(calibration),
        (None, Some(eve)) => summary.show(eve.name()),
        (None, None) => {}
    }
    sinks.close(reason, summary.attached.as_deref())
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
        self.advance(reports, 1)
    }

    fn silence(&mut self, start: Timestamp, panes: u64) -> ControlFlow<()> {
        let mut reports = Vec::new();
        self.engine.add_silent_panes(start, panes, &mut |report| reports.push(report));
        self.advance(reports, panes)
    }

    fn clock_set(&mut self, by: i64) -> ControlFlow<()> {
        let mut reports = Vec::new();
        self.engine.clock_set(by, &mut |report| reports.push(report));
        self.advance(reports, 0)
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

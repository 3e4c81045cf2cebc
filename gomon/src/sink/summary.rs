//! The summary of a run, shown at its end.

use super::console::line;
use super::observed::Observed;
use super::subjects::Subjects;
use super::{calibration, one_line};
use crate::core::{Calibration, Ledger, Verdict, WindowCounts, WindowReport};

/// The totals of a run.
#[derive(Debug)]
pub struct Summary {
    attacks: u64,
    /// Horizontal scans.
    scans: u64,
    vertical_scans: u64,
    sweeps: u64,
    /// Idle windows, reported or not.
    idle: u64,
    subjects: Subjects,
    observed: Observed,
    /// Artifacts written.
    pub captures: u64,
    /// The frames by outcome.
    pub ledger: Ledger,
    /// Packets to unlisted endpoints.
    pub overflow_packets: u64,
    /// Packets that are missing in artifacts, because they were lost between the kernel and user space.
    pub packets_lost: u64,
    /// The attach mode and the interface, if there is one.
    pub attached: Option<String>,
}

impl Summary {
    /// Creates an empty summary for windows of `panes` panes.
    #[must_use]
    pub fn new(panes: u64) -> Self {
        Self {
            attacks: 0,
            scans: 0,
            vertical_scans: 0,
            sweeps: 0,
            idle: 0,
            subjects: Subjects::new(panes),
            observed: Observed::default(),
            captures: 0,
            ledger: Ledger::default(),
            overflow_packets: 0,
            packets_lost: 0,
            attached: None,
        }
    }

    /// Adds the counts of a pane.
    pub fn add_pane(&mut self, counts: &WindowCounts) {
        self.ledger += &counts.ledger;
        self.overflow_packets += counts.overflow.endpoints.packets;
        self.observed.add_pane(counts);
    }

    /// Adds the report of a window.
    pub fn add_window(&mut self, report: &WindowReport) {
        self.idle += if report.is_idle() { report.windows } else { 0 };
        for verdict in &report.verdicts {
            match verdict {
                Verdict::Attack { .. } => self.attacks += 1,
                Verdict::VerticalScan { .. } => self.vertical_scans += 1,
                Verdict::Scan { .. } => self.scans += 1,
                Verdict::Sweep { .. } => self.sweeps += 1,
                Verdict::Connection { .. } | Verdict::Idle => {}
            }
        }
        self.observed.add_window(report);
        self.subjects.add(report);
    }

    /// Writes the summary to the terminal. `eve` names the output of records.
    pub fn show(&self, eve: &str) {
        line(format_args!("Analysis complete. Eve log: {}", one_line(eve)));
        line(format_args!("Summary: {}", self.totals_text()));
        for subject in self.subjects.lines(self.observed.spans_several_days()) {
            line(format_args!("  {subject}"));
        }
        self.show_traffic();
    }

    /// Logs the summary of one of several bots as one line.
    pub fn log(&self) {
        log::info!(
            "{} ended: {}; {}",
            self.attached.as_deref().unwrap_or_default(),
            self.totals_text(),
            ledger_text(&self.ledger)
        );
    }

    /// Formats the numbers of alerts, idle windows and artifacts.
    fn totals_text(&self) -> String {
        let Self { attacks, scans, vertical_scans, sweeps, idle, captures, .. } = self;
        format!(
            "{attacks} attack alert(s), {scans} scan alert(s), {vertical_scans} vertical scan alert(s), \
             {sweeps} sweep alert(s), {idle} idle window(s), {captures} capture(s) saved"
        )
    }

    /// Writes the summary with the result of a calibration instead of alerts.
    pub fn show_calibration(&self, calibration: &Calibration) {
        line("Calibration complete. Alerts suppressed; see the log for per-window figures.");
        line(format_args!("Calibration summary: {} window(s) analyzed", calibration.windows));
        calibration::lines(calibration).iter().for_each(line);
        self.show_traffic();
    }

    /// Writes the observed traffic, and the frames by outcome.
    fn show_traffic(&self) {
        self.observed.lines().iter().for_each(line);
        line(format_args!(
            "Ledger: {}, {} packets in overflow",
            ledger_text(&self.ledger),
            self.overflow_packets
        ));
        if let Some(attached) = &self.attached {
            let packets = match self.packets_lost {
                0 => String::new(),
                packets => format!(", {packets} packets lost to artifacts"),
            };
            line(format_args!(
                "Attached: {}, {} lost{packets}",
                one_line(attached),
                self.ledger.lost
            ));
        }
    }
}

/// Formats a ledger in one line.
#[must_use]
pub fn ledger_text(ledger: &Ledger) -> String {
    let Ledger { counted, not_from_bot, ignored, not_ip, late, implausible, .. } = ledger;
    let reasons: Vec<_> = ledger
        .malformed_by_reason()
        .map(|(reason, frames)| format!("{frames} {}", reason.name()))
        .collect();
    let reasons =
        if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    format!(
        "{} frames seen = {counted} counted + {not_from_bot} not from the bot + {ignored} ignored + \
         {not_ip} not IP + {} malformed{reasons}; {late} late, {implausible} with an implausible timestamp",
        ledger.seen(),
        ledger.malformed_total(),
    )
}

//! Records of `event_type: stats`: of a window, and of the whole run.

use super::context::{RecordContext, WindowContext};
use super::destination::RecordDestination;
use super::queue::Delivery;
use super::record::{
    Closing, Decoder, Detect, Gomon, LedgerRecord, PortContacts, Record, Stats, StatsCapture,
    StatsFlow, whole_seconds,
};
use crate::core::{Counts, Ledger, ServiceContacts, Span, Timestamp, WindowReport};
use crate::sink::proto;

/// The maximum number of ports whose contacts a record lists.
const MAX_LISTED_PORTS: usize = 256;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The capture was read to its end.
    EndOfInput,
    /// The interface was removed.
    InterfaceGone,
    /// A signal, the exit of the parent process, or the reader of standard output requested the stop.
    Stopped,
    /// The capture is damaged, or something failed.
    Failed,
}

impl EndReason {
    fn name(self) -> &'static str {
        match self {
            Self::EndOfInput => "end_of_input",
            Self::InterfaceGone => "interface_gone",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// Totals of all windows so far.
#[derive(Default)]
pub(super) struct RunTotals {
    /// The start of the first window, and the end of the latest.
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
    pub(super) alerts: u64,
    windows: u64,
    ledger: Ledger,
    counts: Counts,
}

impl RunTotals {
    pub(super) fn add(&mut self, report: &WindowReport) {
        self.add_missed(&MissedWindows::of(report));
    }

    /// Adds windows of which no records are written.
    pub(super) fn add_missed(&mut self, missed: &MissedWindows) {
        self.start.get_or_insert(missed.span.start);
        self.end = Some(missed.span.end);
        self.windows += missed.windows;
        self.ledger = missed.ledger;
        self.counts = missed.counts;
    }

    /// Returns Suricata's counters up to `end`.
    fn counters(&self, end: Timestamp, ledger: &Ledger, endpoints: u64) -> Stats {
        Stats {
            uptime: self.start.map_or(0, |start| whole_seconds(end.since(start))),
            capture: StatsCapture {
                kernel_packets: ledger.seen() + ledger.lost,
                kernel_drops: ledger.lost,
            },
            decoder: Decoder { pkts: ledger.seen(), invalid: ledger.malformed_total() },
            flow: StatsFlow { active: endpoints },
            detect: Detect { alert: self.alerts },
        }
    }
}

/// Consecutive windows whose reports were dropped, because the sinks did not keep up. They are part of the totals.
#[derive(Clone, Copy, Debug)]
pub struct MissedWindows {
    span: Span,
    windows: u64,
    /// Totals up to the end of the last window.
    ledger: Ledger,
    counts: Counts,
}

impl MissedWindows {
    /// Returns the windows of one report.
    #[must_use]
    pub fn of(report: &WindowReport) -> Self {
        Self {
            span: report.span,
            windows: report.windows,
            ledger: report.cumulative_ledger,
            counts: report.cumulative_total,
        }
    }

    /// Adds the windows of the next report.
    pub fn add(&mut self, report: &WindowReport) {
        let Self { span, windows, .. } = *self;
        let span = Span { start: span.start, end: report.span.end };
        *self = Self { span, windows: windows + report.windows, ..Self::of(report) };
    }
}

/// The end of a run.
#[derive(Clone, Copy)]
pub(super) struct RunEnd<'a> {
    pub(super) reason: EndReason,
    /// The attach mode and the interface, if there is one.
    pub(super) attach: Option<&'a str>,
    pub(super) end: Timestamp,
    /// `end` in Suricata's format.
    pub(super) time: &'a str,
    pub(super) delivery: Delivery,
}

/// Returns the last record of a run.
pub(super) fn final_record<'a>(
    context: &'a RecordContext,
    totals: &RunTotals,
    run_end: RunEnd<'a>,
) -> Record<'a> {
    let RunEnd { reason, attach, end, time, delivery } = run_end;
    let seconds = totals.start.map_or(0.0, |start| Span { start, end }.seconds());
    let Counts { packets, bytes } = totals.counts;
    let gomon = Gomon {
        scope: "global",
        is_final: Some(true),
        windows: Some(totals.windows),
        packet_rate: if seconds > 0.0 { as_rate(packets, seconds) } else { 0.0 },
        ledger: Some(LedgerRecord::from(&totals.ledger)),
        closing: Some(Closing {
            ended: reason.name(),
            attach,
            eve_written: delivery.written,
            eve_dropped: delivery.lost,
        }),
        ..context.gomon("final", packets, bytes)
    };
    Record {
        stats: Some(totals.counters(end, &totals.ledger, 0)),
        metadata: context.metadata(gomon),
        ..context.common("stats", time, &RecordDestination::shared(&[], 0))
    }
}

/// Returns the record of a window as a whole, `idle` or `busy`.
pub(super) fn window_stats<'a>(
    context: &'a RecordContext,
    totals: &RunTotals,
    lists_contacts: bool,
    classification: &'static str,
    window: &'a WindowContext<'_>,
) -> Record<'a> {
    let report = window.report;
    let listed = lists_contacts.then(|| by_port(&report.contacts));
    let gomon = Gomon {
        windows: Some(report.windows),
        ledger: Some(LedgerRecord::from(&report.ledger)),
        contacts_by_port_omitted: listed
            .as_ref()
            .map(|listed| (report.contacts.len() - listed.len()) as u64),
        contacts_by_port: listed,
        ..context.gomon_of_window(classification, report)
    };
    let sole = report.busiest.filter(|_| report.hosts.count == 1).map(|busiest| busiest.host);
    let destination = RecordDestination::shared(sole.as_slice(), report.hosts.count);
    Record {
        stats: Some(totals.counters(report.span.end, &report.cumulative_ledger, report.endpoints)),
        metadata: context.metadata(gomon),
        ..context.common("stats", &window.start, &destination)
    }
}

#[expect(clippy::cast_precision_loss, reason = "packets of one run")]
fn as_rate(packets: u64, seconds: f64) -> f64 {
    packets as f64 / seconds
}

impl From<&Ledger> for LedgerRecord {
    fn from(ledger: &Ledger) -> Self {
        Self {
            frames: ledger.seen(),
            counted: ledger.counted,
            not_from_bot: ledger.not_from_bot,
            ignored: ledger.ignored,
            not_ip: ledger.not_ip,
            malformed: ledger.malformed_total(),
            lost: ledger.lost,
            late: ledger.late,
            implausible: ledger.implausible,
        }
    }
}

/// Returns the ports with the most contacts, at most [`MAX_LISTED_PORTS`], sorted by protocol and port.
fn by_port(contacts: &[ServiceContacts]) -> Vec<PortContacts> {
    let mut most: Vec<_> = contacts.iter().collect();
    // The sort is stable: equal ones keep their order by protocol and port.
    most.sort_by_key(|contacts| std::cmp::Reverse(contacts.hosts()));
    most.truncate(MAX_LISTED_PORTS);
    most.sort_by_key(|contacts| (contacts.protocol, contacts.port));
    let listed = most.into_iter().map(|contacts| PortContacts {
        proto: proto::name(contacts.protocol),
        dest_port: contacts.port,
        contacts: contacts.hosts(),
        answered: contacts.answered,
        unanswered: contacts.unanswered,
    });
    listed.collect()
}

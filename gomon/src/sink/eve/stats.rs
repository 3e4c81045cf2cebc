//! Records of `event_type: stats`: what a window came to as a whole, and a run.

use super::destination::Destination;
use super::record::{
    Capture, Closing, Decoder, Detect, Gomon, LedgerRecord, PortContacts, Record, Stats, StatsFlow,
};
use super::{Eve, Window, add_line, identify, timestamp, whole_seconds};
use crate::core::{Counts, Ledger, ServiceContacts, Span, Timestamp, WindowReport};
use crate::sink::proto;

/// The most ports whose contacts a record lists.
const PORTS_LISTED: usize = 256;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The capture was read to its end.
    EndOfInput,
    /// The interface went away.
    InterfaceGone,
    /// A signal, or the end of the parent process, asked for it.
    Stopped,
    /// The capture is damaged, or something failed.
    Failed,
}

impl Ended {
    fn name(self) -> &'static str {
        match self {
            Self::EndOfInput => "end_of_input",
            Self::InterfaceGone => "interface_gone",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// What all windows so far came to.
#[derive(Default)]
pub(super) struct Totals {
    end: Option<Timestamp>,
    windows: u64,
    ledger: Ledger,
    counts: Counts,
}

impl Totals {
    pub(super) fn add(&mut self, report: &WindowReport) {
        self.end = Some(report.span.end);
        self.windows += report.windows;
        self.ledger = report.cumulative_ledger;
        self.counts = report.cumulative_total;
    }
}

impl Eve {
    /// Writes the last record of the run. `live` is how an interface was attached to, and the time: a
    /// replay ends with its last window, so that its record is the same every time.
    pub fn close(&mut self, ended: Ended, live: Option<(&str, Timestamp)>) {
        let attach = live.map(|(attach, _)| attach);
        let end = live.map(|(_, now)| now).or(self.totals.end).unwrap_or_default();
        let time = timestamp(end);
        let seconds = self.start.map_or(0.0, |start| Span { start, end }.seconds());
        let delivery = self.output.delivery();
        let Counts { packets, bytes } = self.totals.counts;
        let gomon = Gomon {
            scope: "global",
            is_final: Some(true),
            windows: Some(self.totals.windows),
            packet_rate: if seconds > 0.0 { as_rate(packets, seconds) } else { 0.0 },
            ledger: Some(LedgerRecord::from(&self.totals.ledger)),
            closing: Some(Closing {
                ended: ended.name(),
                attach,
                eve_written: delivery.written,
                eve_dropped: delivery.lost,
            }),
            ..self.settings("final", packets, bytes)
        };
        let mut record = Record {
            stats: Some(self.counters(end, &self.totals.ledger, 0)),
            metadata: self.beside(gomon),
            ..self.common("stats", &time, &Destination::shared(&[], 0))
        };
        identify(&mut record, self.window_seed(Span { start: self.start.unwrap_or(end), end }));
        let mut text = Vec::new();
        add_line(&mut text, &record);
        self.output.lines(&text);
    }

    /// Suricata's counters up to `end`.
    fn counters(&self, end: Timestamp, ledger: &Ledger, endpoints: u64) -> Stats {
        Stats {
            uptime: self.start.map_or(0, |start| whole_seconds(end.since(start))),
            capture: Capture {
                kernel_packets: ledger.seen() + ledger.lost,
                kernel_drops: ledger.lost,
            },
            decoder: Decoder { pkts: ledger.seen(), invalid: ledger.malformed_total() },
            flow: StatsFlow { active: endpoints },
            detect: Detect { alert: self.alerts },
        }
    }

    /// The record of a window as a whole, `idle` or `busy`.
    pub(super) fn window_stats<'a>(
        &'a self,
        classification: &'static str,
        window: &'a Window<'_>,
    ) -> Record<'a> {
        let report = window.report;
        let listed = self.stats.then(|| by_port(&report.contacts));
        let gomon = Gomon {
            windows: Some(report.windows),
            ledger: Some(LedgerRecord::from(&report.ledger)),
            contacts_by_port_omitted: listed
                .as_ref()
                .map(|listed| (report.contacts.len() - listed.len()) as u64),
            contacts_by_port: listed,
            ..self.global(classification, report)
        };
        let sole = report.busiest.filter(|_| report.hosts.count == 1).map(|busiest| busiest.host);
        Record {
            stats: Some(self.counters(
                report.span.end,
                &report.cumulative_ledger,
                report.endpoints,
            )),
            metadata: self.beside(gomon),
            ..self.common(
                "stats",
                &window.start,
                &Destination::shared(sole.as_slice(), report.hosts.count),
            )
        }
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

/// The ports with most contacts, [`PORTS_LISTED`] at most, by protocol and port.
fn by_port(contacts: &[ServiceContacts]) -> Vec<PortContacts> {
    let mut most: Vec<_> = contacts.iter().collect();
    // The order of protocols and ports is kept among equals.
    most.sort_by_key(|contacts| std::cmp::Reverse(contacts.hosts()));
    most.truncate(PORTS_LISTED);
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

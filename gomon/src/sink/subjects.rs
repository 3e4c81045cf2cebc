//! The subjects of a run's alerts, with one line of the summary each.
//!
//! Memory is bounded: [`KEPT`] subjects of each kind are kept. The lowest-ranked ones are evicted first, and their
//! number is reported.

use gomon_common::{Address, Endpoint};
use indicatif::HumanCount;

use super::largest::{Largest, Weigh};
use super::proto;
use super::words::{count, endpoint_name, rate, times};
use crate::core::{AttackTarget, Counts, Service, Span, Sweep, SweepTest, Verdict, WindowReport};

/// The maximum number of subjects of one kind that are kept, about 150 bytes each.
const KEPT: usize = 1024;
/// The number of subjects that are shown.
const SHOWN: usize = 10;

/// The kinds of alerts, in the order in which they are shown.
#[derive(Clone, Copy)]
enum AlertKind {
    Attack,
    VerticalScan,
    Scan,
    Sweep,
}

const KINDS: [(AlertKind, &str); 4] = [
    (AlertKind::Attack, "attack"),
    (AlertKind::VerticalScan, "vertical scan"),
    (AlertKind::Scan, "scan"),
    (AlertKind::Sweep, "sweep"),
];

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Subject {
    Endpoint(Endpoint),
    Host(Address),
    /// Consecutive scan windows, identified by the first pane of the first one.
    Windows(u64),
    Service(Service),
}

/// The totals of all alerts about one subject.
#[derive(Debug, Default)]
struct AlertTotals {
    /// From the start of the first window to the end of the last one.
    span: Option<Span>,
    windows: u64,
    /// Packets in windows that do not overlap.
    packets: u64,
    /// The first pane after the latest of these windows.
    next_pane: u64,
    /// The highest rate of a window, in packets per second.
    peak: f64,
    /// The most ports or hosts of a window.
    most: u64,
    /// Whether the number of hosts was estimated in any window.
    is_estimated: bool,
    /// For a sweep, the latest state of its test.
    test: SweepTest,
    /// The figure by which subjects of one kind are ranked.
    weight: u64,
}

impl Weigh for AlertTotals {
    fn weight(&self) -> u64 {
        self.weight
    }
}

impl AlertTotals {
    /// Adds a window.
    fn add_window(&mut self, report: &WindowReport) {
        let span = self.span.get_or_insert(report.span);
        span.start = span.start.min(report.span.start);
        span.end = span.end.max(report.span.end);
        self.windows += 1;
    }

    /// Adds the traffic to the subject in a window of `panes` panes.
    fn add_packets(&mut self, counts: Counts, report: &WindowReport, panes: u64) {
        self.peak = self.peak.max(report.rate(counts.packets));
        if report.first_pane >= self.next_pane {
            self.packets += counts.packets;
            self.next_pane = report.first_pane + panes;
        }
    }
}

/// The subjects of a run's alerts, by kind.
#[derive(Debug)]
pub(super) struct Subjects {
    panes_per_window: u64,
    /// Indexed by [`AlertKind`].
    by_kind: [Largest<Subject, AlertTotals>; KINDS.len()],
    /// The numbers of the first panes of the first and of the last window of the latest scan.
    scan: Option<(u64, u64)>,
}

impl Subjects {
    /// Creates an empty set of subjects for windows of `panes_per_window` panes.
    pub(super) fn new(panes_per_window: u64) -> Self {
        let by_kind = KINDS.map(|(kind, _)| match kind {
            AlertKind::Attack => Largest::of_sums(KEPT),
            AlertKind::VerticalScan | AlertKind::Scan | AlertKind::Sweep => {
                Largest::of_maxima(KEPT)
            }
        });
        Self { panes_per_window, by_kind, scan: None }
    }

    /// Adds the alerts of a window.
    pub(super) fn add(&mut self, report: &WindowReport) {
        let panes = self.panes_per_window;
        for verdict in &report.verdicts {
            match verdict {
                Verdict::Attack { target, counts } => {
                    let (subject, ports) = match target {
                        AttackTarget::Endpoint(endpoint) => (Subject::Endpoint(*endpoint), 0),
                        AttackTarget::Host { host, ports, .. } => (Subject::Host(*host), *ports),
                    };
                    let totals = self.entry(AlertKind::Attack, subject, report);
                    totals.add_packets(*counts, report, panes);
                    totals.most = totals.most.max(ports);
                    totals.weight = totals.packets;
                }
                Verdict::VerticalScan { host, ports, counts, .. } => {
                    let totals = self.entry(AlertKind::VerticalScan, Subject::Host(*host), report);
                    totals.add_packets(*counts, report, panes);
                    totals.most = totals.most.max(*ports);
                    totals.weight = totals.most;
                }
                Verdict::Scan { .. } => {
                    let is_next = |(_, last): &(u64, u64)| report.first_pane == last + 1;
                    let (first, _) = self.scan.filter(is_next).unwrap_or((report.first_pane, 0));
                    self.scan = Some((first, report.first_pane));
                    let totals = self.entry(AlertKind::Scan, Subject::Windows(first), report);
                    totals.most = totals.most.max(report.scanned_hosts.count);
                    totals.is_estimated |= !report.scanned_hosts.exact;
                    totals.weight = totals.most;
                }
                Verdict::Sweep { sweep: Sweep { protocol, port, test, .. }, .. } => {
                    let subject = Subject::Service((*protocol, *port));
                    let totals = self.entry(AlertKind::Sweep, subject, report);
                    totals.test = *test;
                    totals.weight = test.unanswered;
                }
                Verdict::Connection { .. } | Verdict::Idle => {}
            }
        }
    }

    fn entry(
        &mut self,
        kind: AlertKind,
        subject: Subject,
        report: &WindowReport,
    ) -> &mut AlertTotals {
        let totals = self.by_kind[kind as usize].entry(subject);
        totals.add_window(report);
        totals
    }

    /// Returns a line for each of the [`SHOWN`] highest-ranked subjects, and one with the number of the others. The
    /// highest-ranked subject of each kind is chosen first, then the second of each, and so on. Attacks are ranked
    /// by packets, vertical scans by ports, scans by hosts, and sweeps by hosts that did not answer. With `dated`,
    /// times include the date.
    pub(super) fn lines(&self, dated: bool) -> Vec<String> {
        let heaviest = self.by_kind.each_ref().map(|subjects| subjects.heaviest(SHOWN));
        let mut shown: Vec<_> = (0..KINDS.len())
            .flat_map(|kind| (0..heaviest[kind].len()).map(move |rank| (rank, kind)))
            .collect();
        shown.sort_unstable();
        shown.truncate(SHOWN);
        shown.sort_unstable_by_key(|(rank, kind)| (*kind, *rank));
        let mut lines: Vec<_> = shown
            .iter()
            .map(|&(rank, kind)| {
                let (subject, totals) = heaviest[kind][rank];
                self.line(KINDS[kind].0, subject, totals, dated)
            })
            .collect();
        let more = |kind: usize| {
            let shown_of_kind = shown.iter().filter(|(_, of)| *of == kind).count();
            let more = self.by_kind[kind].len() - shown_of_kind;
            (more > 0).then(|| count(more as u64, KINDS[kind].1))
        };
        let more: Vec<_> = (0..KINDS.len()).filter_map(more).collect();
        if !more.is_empty() {
            lines.push(format!("and more: {}", more.join(", ")));
        }
        lines.extend(self.evicted());
        lines
    }

    /// Returns a line with the number of evicted subjects. A subject that was evicted twice counts twice.
    fn evicted(&self) -> Option<String> {
        let evicted = self.by_kind.iter().zip(KINDS).filter_map(|(subjects, (_, name))| {
            let entries = subjects.evicted().entries;
            (entries > 0).then(|| count(entries, name))
        });
        let evicted: Vec<_> = evicted.collect();
        (!evicted.is_empty()).then(|| {
            format!(
                "and smaller ones, beyond the {} of each kind that are kept: up to {}",
                HumanCount(KEPT as u64),
                evicted.join(", ")
            )
        })
    }

    fn line(
        &self,
        kind: AlertKind,
        subject: &Subject,
        totals: &AlertTotals,
        dated: bool,
    ) -> String {
        let AlertTotals { packets, most, test, .. } = totals;
        let name = match subject {
            Subject::Endpoint(endpoint) => endpoint_name(endpoint),
            Subject::Host(host) => host.to_string(),
            Subject::Windows(_) => String::new(),
            Subject::Service((protocol, port)) => format!("{}/{port}", proto::name(*protocol)),
        };
        // If windows overlap, only the packets of some that do not overlap are summed.
        let least = if self.panes_per_window > 1 { "at least " } else { "" };
        let packets = format!("{least}{}", count(*packets, "packet"));
        let windows = count(totals.windows, "window");
        let times = totals.span.map(|span| times(span, dated)).unwrap_or_default();
        match kind {
            AlertKind::Attack => {
                let ports = match most {
                    0 => String::new(),
                    ports => format!(", over {}", count(*ports, "port")),
                };
                let peak = rate(totals.peak);
                format!(
                    "attack {name}{ports}: {packets}, peak {peak} packets/s, {windows}, {times}"
                )
            }
            AlertKind::VerticalScan => {
                let ports = count(*most, "port");
                format!("vertical scan {name}: {ports}, {packets}, {windows}, {times}")
            }
            AlertKind::Scan => {
                let about = if totals.is_estimated { "about " } else { "" };
                let each = if totals.windows > 1 { " at most in a window" } else { "" };
                let hosts = count(*most, "host");
                format!("scan: {about}{hosts}{each}, {windows}, {times}")
            }
            AlertKind::Sweep => {
                let hosts = count(test.contacts(), "host");
                let answered = HumanCount(test.answered);
                format!("sweep {name}: {hosts}, {answered} answered, {times}")
            }
        }
    }
}

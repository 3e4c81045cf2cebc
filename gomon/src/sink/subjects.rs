//! What the alerts of a run were about, a line a subject.
//!
//! Memory is bounded: of each kind [`KEPT`] subjects are kept, those with the smallest figures go first,
//! and how many went is reported.

use gomon_common::{Address, Endpoint};
use indicatif::HumanCount;

use super::largest::{Largest, Weigh};
use super::proto;
use super::words::{count, endpoint_name, rate, times};
use crate::core::{Counts, Service, Span, Sweep, Target, Verdict, Walk, WindowReport};

/// Subjects of one kind that are kept, about 150 bytes each.
const KEPT: usize = 1024;
/// Subjects that are shown.
const SHOWN: usize = 10;

/// The kinds of subjects, in the order in which they are shown.
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

/// What alerts are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Subject {
    Endpoint(Endpoint),
    Host(Address),
    /// Scan windows in a row, by the number of the first one's first pane.
    Windows(u64),
    Service(Service),
}

/// What all alerts about one subject said together.
#[derive(Debug, Default)]
struct Reported {
    /// From the first window's start to the last one's end.
    span: Option<Span>,
    windows: u64,
    /// Packets in windows that don't overlap, and the first pane after these.
    packets: u64,
    next_pane: u64,
    /// The highest rate of a window, in packets a second.
    peak: f64,
    /// The most ports or hosts of a window, and whether one was estimated.
    most: u64,
    estimated: bool,
    /// Of a sweep, the test as it was reported last.
    walk: Walk,
    weight: u64,
}

impl Weigh for Reported {
    fn weight(&self) -> u64 {
        self.weight
    }
}

impl Reported {
    /// Enters a window.
    fn window(&mut self, report: &WindowReport) {
        let span = self.span.get_or_insert(report.span);
        span.start = span.start.min(report.span.start);
        span.end = span.end.max(report.span.end);
        self.windows += 1;
    }

    /// Enters what was sent to the subject in a window of so many panes.
    fn packets(&mut self, counts: Counts, report: &WindowReport, panes: u64) {
        self.peak = self.peak.max(report.rate(counts.packets));
        if report.first_pane >= self.next_pane {
            self.packets += counts.packets;
            self.next_pane = report.first_pane + panes;
        }
    }
}

/// The subjects of a run's alerts.
#[derive(Debug)]
pub(super) struct Subjects {
    /// Panes in a window.
    panes: u64,
    /// By [`AlertKind`].
    reported: [Largest<Subject, Reported>; KINDS.len()],
    /// The first panes of the first and of the last window of the latest scan.
    scan: Option<(u64, u64)>,
}

impl Subjects {
    /// None so far, in windows of so many panes.
    pub(super) fn new(panes: u64) -> Self {
        let reported = KINDS.map(|(kind, _)| match kind {
            AlertKind::Attack => Largest::of_sums(KEPT),
            AlertKind::VerticalScan | AlertKind::Scan | AlertKind::Sweep => {
                Largest::of_maxima(KEPT)
            }
        });
        Self { panes, reported, scan: None }
    }

    /// Enters the alerts of a window.
    pub(super) fn enter(&mut self, report: &WindowReport) {
        let panes = self.panes;
        for verdict in &report.verdicts {
            match verdict {
                Verdict::Attack { target, counts } => {
                    let (subject, ports) = match target {
                        Target::Endpoint(endpoint) => (Subject::Endpoint(*endpoint), 0),
                        Target::Host { host, ports, .. } => (Subject::Host(*host), *ports),
                    };
                    let reported = self.entry(AlertKind::Attack, subject, report);
                    reported.packets(*counts, report, panes);
                    reported.most = reported.most.max(ports);
                    reported.weight = reported.packets;
                }
                Verdict::VerticalScan { host, ports, counts, .. } => {
                    let reported =
                        self.entry(AlertKind::VerticalScan, Subject::Host(*host), report);
                    reported.packets(*counts, report, panes);
                    reported.most = reported.most.max(*ports);
                    reported.weight = reported.most;
                }
                Verdict::Scan { .. } => {
                    let follows = |(_, last): &(u64, u64)| report.first_pane == last + 1;
                    let (first, _) = self.scan.filter(follows).unwrap_or((report.first_pane, 0));
                    self.scan = Some((first, report.first_pane));
                    let reported = self.entry(AlertKind::Scan, Subject::Windows(first), report);
                    reported.most = reported.most.max(report.scanned_hosts.count);
                    reported.estimated |= !report.scanned_hosts.exact;
                    reported.weight = reported.most;
                }
                Verdict::Sweep { sweep: Sweep { protocol, port, walk, .. }, .. } => {
                    let subject = Subject::Service((*protocol, *port));
                    let reported = self.entry(AlertKind::Sweep, subject, report);
                    reported.walk = *walk;
                    reported.weight = walk.unanswered;
                }
                Verdict::Connection { .. } | Verdict::Idle => {}
            }
        }
    }

    fn entry(&mut self, kind: AlertKind, subject: Subject, report: &WindowReport) -> &mut Reported {
        let reported = self.reported[kind as usize].entry(subject);
        reported.window(report);
        reported
    }

    /// A line for each of the subjects that matter most, and one for the others. The largest of each
    /// kind is shown, the second largest of each, and so on up to [`SHOWN`]: attacks by packets, vertical
    /// scans by ports, scans by hosts, sweeps by hosts that did not answer. With `dated`, points in time
    /// come with their date.
    pub(super) fn lines(&self, dated: bool) -> Vec<String> {
        let heaviest = self.reported.each_ref().map(|reported| reported.heaviest(SHOWN));
        let mut places: Vec<_> = (0..KINDS.len())
            .flat_map(|kind| (0..heaviest[kind].len()).map(move |rank| (rank, kind)))
            .collect();
        places.sort_unstable();
        places.truncate(SHOWN);
        places.sort_unstable_by_key(|(rank, kind)| (*kind, *rank));
        let mut lines: Vec<_> = places
            .iter()
            .map(|&(rank, kind)| {
                let (subject, reported) = heaviest[kind][rank];
                self.line(KINDS[kind].0, subject, reported, dated)
            })
            .collect();
        let more = |kind: usize| {
            let shown = places.iter().filter(|(_, of)| *of == kind).count();
            let more = self.reported[kind].len() - shown;
            (more > 0).then(|| count(more as u64, KINDS[kind].1))
        };
        let more: Vec<_> = (0..KINDS.len()).filter_map(more).collect();
        if !more.is_empty() {
            lines.push(format!("and more: {}", more.join(", ")));
        }
        lines.extend(self.dropped());
        lines
    }

    /// What there is no room for. A subject that comes again, and goes again, is two here.
    fn dropped(&self) -> Option<String> {
        let dropped = self.reported.iter().zip(KINDS).filter_map(|(reported, (_, name))| {
            let entries = reported.dropped().entries;
            (entries > 0).then(|| count(entries, name))
        });
        let dropped: Vec<_> = dropped.collect();
        (!dropped.is_empty()).then(|| {
            format!(
                "and smaller ones, past the {} of a kind that are kept: up to {}",
                HumanCount(KEPT as u64),
                dropped.join(", ")
            )
        })
    }

    fn line(&self, kind: AlertKind, subject: &Subject, reported: &Reported, dated: bool) -> String {
        let Reported { packets, most, walk, .. } = reported;
        let name = match subject {
            Subject::Endpoint(endpoint) => endpoint_name(endpoint),
            Subject::Host(host) => host.to_string(),
            Subject::Windows(_) => String::new(),
            Subject::Service((protocol, port)) => format!("{}/{port}", proto::name(*protocol)),
        };
        // Of windows that overlap, only the packets of some that don't can be added up.
        let least = if self.panes > 1 { "at least " } else { "" };
        let packets = format!("{least}{}", count(*packets, "packet"));
        let windows = count(reported.windows, "window");
        let times = reported.span.map(|span| times(span, dated)).unwrap_or_default();
        match kind {
            AlertKind::Attack => {
                let ports = match most {
                    0 => String::new(),
                    ports => format!(", over {}", count(*ports, "port")),
                };
                let peak = rate(reported.peak);
                format!(
                    "attack {name}{ports}: {packets}, peak {peak} packets/s, {windows}, {times}"
                )
            }
            AlertKind::VerticalScan => {
                let ports = count(*most, "port");
                format!("vertical scan {name}: {ports}, {packets}, {windows}, {times}")
            }
            AlertKind::Scan => {
                let about = if reported.estimated { "about " } else { "" };
                let each = if reported.windows > 1 { " at most in a window" } else { "" };
                let hosts = count(*most, "host");
                format!("scan: {about}{hosts}{each}, {windows}, {times}")
            }
            AlertKind::Sweep => {
                let hosts = count(walk.contacts(), "host");
                let answered = HumanCount(walk.answered);
                format!("sweep {name}: {hosts}, {answered} answered, {times}")
            }
        }
    }
}

//! The verdicts on one window.

use gomon_common::{Address, Endpoint, protocol};

use super::origin;
use super::policy::{Policy, ScanMode};
use super::sweep::{Service, Walk, service};
use super::time::seconds;
use super::{Counts, HyperLogLog, Ledger, Span, WindowCounts};

/// What is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One endpoint.
    Endpoint(Endpoint),
    /// A host, whose endpoints each stay below the threshold: random-port floods look like this.
    Host {
        /// The host.
        host: Address,
        /// Its ports among the listed endpoints.
        ports: u64,
        /// The protocol, when all its listed endpoints share one.
        protocol: Option<u8>,
    },
}

impl Target {
    /// The host.
    #[must_use]
    pub fn host(&self) -> Address {
        match self {
            Self::Endpoint(endpoint) => endpoint.address(),
            Self::Host { host, .. } => *host,
        }
    }
}

/// A port on which the bot looks for hosts: most that it tries do not answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// The transport protocol.
    pub protocol: u8,
    /// The destination port.
    pub port: u16,
    /// The hosts that were found to answer or not to in this window, ascending.
    pub hosts: Vec<Address>,
    /// The test so far.
    pub walk: Walk,
}

/// The contacts of one service that were decided in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contacts {
    /// The transport protocol.
    pub protocol: u8,
    /// The destination port.
    pub port: u16,
    /// Hosts that answered.
    pub answered: u64,
    /// Hosts that did not.
    pub unanswered: u64,
}

impl Contacts {
    /// Hosts in all.
    #[must_use]
    pub fn hosts(&self) -> u64 {
        self.answered + self.unanswered
    }
}

/// A statement about a window. Records are written in the order of the variants.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// More packets a second to one destination than the packet threshold.
    Attack {
        /// The destination.
        target: Target,
        /// What was sent there.
        counts: Counts,
    },
    /// More ports of one host than the port threshold.
    VerticalScan {
        /// The host.
        host: Address,
        /// Its ports, of all protocols that have ports.
        ports: u64,
        /// The protocol, when the ports are all of one.
        protocol: Option<u8>,
        /// What was sent to the host.
        counts: Counts,
    },
    /// More hosts than the destination threshold: a horizontal scan.
    Scan {
        /// The hosts that count, ascending; of more than fit, those that are known.
        hosts: Vec<Address>,
    },
    /// A port that is swept.
    Sweep {
        /// Which, and what of it.
        sweep: Sweep,
        /// What was sent in the window to listed endpoints with that port.
        counts: Counts,
    },
    /// An ordinary destination.
    Connection {
        /// The destination.
        endpoint: Endpoint,
        /// What was sent there.
        counts: Counts,
    },
    /// Neither an attack nor a scan of any kind.
    Idle,
}

/// A number of hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCount {
    /// How many.
    pub count: u64,
    /// Whether it was counted, not estimated.
    pub exact: bool,
}

/// The destination that got most in a window: a host, and its busiest endpoint when that got all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busiest {
    /// The host.
    pub host: Address,
    /// The endpoint that got everything the host got, if one did.
    pub endpoint: Option<Endpoint>,
    /// What the host got.
    pub counts: Counts,
}

/// The answer to one window, or to a run of silent ones.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowReport {
    /// Number of the window's first pane, counted from the start of the observation.
    pub first_pane: u64,
    /// How many windows this stands for: 1, or those of a run of silent windows cut short.
    pub windows: u64,
    /// The time they cover.
    pub span: Span,
    /// The length rates divide by, in seconds.
    pub seconds: f64,
    /// What became of every frame.
    pub ledger: Ledger,
    /// The same since the observation began, up to the end of this window.
    pub so_far: Ledger,
    /// All that was counted.
    pub total: Counts,
    /// The same since the observation began.
    pub total_so_far: Counts,
    /// Contacts that were decided in the window, by protocol and port, ascending.
    pub contacts: Vec<Contacts>,
    /// HyperLogLog destination hosts.
    pub hosts: HostCount,
    /// HostTraffic endpoints that are listed.
    pub endpoints: u64,
    /// Of these, the ones the scan mode counts.
    pub scanned_hosts: HostCount,
    /// Packets to endpoints there was no room for.
    pub overflow_packets: u64,
    /// The destination that got most, the lowest address first among equals.
    pub busiest: Option<Busiest>,
    /// The most ports of one host, among the listed endpoints.
    pub most_ports: u64,
    /// What is to be said, in the order in which it is written.
    pub verdicts: Vec<Verdict>,
    /// Where every source counts, the one source of the packets that each verdict is about, if it is one.
    pub origins: Vec<Option<Address>>,
}

impl WindowReport {
    /// A number of packets or hosts of this window as a rate a second.
    #[must_use]
    pub fn rate(&self, count: u64) -> f64 {
        rate(count, self.seconds)
    }

    /// Whether the window came out longer than `policy` has it, as a live one can.
    #[must_use]
    pub fn is_longer(&self, policy: &Policy) -> bool {
        self.seconds > seconds(policy.window_nanoseconds())
    }

    /// Whether the window is idle.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.verdicts.last() == Some(&Verdict::Idle)
    }
}

/// The hosts of the window before, for `new-host-rate`.
#[derive(Clone, Debug, Default)]
pub(super) struct HostSet {
    listed: Vec<Address>,
    unlisted: Option<HyperLogLog>,
}

impl HostSet {
    pub(super) fn of(window: &WindowCounts) -> Self {
        Self {
            listed: window.hosts.iter().map(|(host, _)| *host).collect(),
            unlisted: window.overflow.distinct.clone(),
        }
    }

    fn contains(&self, host: Address) -> bool {
        self.listed.binary_search(&host).is_ok()
    }

    /// All hosts, listed or not, as a sketch.
    fn sketch(&self) -> HyperLogLog {
        let mut sketch = self.unlisted.clone().unwrap_or_default();
        self.listed.iter().for_each(|host| sketch.insert(*host));
        sketch
    }

    fn count(&self) -> HostCount {
        let listed = self.listed.len() as u64;
        match self.unlisted {
            None => HostCount { count: listed, exact: true },
            // The hosts that are listed are known; the estimate can't be below them.
            Some(_) => HostCount { count: self.sketch().estimate().max(listed), exact: false },
        }
    }

    /// How many hosts of `self` are not in `before`.
    fn new_since(&self, before: &Self) -> HostCount {
        if self.unlisted.is_none() && before.unlisted.is_none() {
            let count = self.listed.iter().filter(|host| !before.contains(**host)).count() as u64;
            return HostCount { count, exact: true };
        }
        let mut union = self.sketch();
        union.merge(&before.sketch());
        let count = union.estimate().saturating_sub(before.count().count);
        HostCount { count, exact: false }
    }
}

/// Judges a window, given the ports swept in it, ascending, and the hosts of the window before it.
pub(super) fn judge(
    policy: &Policy,
    first_pane: u64,
    window: &WindowCounts,
    sweeps: Vec<Sweep>,
    before: &HostSet,
) -> (WindowReport, HostSet) {
    let nominal = seconds(policy.window_nanoseconds());
    let hosts = HostSet::of(window);
    let mut report = WindowReport {
        first_pane,
        windows: 1,
        span: window.span,
        // A live window can come out longer; the last of an observation is shorter, and no attack
        // for that.
        seconds: window.span.seconds().max(nominal),
        ledger: window.ledger,
        // These three the engine knows.
        so_far: Ledger::default(),
        total_so_far: Counts::default(),
        contacts: Vec::new(),
        total: window.total(),
        hosts: hosts.count(),
        endpoints: window.endpoints.len() as u64,
        scanned_hosts: HostCount::default(),
        overflow_packets: window.overflow.endpoints.packets,
        busiest: None,
        most_ports: 0,
        verdicts: Vec::new(),
        origins: Vec::new(),
    };

    let seconds = report.seconds;
    let attacks = |counts: Counts| rate(counts.packets, seconds) > policy.packet_threshold;
    // A threshold per window grows with a window that came out longer.
    let stretch = seconds / nominal;

    let swept: Vec<Service> = sweeps.iter().map(|sweep| (sweep.protocol, sweep.port)).collect();
    let mut sent_sweeping = vec![Counts::default(); swept.len()];
    let mut attacked: Vec<Address> = Vec::new();
    let mut vertical = Vec::new();
    let mut connections = Vec::new();
    for HostTraffic { host, total, endpoints } in traffic_by_host(window) {
        if report.busiest.is_none_or(|busiest| total.packets > busiest.counts.packets) {
            let all = endpoints.iter().find(|(_, counts)| *counts == total);
            report.busiest = Some(Busiest { host, endpoint: all.map(|(e, _)| *e), counts: total });
        }
        let ported = || endpoints.iter().filter(|(endpoint, _)| has_port(endpoint));
        let ports = ported().count() as u64;
        report.most_ports = report.most_ports.max(ports);
        let endpoint_attacked = endpoints.iter().any(|(_, counts)| attacks(*counts));
        let host_attacked = !endpoint_attacked && attacks(total);
        if host_attacked {
            let target = Target::Host { host, ports, protocol: sole_protocol(endpoints) };
            report.verdicts.push(Verdict::Attack { target, counts: total });
        }
        for &(endpoint, counts) in endpoints {
            let sweep = swept.binary_search(&service(&endpoint)).ok();
            if let Some(sweep) = sweep {
                sent_sweeping[sweep] += counts;
            }
            if attacks(counts) {
                let target = Target::Endpoint(endpoint);
                report.verdicts.push(Verdict::Attack { target, counts });
            } else if policy.connections && !host_attacked && sweep.is_none() {
                connections.push(Verdict::Connection { endpoint, counts });
            }
        }
        if endpoint_attacked || host_attacked {
            attacked.push(host);
        }
        if policy.port_threshold.is_some_and(|threshold| exceeds(ports, threshold * stretch)) {
            let protocol = sole_protocol(ported());
            vertical.push(Verdict::VerticalScan { host, ports, protocol, counts: total });
        }
    }
    report.verdicts.append(&mut vertical);

    let counts_towards_scan = |host: Address| match policy.scan_mode {
        ScanMode::HostRate => true,
        ScanMode::NewHostRate => !before.contains(host),
        ScanMode::FilteredHostRate => attacked.binary_search(&host).is_err(),
    };
    report.scanned_hosts = match policy.scan_mode {
        ScanMode::HostRate => report.hosts,
        ScanMode::NewHostRate => hosts.new_since(before),
        ScanMode::FilteredHostRate => {
            let count = report.hosts.count.saturating_sub(attacked.len() as u64);
            HostCount { count, ..report.hosts }
        }
    };
    let is_scan = exceeds(report.scanned_hosts.count, policy.destination_threshold * stretch);
    if is_scan {
        let scanned = hosts.listed.iter().copied().filter(|host| counts_towards_scan(*host));
        report.verdicts.push(Verdict::Scan { hosts: scanned.collect() });
    }
    let swept = sweeps.into_iter().zip(sent_sweeping);
    report.verdicts.extend(swept.map(|(sweep, counts)| Verdict::Sweep { sweep, counts }));
    if !is_scan {
        let quiet = report.verdicts.is_empty();
        report.verdicts.append(&mut connections);
        if quiet {
            report.verdicts.push(Verdict::Idle);
        }
    }
    if !window.origins.is_empty() {
        let origins = report.verdicts.iter().map(|verdict| origin::of_verdict(window, verdict));
        report.origins = origins.collect();
    }
    (report, hosts)
}

#[expect(clippy::cast_precision_loss, reason = "counts of one window")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

#[expect(clippy::cast_precision_loss, reason = "counts of one window")]
fn exceeds(count: u64, threshold: f64) -> bool {
    count as f64 > threshold
}

/// A host with its endpoints, out of the two sorted lists.
struct HostTraffic<'a> {
    host: Address,
    total: Counts,
    endpoints: &'a [(Endpoint, Counts)],
}

fn traffic_by_host(window: &WindowCounts) -> impl Iterator<Item = HostTraffic<'_>> {
    let mut rest = window.endpoints.as_slice();
    window.hosts.iter().map(move |&(host, total)| {
        let own = rest.partition_point(|(endpoint, _)| endpoint.address() <= host);
        let (endpoints, behind) = rest.split_at(own);
        rest = behind;
        HostTraffic { host, total, endpoints }
    })
}

fn has_port(endpoint: &Endpoint) -> bool {
    protocol::has_ports(endpoint.protocol()) && endpoint.port() != 0
}

/// The protocol of some endpoints, when it is one.
fn sole_protocol<'a>(endpoints: impl IntoIterator<Item = &'a (Endpoint, Counts)>) -> Option<u8> {
    let mut protocols = endpoints.into_iter().map(|(endpoint, _)| endpoint.protocol());
    let first = protocols.next()?;
    protocols.all(|protocol| protocol == first).then_some(first)
}

//! Judges one window by a policy.

use gomon_common::{Address, Endpoint, protocol};

use super::host_set::HostSet;
use super::policy::{Policy, ScanMode};
use super::sweep::{Service, service};
use super::time::seconds;
use super::verdict::{AttackTarget, Busiest, HostCount, Sweep, Verdict, WindowReport, rate};
use super::{Counts, Ledger, WindowCounts, attribution};

/// Judges a window, and returns its report and its hosts. `sweeps` are the ports swept in it, ascending;
/// `previous` are the hosts of the previous window.
///
/// The engine fills in the cumulative fields and `contacts` of the report.
pub(super) fn judge(
    policy: &Policy,
    first_pane: u64,
    window: &WindowCounts,
    sweeps: Vec<Sweep>,
    previous: &HostSet,
) -> (WindowReport, HostSet) {
    let nominal = seconds(policy.window_nanoseconds());
    let hosts = HostSet::of(window);
    let mut report = WindowReport {
        first_pane,
        windows: 1,
        span: window.span,
        // A live window may be longer. The last window of an observation may be shorter; dividing by the
        // nominal length keeps that from raising its rates.
        seconds: window.span.seconds().max(nominal),
        ledger: window.ledger,
        cumulative_ledger: Ledger::default(),
        cumulative_total: Counts::default(),
        contacts: Vec::new(),
        total: window.total(),
        hosts: hosts.count(),
        endpoints: window.endpoints.len() as u64,
        scanned_hosts: HostCount::default(),
        overflow_packets: window.overflow.endpoints.packets,
        busiest: None,
        most_ports: 0,
        verdicts: Vec::new(),
        verdict_sources: Vec::new(),
    };

    let seconds = report.seconds;
    let is_attack = |counts: Counts| rate(counts.packets, seconds) > policy.packet_threshold;
    // Thresholds per window are scaled up for a window that is longer than nominal.
    let scale = seconds / nominal;

    let swept: Vec<Service> = sweeps.iter().map(|sweep| (sweep.protocol, sweep.port)).collect();
    let mut sweep_counts = vec![Counts::default(); swept.len()];
    let mut attacked: Vec<Address> = Vec::new();
    let mut vertical_scans = Vec::new();
    let mut connections = Vec::new();
    for HostTraffic { host, total, endpoints } in traffic_by_host(window) {
        if report.busiest.is_none_or(|busiest| total.packets > busiest.counts.packets) {
            let only = endpoints.iter().find(|(_, counts)| *counts == total);
            let endpoint = only.map(|(endpoint, _)| *endpoint);
            report.busiest = Some(Busiest { host, endpoint, counts: total });
        }
        let with_port = || endpoints.iter().filter(|(endpoint, _)| has_port(endpoint));
        let ports = with_port().count() as u64;
        report.most_ports = report.most_ports.max(ports);
        let is_endpoint_attacked = endpoints.iter().any(|(_, counts)| is_attack(*counts));
        let is_host_attacked = !is_endpoint_attacked && is_attack(total);
        if is_host_attacked {
            let target = AttackTarget::Host { host, ports, protocol: shared_protocol(endpoints) };
            report.verdicts.push(Verdict::Attack { target, counts: total });
        }
        for &(endpoint, counts) in endpoints {
            let sweep = swept.binary_search(&service(&endpoint)).ok();
            if let Some(sweep) = sweep {
                sweep_counts[sweep] += counts;
            }
            if is_attack(counts) {
                let target = AttackTarget::Endpoint(endpoint);
                report.verdicts.push(Verdict::Attack { target, counts });
            } else if policy.connections && !is_host_attacked && sweep.is_none() {
                connections.push(Verdict::Connection { endpoint, counts });
            }
        }
        if is_endpoint_attacked || is_host_attacked {
            attacked.push(host);
        }
        if policy.port_threshold.is_some_and(|threshold| exceeds(ports, threshold * scale)) {
            let protocol = shared_protocol(with_port());
            vertical_scans.push(Verdict::VerticalScan { host, ports, protocol, counts: total });
        }
    }
    report.verdicts.append(&mut vertical_scans);

    let counts_towards_scan = |host: Address| match policy.scan_mode {
        ScanMode::HostRate => true,
        ScanMode::NewHostRate => !previous.contains(host),
        ScanMode::FilteredHostRate => attacked.binary_search(&host).is_err(),
    };
    report.scanned_hosts = match policy.scan_mode {
        ScanMode::HostRate => report.hosts,
        ScanMode::NewHostRate => hosts.new_since(previous),
        ScanMode::FilteredHostRate => {
            let count = report.hosts.count.saturating_sub(attacked.len() as u64);
            HostCount { count, ..report.hosts }
        }
    };
    let is_scan = exceeds(report.scanned_hosts.count, policy.destination_threshold * scale);
    if is_scan {
        let scanned = hosts.listed().iter().copied().filter(|host| counts_towards_scan(*host));
        report.verdicts.push(Verdict::Scan { hosts: scanned.collect() });
    }
    let swept = sweeps.into_iter().zip(sweep_counts);
    report.verdicts.extend(swept.map(|(sweep, counts)| Verdict::Sweep { sweep, counts }));
    if !is_scan {
        let is_idle = report.verdicts.is_empty();
        report.verdicts.append(&mut connections);
        if is_idle {
            report.verdicts.push(Verdict::Idle);
        }
    }
    if !window.endpoint_sources.is_empty() {
        let verdicts = report.verdicts.iter();
        report.verdict_sources =
            verdicts.map(|verdict| attribution::source_of(window, verdict)).collect();
    }
    (report, hosts)
}

#[expect(clippy::cast_precision_loss, reason = "counts of one window")]
fn exceeds(count: u64, threshold: f64) -> bool {
    count as f64 > threshold
}

/// The traffic to a host, in total and by listed endpoint.
struct HostTraffic<'a> {
    host: Address,
    total: Counts,
    endpoints: &'a [(Endpoint, Counts)],
}

/// Groups the endpoints of a window by host. Both lists are sorted by address.
fn traffic_by_host(window: &WindowCounts) -> impl Iterator<Item = HostTraffic<'_>> {
    let mut rest = window.endpoints.as_slice();
    window.hosts.iter().map(move |&(host, total)| {
        let own = rest.partition_point(|(endpoint, _)| endpoint.address() <= host);
        let (endpoints, following) = rest.split_at(own);
        rest = following;
        HostTraffic { host, total, endpoints }
    })
}

fn has_port(endpoint: &Endpoint) -> bool {
    protocol::has_ports(endpoint.protocol()) && endpoint.port() != 0
}

/// Returns the protocol of `endpoints`, if they share one.
fn shared_protocol<'a>(endpoints: impl IntoIterator<Item = &'a (Endpoint, Counts)>) -> Option<u8> {
    let mut protocols = endpoints.into_iter().map(|(endpoint, _)| endpoint.protocol());
    let first = protocols.next()?;
    protocols.all(|protocol| protocol == first).then_some(first)
}

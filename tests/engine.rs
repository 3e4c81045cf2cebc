//! The core compared with a naive implementation of its documentation, on random traffic.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests panic on setup errors, and print what they skip"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gomon::core::{
    AttackTarget, Counts, Engine, PacketFilter, PaneClock, PanePosition, Policy,
    SILENT_WINDOWS_REPORTED, ScanMode, Senders, Sources, Span, Tally, Timestamp, Verdict,
    WindowCounts, WindowReport,
};
use gomon_common::{Address, ContactFlag, Endpoint, Packet, protocol};
use proptest::prelude::*;

const STEP: u64 = 1_000_000_000;
const BOT: Address = Address::v4([10, 0, 0, 5]);

/// A packet. `time` is in nanoseconds since the first one.
#[derive(Clone, Copy, Debug)]
struct Sent {
    time: u64,
    source: Address,
    destination: Endpoint,
    length: u32,
}

impl Sent {
    fn packet(&self) -> Packet {
        let Self { source, destination, .. } = *self;
        Packet { source, destination, contact: ContactFlag::ATTEMPT, ..Packet::default() }
    }
}

fn host(n: u8) -> Address {
    Address::v4([192, 0, 2, n])
}

/// Traffic of a few seconds, in order of time. The first packet is at time 0.
fn traffic() -> impl Strategy<Value = Vec<Sent>> {
    let packet =
        (0..12 * STEP, prop::bool::weighted(0.9), 0u8..9, 0u16..4, prop::bool::ANY, 60u32..99);
    prop::collection::vec(packet, 1..150).prop_map(|packets| {
        let sent = packets.into_iter().map(|(time, from_bot, to, port, tcp, length)| {
            let protocol = if tcp { protocol::TCP } else { protocol::ICMP };
            let port = if tcp { port } else { 0 };
            let source = if from_bot { BOT } else { host(200) };
            Sent { time, source, destination: Endpoint::new(host(to), protocol, port), length }
        });
        let mut sent: Vec<_> = sent.collect();
        sent.sort_by_key(|packet| packet.time);
        sent[0].time = 0;
        sent
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    let modes = prop::sample::select(ScanMode::ALL.to_vec());
    (1u32..5, 1u32..20, 0u32..9, prop::option::of(0u32..4), modes).prop_map(
        |(panes, packets, hosts, ports, scan_mode)| Policy {
            window: Duration::from_nanos(STEP) * panes,
            step: Duration::from_nanos(STEP),
            packet_threshold: f64::from(packets) / f64::from(panes),
            destination_threshold: f64::from(hosts) + 0.5,
            port_threshold: ports.map(f64::from),
            scan_mode,
            sweep_hosts: None,
            connections: true,
        },
    )
}

/// Runs clock, tally and engine as a replay does, and returns the reports.
fn replay(policy: &Policy, packets: &[Sent], capacity: usize) -> Vec<WindowReport> {
    let bot = Sources::Bot { first: BOT, others: vec![] };
    replay_from(bot, policy, packets, capacity)
}

/// [`replay`] with the given sources.
fn replay_from(
    sources: Sources,
    policy: &Policy,
    packets: &[Sent],
    capacity: usize,
) -> Vec<WindowReport> {
    let mut tally = Tally::new(PacketFilter::new(sources, vec![]), capacity);
    let mut clock = PaneClock::new(policy.step_nanoseconds(), policy.window_nanoseconds());
    let mut engine = Engine::new(policy.clone());
    let mut reports = Vec::new();
    for sent in packets {
        let time = Timestamp::from_nanoseconds(i64::try_from(sent.time).unwrap());
        if let PanePosition::Ahead(panes) = clock.locate(Some(time)) {
            let span = clock.pane();
            clock.advance(panes);
            engine.add_pane(tally.close_pane(span), &mut |report| reports.push(report));
            engine.add_silent_panes(span.end, panes - 1, &mut |report| reports.push(report));
        }
        tally.count(&sent.packet(), sent.length, time);
    }
    engine.add_pane(tally.close_pane(clock.pane()), &mut |report| reports.push(report));
    engine.finish(&mut |report| reports.push(report));
    reports
}

/// The parts of a verdict that the naive implementation computes: its class, its destination, and its packets or
/// ports.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Attack(Endpoint, u64),
    HostAttack(Address, u64),
    VerticalScan(Address, u64),
    Scan(Vec<Address>),
    Connection(Endpoint, u64),
    Idle,
}

fn findings(report: &WindowReport) -> Vec<Finding> {
    let findings = report.verdicts.iter().map(|verdict| match verdict {
        Verdict::Attack { target: AttackTarget::Endpoint(endpoint), counts } => {
            Finding::Attack(*endpoint, counts.packets)
        }
        Verdict::Attack { target: AttackTarget::Host { host, .. }, counts } => {
            Finding::HostAttack(*host, counts.packets)
        }
        Verdict::VerticalScan { host, ports, .. } => Finding::VerticalScan(*host, *ports),
        Verdict::Scan { hosts } => Finding::Scan(hosts.clone()),
        Verdict::Connection { endpoint, counts } => Finding::Connection(*endpoint, counts.packets),
        Verdict::Idle => Finding::Idle,
        Verdict::Sweep { .. } => panic!("sweep detection is off"),
    });
    findings.collect()
}

/// Computes every window naively, from the packets themselves.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn naive(policy: &Policy, packets: &[Sent]) -> Vec<Vec<Finding>> {
    let panes = policy.panes() as u64;
    let last = packets.last().unwrap().time / STEP;
    let windows = (last + 1).saturating_sub(panes - 1).max(1);
    let seconds = policy.window.as_secs_f64();
    let mut previous = BTreeSet::new();
    let mut all = Vec::new();
    for window in 0..windows {
        let mut endpoints: BTreeMap<Endpoint, u64> = BTreeMap::new();
        let mut hosts: BTreeMap<Address, u64> = BTreeMap::new();
        let inside = |sent: &&Sent| (window..window + panes).contains(&(sent.time / STEP));
        for sent in packets.iter().filter(inside).filter(|sent| sent.source == BOT) {
            *endpoints.entry(sent.destination).or_default() += 1;
            *hosts.entry(sent.destination.address()).or_default() += 1;
        }
        let exceeds = |packets: u64| packets as f64 / seconds > policy.packet_threshold;
        let of = |host: Address| endpoints.iter().filter(move |(e, _)| e.address() == host);
        let mut verdicts = Vec::new();
        let mut attacked = BTreeSet::new();
        let mut covered = BTreeSet::new(); // endpoints that an attack verdict includes
        for (&host, &total) in &hosts {
            let attacked_endpoints: Vec<_> = of(host).filter(|(_, n)| exceeds(**n)).collect();
            if attacked_endpoints.is_empty() && exceeds(total) {
                verdicts.push(Finding::HostAttack(host, total));
                covered.extend(of(host).map(|(e, _)| *e));
                attacked.insert(host);
            }
            for (&endpoint, &packets) in attacked_endpoints {
                verdicts.push(Finding::Attack(endpoint, packets));
                covered.insert(endpoint);
                attacked.insert(host);
            }
        }
        for &host in hosts.keys() {
            let ports =
                of(host).filter(|(e, _)| e.protocol() == protocol::TCP && e.port() != 0).count();
            if policy.port_threshold.is_some_and(|threshold| ports as f64 > threshold) {
                verdicts.push(Finding::VerticalScan(host, ports as u64));
            }
        }
        let scanned = hosts.keys().copied().filter(|host| match policy.scan_mode {
            ScanMode::HostRate => true,
            ScanMode::NewHostRate => !previous.contains(host),
            ScanMode::FilteredHostRate => !attacked.contains(host),
        });
        let scanned: Vec<_> = scanned.collect();
        if scanned.len() as f64 > policy.destination_threshold {
            verdicts.push(Finding::Scan(scanned));
        } else {
            let idle = verdicts.is_empty();
            let others = endpoints.iter().filter(|(endpoint, _)| !covered.contains(*endpoint));
            verdicts.extend(others.map(|(e, n)| Finding::Connection(*e, *n)));
            if idle {
                verdicts.push(Finding::Idle);
            }
        }
        previous = hosts.into_keys().collect();
        all.push(verdicts);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_window_is_judged_as_documented(packets in traffic(), policy in policies()) {
        let reports = replay(&policy, &packets, 1024);
        let expected = naive(&policy, &packets);
        prop_assert_eq!(reports.len(), expected.len());
        for (index, (report, expected)) in reports.iter().zip(&expected).enumerate() {
            prop_assert_eq!(&findings(report), expected, "window {}", index);
            let start = i64::try_from(index as u64 * STEP).unwrap();
            prop_assert_eq!(report.span.start.nanoseconds(), start);
            prop_assert_eq!(report.first_pane, index as u64);
        }
    }

    #[test]
    fn with_any_source_a_verdict_names_the_source_that_its_packets_share(
        packets in traffic(), policy in policies(), has_room in any::<bool>(), few in 1usize..9,
    ) {
        let capacity = if has_room { 1024 } else { few };
        // With sliding windows, an endpoint may be listed in one pane and unlisted in the next.
        let step = if has_room { policy.step } else { policy.window };
        let policy = Policy { step, ..policy };
        for report in replay_from(Sources::Any, &policy, &packets, capacity) {
            // A silent window has no sources.
            prop_assert!(report.verdict_sources.is_empty() || report.verdict_sources.len() == report.verdicts.len());
            for (verdict, source) in report.verdicts.iter().zip(&report.verdict_sources) {
                let is_about = |sent: &&Sent| match verdict {
                    Verdict::Attack { target: AttackTarget::Endpoint(endpoint), .. }
                    | Verdict::Connection { endpoint, .. } => sent.destination == *endpoint,
                    Verdict::Attack { target: AttackTarget::Host { host, .. }, .. }
                    | Verdict::VerticalScan { host, .. } => sent.destination.address() == *host,
                    Verdict::Scan { .. } | Verdict::Sweep { .. } | Verdict::Idle => false,
                };
                let in_time = |sent: &&Sent| {
                    let time = Timestamp::from_nanoseconds(i64::try_from(sent.time).unwrap());
                    (report.span.start..report.span.end).contains(&time)
                };
                let sources = packets.iter().filter(in_time).filter(is_about).map(|sent| sent.source);
                let sources: BTreeSet<_> = sources.collect();
                let single = sources.first().copied().filter(|_| sources.len() == 1);
                // The source of unlisted endpoints is not known, but a reported source is correct.
                if has_room || source.is_some() {
                    prop_assert_eq!(*source, single, "{:?}", verdict);
                }
            }
        }
        let with_bot = replay(&policy, &packets, capacity);
        prop_assert!(with_bot.iter().all(|report| report.verdict_sources.is_empty()));
    }

    #[test]
    fn counts_are_conserved_through_tumbling_windows(
        packets in traffic(), policy in policies(), capacity in 1usize..6,
    ) {
        let policy = Policy { step: policy.window, ..policy };
        let reports = replay(&policy, &packets, capacity);
        let sent: Vec<_> = packets.iter().filter(|sent| sent.source == BOT).collect();
        let bytes: u64 = sent.iter().map(|sent| u64::from(sent.length)).sum();
        prop_assert_eq!(reports.iter().map(|r| r.total.packets).sum::<u64>(), sent.len() as u64);
        prop_assert_eq!(reports.iter().map(|r| r.total.bytes).sum::<u64>(), bytes);
        prop_assert_eq!(reports.iter().map(|r| r.ledger.seen()).sum::<u64>(), packets.len() as u64);
        prop_assert!(reports.iter().all(|r| r.ledger.counted == r.total.packets));
    }

    #[test]
    fn the_order_of_packets_within_a_pane_does_not_matter(
        packets in traffic(), policy in policies(), seed in any::<u64>(),
    ) {
        let mut shuffled = packets.clone();
        // Sorting by pane and then by a hash of the position shuffles within each pane.
        let mut keyed: Vec<_> = (0u64..).zip(&mut shuffled).collect();
        keyed.sort_by_key(|(n, sent)| (sent.time / STEP, n.wrapping_mul(seed | 1).rotate_left(17)));
        let mut shuffled: Vec<Sent> = keyed.into_iter().map(|(_, sent)| *sent).collect();
        for sent in &mut shuffled {
            sent.time = sent.time / STEP * STEP; // keeps the time of the first packet
        }
        prop_assert_eq!(replay(&policy, &packets, 1024), replay(&policy, &shuffled, 1024));
    }

    #[test]
    fn the_sum_of_parts_equals_the_pane(packets in traffic(), cut in 0usize..150) {
        let (early, late) = packets.split_at(cut.min(packets.len()));
        let count = |packets: &[Sent]| {
            let bot = Sources::Bot { first: BOT, others: vec![] };
            let mut tally = Tally::new(PacketFilter::new(bot, vec![]), 1024);
            for sent in packets {
                tally.count(&sent.packet(), sent.length, Timestamp::default());
            }
            WindowCounts { senders: Senders::default(), ..tally.close_pane(Span::default()) }
        };
        prop_assert_eq!(WindowCounts::sum(&[count(early), count(late)]), count(&packets));
    }

    #[test]
    fn a_gap_takes_bounded_work_and_no_window_is_missing(
        before in 0u64..3, gap in 0u64..5000, after in 0u64..3, panes in 1u32..4,
    ) {
        let policy = Policy {
            window: Duration::from_secs(u64::from(panes)), step: Duration::from_secs(1),
            packet_threshold: 5.0, destination_threshold: 10.0, port_threshold: None,
            scan_mode: ScanMode::HostRate, sweep_hosts: None, connections: false,
        };
        let busy = |n: u64| {
            let span = Span::starting(Timestamp::from_nanoseconds(i64::try_from(n * STEP).unwrap()), 1_000_000_000);
            let mut counts = WindowCounts::empty(span);
            counts.ledger.counted = 1;
            counts.hosts.push((host(1), Counts { packets: 1, bytes: 60 }));
            counts
        };
        let mut reports = Vec::new();
        let mut engine = Engine::new(policy);
        (0..before).for_each(|n| engine.add_pane(busy(n), &mut |r| reports.push(r)));
        let start = Timestamp::from_nanoseconds(i64::try_from(before * STEP).unwrap());
        engine.add_silent_panes(start, gap, &mut |r| reports.push(r));
        (0..after).for_each(|n| engine.add_pane(busy(before + gap + n), &mut |r| reports.push(r)));
        engine.finish(&mut |r| reports.push(r));

        let total = before + gap + after;
        let windows = if total == 0 { 0 } else { total.saturating_sub(u64::from(panes) - 1).max(1) };
        prop_assert_eq!(reports.iter().map(|r| r.windows).sum::<u64>(), windows);
        prop_assert!(reports.len() as u64 <= SILENT_WINDOWS_REPORTED + 1 + 2 * (before + after) * u64::from(panes));
        let mut next = 0;
        for report in &reports {
            prop_assert_eq!(report.first_pane, next);
            prop_assert_eq!(report.span.start.nanoseconds(), i64::try_from(next * STEP).unwrap());
            next += report.windows;
            if report.windows > 1 {
                prop_assert_eq!(report.total.packets, 0);
                let length = report.span.end.since(report.span.start).unsigned_abs();
                prop_assert_eq!(length, (report.windows + u64::from(panes) - 1) * STEP);
            }
        }
    }
}

#[test]
fn a_very_long_gap_is_one_combined_report() {
    let policy = Policy {
        window: Duration::from_millis(1),
        step: Duration::from_millis(1),
        packet_threshold: 5.0,
        destination_threshold: 10.0,
        port_threshold: None,
        scan_mode: ScanMode::default(),
        sweep_hosts: Some(12),
        connections: true,
    };
    let mut engine = Engine::new(policy);
    let mut reports = Vec::new();
    engine.add_silent_panes(Timestamp::default(), u64::MAX / 2, &mut |report| reports.push(report));
    engine.finish(&mut |report| reports.push(report));
    assert_eq!(reports.len() as u64, SILENT_WINDOWS_REPORTED + 1);
    assert_eq!(reports.last().unwrap().windows, u64::MAX / 2 - SILENT_WINDOWS_REPORTED);
}

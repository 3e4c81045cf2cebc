//! The engine compared with a naive implementation of `docs/sweeps.md`, on random traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gomon::core::{
    Engine, PacketFilter, PaneClock, PanePosition, Policy, ScanMode, Sources, Sweep, SweepTest,
    Tally, Timestamp, Verdict,
};
use gomon_common::{Address, ContactFlag, Endpoint, Packet, protocol};
use proptest::prelude::*;

const BOT: Address = Address::v4([10, 0, 0, 5]);
const SECOND: i64 = 1_000_000_000;
const REPLY_TIMEOUT: i64 = 3 * SECOND;

/// An attempt to contact an endpoint, with its replies. Times are in nanoseconds.
#[derive(Clone, Debug)]
struct Attempt {
    time: i64,
    destination: Endpoint,
    /// Offsets of further attempts from `time`.
    retries: Vec<i64>,
    /// Offsets of replies from `time`.
    replies: Vec<i64>,
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    // Attempts are at whole microseconds, and replies one nanosecond off, so that no two times are equal.
    let offsets = || prop::collection::vec(1i64..5_000_000, 0..3);
    let one = (0i64..20_000_000, 0u8..40, any::<bool>(), 0u16..2, offsets(), offsets());
    let one = one.prop_map(|(time, host, tcp, port, retries, replies)| Attempt {
        time: time * 1000,
        destination: Endpoint::new(
            Address::v4([192, 0, 2, host]),
            if tcp { protocol::TCP } else { protocol::UDP },
            1 + port,
        ),
        retries: retries.into_iter().map(|offset| offset * 1000).collect(),
        replies: replies.into_iter().map(|offset| offset * 1000 + 1).collect(),
    });
    prop::collection::vec(one, 1..120)
}

/// The packets of `attempts` in order of time. The first one is to the bot, so that both directions are visible.
fn packets(attempts: &[Attempt]) -> Vec<(i64, Packet)> {
    let stray = Endpoint::new(BOT, protocol::ICMP, 0);
    let other = Address::v4([203, 0, 113, 1]);
    let stray = Packet { source: other, destination: stray, ..Packet::default() };
    let mut packets = vec![(0, stray)];
    for Attempt { time, destination, retries, replies } in attempts {
        let sent = |contact| Packet {
            source: BOT,
            destination: *destination,
            source_port: 9,
            contact,
            ..Packet::default()
        };
        packets.push((*time, sent(ContactFlag::ATTEMPT)));
        packets.extend(retries.iter().map(|offset| (time + offset, sent(ContactFlag::ATTEMPT))));
        let reply = if destination.protocol() == protocol::TCP {
            sent(ContactFlag::ESTABLISHED)
        } else {
            Packet {
                source: destination.address(),
                destination: Endpoint::new(BOT, protocol::UDP, 9),
                source_port: destination.port(),
                contact: ContactFlag::ATTEMPT,
                ..Packet::default()
            }
        };
        packets.extend(replies.iter().map(|offset| (time + offset, reply)));
    }
    packets.sort_by_key(|(time, _)| *time);
    packets
}

fn policy(step: i64, panes: u32, min_contacts: u64) -> Policy {
    let step = Duration::from_nanos(step.unsigned_abs());
    Policy {
        window: step * panes,
        step,
        packet_threshold: 1e9,
        destination_threshold: 1e9,
        port_threshold: None,
        scan_mode: ScanMode::HostRate,
        sweep_hosts: Some(min_contacts),
        connections: false,
    }
}

/// The sweeps of each window, as the engine reports them in a replay.
fn reported(policy: &Policy, packets: &[(i64, Packet)]) -> Vec<Vec<Sweep>> {
    let bot = Sources::Bot { first: BOT, others: vec![] };
    let mut tally = Tally::new(PacketFilter::new(bot, vec![]), 1024);
    let mut clock = PaneClock::new(policy.step_nanoseconds(), policy.window_nanoseconds());
    let mut engine = Engine::new(policy.clone());
    let mut reports = Vec::new();
    for (time, packet) in packets {
        let time = Timestamp::from_nanoseconds(*time);
        if let PanePosition::Ahead(panes) = clock.locate(Some(time)) {
            let span = clock.pane();
            clock.advance(panes);
            engine.add_pane(tally.close_pane(span), &mut |report| reports.push(report));
            engine.add_silent_panes(span.end, panes - 1, &mut |report| reports.push(report));
        }
        tally.count(packet, 60, time);
    }
    engine.add_pane(tally.close_pane(clock.pane()), &mut |report| reports.push(report));
    engine.finish(&mut |report| reports.push(report));
    let sweeps = reports.into_iter().map(|report| {
        let sweeps = report.verdicts.into_iter().filter_map(|verdict| {
            if let Verdict::Sweep { sweep, .. } = verdict { Some(sweep) } else { None }
        });
        sweeps.collect()
    });
    sweeps.collect()
}

/// The sweeps of each window, computed naively from the packets.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn naive(policy: &Policy, packets: &[(i64, Packet)], min_contacts: u64) -> Vec<Vec<Sweep>> {
    let step = policy.step_nanoseconds();
    let last = packets.last().unwrap().0 / step;
    let mut first_attempts: BTreeMap<Endpoint, i64> = BTreeMap::new();
    for (time, packet) in packets {
        if packet.source == BOT && packet.contact == ContactFlag::ATTEMPT {
            first_attempts.entry(packet.destination).or_insert(*time);
        }
    }
    // Contacts by the pane in which they are decided, each with whether it was answered.
    let mut outcomes: BTreeMap<i64, Vec<(Endpoint, bool)>> = BTreeMap::new();
    for (endpoint, attempt) in first_attempts {
        let replies = packets.iter().filter(|(time, packet)| {
            let after = time - attempt;
            let is_reply = match endpoint.protocol() {
                protocol::TCP => {
                    packet.destination == endpoint && packet.contact == ContactFlag::ESTABLISHED
                }
                _ => packet.destination.address() == BOT && packet.source_endpoint() == endpoint,
            };
            is_reply && (0..REPLY_TIMEOUT).contains(&after)
        });
        let reply = replies.map(|(time, _)| *time).next();
        let pane = reply.map_or((attempt + REPLY_TIMEOUT - 1).div_euclid(step), |time| time / step);
        outcomes.entry(pane).or_default().push((endpoint, reply.is_some()));
    }
    let mut tests: BTreeMap<(u8, u16), SweepTest> = BTreeMap::new();
    let panes = i64::try_from(policy.panes()).unwrap();
    let mut windows = Vec::new();
    for pane in 0..=last.max(panes - 1) {
        let outcomes_here = outcomes.get(&pane).cloned().unwrap_or_default();
        let service = |e: &Endpoint| (e.protocol(), e.port());
        let services: BTreeSet<_> = outcomes_here.iter().map(|(e, _)| service(e)).collect();
        // Panes after the last packet are not observed.
        for key in services.into_iter().filter(|_| pane <= last) {
            let own = || outcomes_here.iter().filter(|(e, _)| service(e) == key);
            let answered = own().filter(|(_, answered)| *answered).count();
            let unanswered = own().count() - answered;
            let test = tests.entry(key).or_default();
            test.answered += answered as u64;
            test.unanswered += unanswered as u64;
            let step = (unanswered as f64 - answered as f64) * 4_f64.ln();
            test.score = (test.score + step).max(0.0);
        }
        if pane < panes - 1 {
            continue;
        }
        let mut sweeps = Vec::new();
        for (&(protocol, port), test) in &tests {
            let in_window = outcomes.range(pane - panes + 1..=pane.min(last));
            let hosts = in_window.flat_map(|(_, outcomes)| outcomes);
            let hosts = hosts.filter(|(e, _)| service(e) == (protocol, port));
            let mut hosts: Vec<_> = hosts.map(|(e, _)| e.address()).collect();
            hosts.sort_unstable();
            let is_swept = test.score > 99_f64.ln() && test.contacts() >= min_contacts;
            if is_swept && !hosts.is_empty() {
                sweeps.push(Sweep { protocol, port, hosts, test: *test });
            }
        }
        windows.push(sweeps);
    }
    windows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_window_has_the_documented_sweeps(
        attempts in attempts(),
        step in prop::sample::select(vec![SECOND / 10, SECOND, 2 * SECOND + 1000, 10 * SECOND]),
        panes in 1u32..4,
        min_contacts in 1u64..20,
    ) {
        let packets = packets(&attempts);
        let policy = policy(step, panes, min_contacts);
        let (reported, naive) = (reported(&policy, &packets), naive(&policy, &packets, min_contacts));
        prop_assert_eq!(reported.len(), naive.len());
        for (number, (reported, naive)) in reported.iter().zip(&naive).enumerate() {
            prop_assert_eq!(reported.len(), naive.len(), "window {}: {:#?} {:#?}", number, reported, naive);
            for (reported, naive) in reported.iter().zip(naive) {
                let rounded = SweepTest { score: naive.test.score, ..reported.test };
                prop_assert!((reported.test.score - naive.test.score).abs() < 1e-9);
                prop_assert_eq!(&Sweep { test: rounded, ..reported.clone() }, naive);
            }
        }
    }
}

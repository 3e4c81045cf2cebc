//! The engine against a naive reading of `docs/sweeps.md`, on random traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gomon::core::{
    Engine, PacketFilter, PaneClock, PanePosition, Policy, ScanMode, Sources, Sweep, Tally,
    Timestamp, Verdict, Walk,
};
use gomon_common::{Address, ContactFlag, Endpoint, Packet, protocol};
use proptest::prelude::*;

const BOT: Address = Address::v4([10, 0, 0, 5]);
const SECOND: i64 = 1_000_000_000;
const ANSWER_TIME: i64 = 3 * SECOND;

/// A try to reach an endpoint, and what comes of it.
#[derive(Clone, Debug)]
struct Try {
    time: i64,
    destination: Endpoint,
    /// Further tries, so much later.
    again: Vec<i64>,
    /// When, after the first one, it is answered.
    answers: Vec<i64>,
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    // Times of tries are whole microseconds, and answers come a nanosecond beside: no tie is to be
    // broken.
    let offsets = || prop::collection::vec(1i64..5_000_000, 0..3);
    let one = (0i64..20_000_000, 0u8..40, any::<bool>(), 0u16..2, offsets(), offsets());
    let one = one.prop_map(|(time, host, tcp, port, again, answers)| Try {
        time: time * 1000,
        destination: Endpoint::new(
            Address::v4([192, 0, 2, host]),
            if tcp { protocol::TCP } else { protocol::UDP },
            1 + port,
        ),
        again: again.into_iter().map(|offset| offset * 1000).collect(),
        answers: answers.into_iter().map(|offset| offset * 1000 + 1).collect(),
    });
    prop::collection::vec(one, 1..120)
}

/// The packets of these tries in the order of time, with one to the bot at the start.
fn packets(tries: &[Try]) -> Vec<(i64, Packet)> {
    let stray = Endpoint::new(BOT, protocol::ICMP, 0);
    let other = Address::v4([203, 0, 113, 1]);
    let stray = Packet { source: other, destination: stray, ..Packet::default() };
    let mut packets = vec![(0, stray)];
    for Try { time, destination, again, answers } in tries {
        let sent = |contact| Packet {
            source: BOT,
            destination: *destination,
            source_port: 9,
            contact,
            ..Packet::default()
        };
        packets.push((*time, sent(ContactFlag::ATTEMPT)));
        packets.extend(again.iter().map(|offset| (time + offset, sent(ContactFlag::ATTEMPT))));
        let answer = if destination.protocol() == protocol::TCP {
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
        packets.extend(answers.iter().map(|offset| (time + offset, answer)));
    }
    packets.sort_by_key(|(time, _)| *time);
    packets
}

fn policy(step: i64, panes: u32, fewest: u64) -> Policy {
    let step = Duration::from_nanos(step.unsigned_abs());
    Policy {
        window: step * panes,
        step,
        packet_threshold: 1e9,
        destination_threshold: 1e9,
        port_threshold: None,
        scan_mode: ScanMode::HostRate,
        sweep_hosts: Some(fewest),
        connections: false,
    }
}

/// The sweeps of each window, as a replay finds them.
fn found(policy: &Policy, packets: &[(i64, Packet)]) -> Vec<Vec<Sweep>> {
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
            engine.pane(tally.take(span), &mut |report| reports.push(report));
            engine.silence(span.end, panes - 1, &mut |report| reports.push(report));
        }
        tally.count(packet, 60, time);
    }
    engine.pane(tally.take(clock.pane()), &mut |report| reports.push(report));
    engine.finish(&mut |report| reports.push(report));
    let sweeps = reports.into_iter().map(|report| {
        let sweeps = report.verdicts.into_iter().filter_map(|verdict| {
            if let Verdict::Sweep { sweep, .. } = verdict { Some(sweep) } else { None }
        });
        sweeps.collect()
    });
    sweeps.collect()
}

/// The documentation, read naively.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn naive(policy: &Policy, packets: &[(i64, Packet)], fewest: u64) -> Vec<Vec<Sweep>> {
    let step = policy.step_nanoseconds();
    let last = packets.last().unwrap().0 / step;
    let mut first_tries: BTreeMap<Endpoint, i64> = BTreeMap::new();
    for (time, packet) in packets {
        if packet.source == BOT && packet.contact == ContactFlag::ATTEMPT {
            first_tries.entry(packet.destination).or_insert(*time);
        }
    }
    // The pane in which it comes out, and whether it is an answer.
    let mut outcomes: BTreeMap<i64, Vec<(Endpoint, bool)>> = BTreeMap::new();
    for (endpoint, tried) in first_tries {
        let answers = packets.iter().filter(|(time, packet)| {
            let after = time - tried;
            let is_answer = match endpoint.protocol() {
                protocol::TCP => {
                    packet.destination == endpoint && packet.contact == ContactFlag::ESTABLISHED
                }
                _ => packet.destination.address() == BOT && packet.origin() == endpoint,
            };
            is_answer && (0..ANSWER_TIME).contains(&after)
        });
        let answer = answers.map(|(time, _)| *time).next();
        let pane = answer.map_or((tried + ANSWER_TIME - 1).div_euclid(step), |time| time / step);
        outcomes.entry(pane).or_default().push((endpoint, answer.is_some()));
    }
    let mut walks: BTreeMap<(u8, u16), Walk> = BTreeMap::new();
    let panes = i64::try_from(policy.panes()).unwrap();
    let mut windows = Vec::new();
    for pane in 0..=last.max(panes - 1) {
        let outcomes_here = outcomes.get(&pane).cloned().unwrap_or_default();
        let service = |e: &Endpoint| (e.protocol(), e.port());
        let services: BTreeSet<_> = outcomes_here.iter().map(|(e, _)| service(e)).collect();
        // Panes that lie behind the last packet are not observed.
        for key in services.into_iter().filter(|_| pane <= last) {
            let own = || outcomes_here.iter().filter(|(e, _)| service(e) == key);
            let answered = own().filter(|(_, answered)| *answered).count();
            let unanswered = own().count() - answered;
            let walk = walks.entry(key).or_default();
            walk.answered += answered as u64;
            walk.unanswered += unanswered as u64;
            let moved = (unanswered as f64 - answered as f64) * 4_f64.ln();
            walk.score = (walk.score + moved).max(0.0);
        }
        if pane < panes - 1 {
            continue;
        }
        let mut sweeps = Vec::new();
        for (&(protocol, port), walk) in &walks {
            let in_window = outcomes.range(pane - panes + 1..=pane.min(last));
            let hosts = in_window.flat_map(|(_, outcomes)| outcomes);
            let hosts = hosts.filter(|(e, _)| service(e) == (protocol, port));
            let mut hosts: Vec<_> = hosts.map(|(e, _)| e.address()).collect();
            hosts.sort_unstable();
            let clear = walk.score > 99_f64.ln() && walk.contacts() >= fewest;
            if clear && !hosts.is_empty() {
                sweeps.push(Sweep { protocol, port, hosts, walk: *walk });
            }
        }
        windows.push(sweeps);
    }
    windows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_window_has_the_sweeps_that_the_documentation_says(
        tries in tries(),
        step in prop::sample::select(vec![SECOND / 10, SECOND, 2 * SECOND + 1000, 10 * SECOND]),
        panes in 1u32..4,
        fewest in 1u64..20,
    ) {
        let packets = packets(&tries);
        let policy = policy(step, panes, fewest);
        let (found, naive) = (found(&policy, &packets), naive(&policy, &packets, fewest));
        prop_assert_eq!(found.len(), naive.len());
        for (number, (found, naive)) in found.iter().zip(&naive).enumerate() {
            prop_assert_eq!(found.len(), naive.len(), "window {}: {:#?} {:#?}", number, found, naive);
            for (found, naive) in found.iter().zip(naive) {
                let rounded = Walk { score: naive.walk.score, ..found.walk };
                prop_assert!((found.walk.score - naive.walk.score).abs() < 1e-9);
                prop_assert_eq!(&Sweep { walk: rounded, ..found.clone() }, naive);
            }
        }
    }
}

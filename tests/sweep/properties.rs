//! Properties of the sequential test that hold for any traffic.

use gomon::core::{ContactTimes, Span, SweepDetector, SweepTest, Timestamp, WindowCounts};
use gomon_common::{Address, Endpoint, protocol};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;
const WINDOW: i64 = 30 * SECOND;
const SERVICE: (u8, u16) = (protocol::TCP, 23);
const MIN_CONTACTS: u64 = 12;

fn endpoint(number: u32) -> Endpoint {
    let [a, b, c] = [number / 40_000, number / 200 % 200, number % 200].map(|n| n.to_be_bytes()[3]);
    Endpoint::new(Address::v4([10 + a, b, c, 1]), protocol::TCP, 23)
}

/// Runs the test on windows of contacts, each answered or not, with attempts at the start of their window. Returns
/// the detector, and for each window the test if the port is swept.
fn run(windows: &[Vec<bool>]) -> (SweepDetector, Vec<Option<SweepTest>>) {
    let mut sweeps = SweepDetector::default();
    let mut start = Timestamp::from_nanoseconds(0);
    let mut number = 0;
    let mut swept = Vec::new();
    for window in windows {
        let span = Span::starting(start, WINDOW);
        let contacts = window.iter().map(|answered| {
            number += 1;
            (
                endpoint(number),
                ContactTimes::new(Some(start), answered.then_some(start.after(SECOND))),
            )
        });
        let counts = WindowCounts::empty(span).with_contacts(contacts.collect(), true);
        sweeps.add_pane(&counts);
        swept.push(sweeps.swept(SERVICE, MIN_CONTACTS));
        start = span.end;
    }
    (sweeps, swept)
}

fn score(windows: &[Vec<bool>]) -> f64 {
    run(windows).0.tests().first().map_or(0.0, |(_, test)| test.score)
}

fn windows() -> impl Strategy<Value = Vec<Vec<bool>>> {
    prop::collection::vec(prop::collection::vec(any::<bool>(), 0..8), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_unanswered_contact_never_lowers_the_score_and_an_answered_one_never_raises_it(
        windows in windows(), position in any::<prop::sample::Index>(),
    ) {
        let before = score(&windows);
        let mut unanswered = windows.clone();
        unanswered[position.index(windows.len())].push(false);
        prop_assert!(score(&unanswered) >= before);
        let mut answered = windows;
        let position = position.index(answered.len());
        answered[position].push(true);
        prop_assert!(score(&answered) <= before);
    }

    #[test]
    fn the_order_within_a_window_does_not_matter(windows in windows(), rotation in 0usize..8) {
        let mut rotated = windows.clone();
        for window in &mut rotated {
            let by = rotation.min(window.len());
            window.rotate_left(by);
        }
        prop_assert_eq!(run(&windows).1, run(&rotated).1);
    }

    #[test]
    fn a_bot_whose_hosts_all_answer_is_never_reported(
        windows in prop::collection::vec(0usize..300, 1..20),
    ) {
        let windows: Vec<_> = windows.into_iter().map(|hosts| vec![true; hosts]).collect();
        prop_assert!(run(&windows).1.iter().all(Option::is_none));
    }

    /// Answers at the beginning delay the report most, but no order of the thirty contacts prevents it.
    #[test]
    fn a_scanner_with_one_answer_in_six_is_reported_within_30_contacts(
        answered in prop::collection::btree_set(0usize..30, 0..=5), cut in 1usize..30,
    ) {
        let contacts: Vec<_> = (0..30).map(|n| answered.contains(&n)).collect();
        for windows in [
            contacts.iter().map(|answered| vec![*answered]).collect::<Vec<_>>(),
            contacts.chunks(cut).map(<[_]>::to_vec).collect(),
        ] {
            prop_assert!(run(&windows).1.iter().any(Option::is_some), "{windows:?}");
        }
    }
}

/// The test is statistical: it detects 99 of 100 scanners whose contacts are answered with a probability just
/// below 0.2. A window per contact makes the random walk most erratic.
#[test]
fn scanners_with_an_answer_rate_below_a_fifth_are_reported_within_30_contacts() {
    let mut state = 1_u64;
    let mut random = move || {
        // Knuth's MMIX linear congruential generator; its high bits are random enough here.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut scanners = 0;
    let mut clients = 0;
    for _ in 0..2000 {
        let mut windows = |percent_answered| -> Vec<_> {
            (0..30).map(|_| vec![random() % 100 < percent_answered]).collect()
        };
        scanners += u32::from(run(&windows(19)).1.iter().any(Option::is_some));
        clients += u32::from(run(&windows(95)).1.iter().any(Option::is_some));
    }
    assert!(scanners >= 1980, "{scanners} of 2000 scanners are reported");
    assert!(clients <= 2, "{clients} of 2000 clients with one dead host in twenty are reported");
}

/// A long series of answered contacts does not delay the detection of a later scan.
#[test]
fn earlier_answers_do_not_delay_detection() {
    let windows = [vec![vec![true; 100]; 50], vec![vec![false]; 4]].concat();
    let swept: Vec<_> = run(&windows).1.iter().map(Option::is_some).collect();
    assert_eq!(swept.iter().position(|swept| *swept), Some(53));
}

/// With one direction, TCP is judged and UDP is not. Once the other direction is visible, all UDP contacts that
/// were unanswered until then are judged.
#[test]
fn udp_is_judged_once_both_directions_are_visible() {
    let udp = (protocol::UDP, 161);
    let mut sweeps = SweepDetector::default();
    let pane = |number: i64, hosts: std::ops::Range<u8>, both| {
        let span = Span::starting(Timestamp::from_nanoseconds(number * WINDOW), WINDOW);
        let contacts = hosts.flat_map(|n| {
            let host = Address::v4([192, 0, 2, n]);
            [(protocol::UDP, 161), (protocol::TCP, 23)]
                .map(|(protocol, port)| Endpoint::new(host, protocol, port))
        });
        let contacts =
            contacts.map(|endpoint| (endpoint, ContactTimes::new(Some(span.start), None)));
        WindowCounts::empty(span).with_contacts(contacts.collect(), both)
    };
    sweeps.add_pane(&pane(0, 0..20, false));
    assert!(sweeps.is_one_directional());
    assert!(sweeps.swept(SERVICE, MIN_CONTACTS).is_some());
    assert_eq!(sweeps.swept(udp, MIN_CONTACTS), None);
    sweeps.add_pane(&pane(1, 20..21, true));
    assert!(!sweeps.is_one_directional());
    assert_eq!(sweeps.swept(udp, MIN_CONTACTS).map(|test| test.unanswered), Some(21));
}

//! What the test promises whatever the traffic: properties of the walks.

use gomon::core::{ContactTimes, Span, Sweeps, Timestamp, Walk, WindowCounts};
use gomon_common::{Address, Endpoint, protocol};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;
const WINDOW: i64 = 30 * SECOND;
const SERVICE: (u8, u16) = (protocol::TCP, 23);
const FEWEST: u64 = 12;

fn endpoint(number: u32) -> Endpoint {
    let [a, b, c] = [number / 40_000, number / 200 % 200, number % 200].map(|n| n.to_be_bytes()[3]);
    Endpoint::new(Address::v4([10 + a, b, c, 1]), protocol::TCP, 23)
}

/// Windows of contacts, each answered or not, each tried at the start of its window.
fn walk(windows: &[Vec<bool>]) -> (Sweeps, Vec<Option<Walk>>) {
    let mut sweeps = Sweeps::default();
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
        sweeps.pane(&counts);
        swept.push(sweeps.swept(SERVICE, FEWEST));
        start = span.end;
    }
    (sweeps, swept)
}

fn score(windows: &[Vec<bool>]) -> f64 {
    walk(windows).0.walks().next().map_or(0.0, |(_, walk)| walk.score)
}

fn windows() -> impl Strategy<Value = Vec<Vec<bool>>> {
    prop::collection::vec(prop::collection::vec(any::<bool>(), 0..8), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_unanswered_contact_more_never_lowers_the_score(
        windows in windows(), place in any::<prop::sample::Index>(),
    ) {
        let before = score(&windows);
        let mut more = windows.clone();
        more[place.index(windows.len())].push(false);
        prop_assert!(score(&more) >= before);
        let mut fewer = windows;
        let place = place.index(fewer.len());
        fewer[place].push(true);
        prop_assert!(score(&fewer) <= before);
    }

    #[test]
    fn the_order_within_a_window_does_not_matter(windows in windows(), turn in 0usize..8) {
        let mut turned = windows.clone();
        for window in &mut turned {
            let by = turn.min(window.len());
            window.rotate_left(by);
        }
        prop_assert_eq!(walk(&windows).1, walk(&turned).1);
    }

    #[test]
    fn a_bot_whose_hosts_all_answer_is_never_named(
        windows in prop::collection::vec(0usize..300, 1..20),
    ) {
        let windows: Vec<_> = windows.into_iter().map(|hosts| vec![true; hosts]).collect();
        prop_assert!(walk(&windows).1.iter().all(Option::is_none));
    }

    /// Answers that come first delay the name most, and nothing within the thirty prevents it.
    #[test]
    fn a_scanner_that_one_in_six_answer_is_named_within_30_contacts(
        answered in prop::collection::btree_set(0usize..30, 0..=5), cut in 1usize..30,
    ) {
        let contacts: Vec<_> = (0..30).map(|n| answered.contains(&n)).collect();
        for windows in [
            contacts.iter().map(|answered| vec![*answered]).collect::<Vec<_>>(),
            contacts.chunks(cut).map(<[_]>::to_vec).collect(),
        ] {
            prop_assert!(walk(&windows).1.iter().any(Option::is_some), "{windows:?}");
        }
    }
}

/// The test is one of chance: of a scanner to which a host answers with a probability just below 0.2
/// it promises to find 99 in 100. Each contact is judged alone, which leaves most to chance.
#[test]
fn a_scanner_with_an_answer_rate_below_a_fifth_is_named_within_30_contacts() {
    let mut state = 1_u64;
    let mut chance = move || {
        // Knuth's MMIX generator; its high bits are good enough to throw dice with.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut named = 0;
    let mut clients = 0;
    for _ in 0..2000 {
        let mut windows = |of_a_hundred| -> Vec<_> {
            (0..30).map(|_| vec![chance() % 100 < of_a_hundred]).collect()
        };
        named += u32::from(walk(&windows(19)).1.iter().any(Option::is_some));
        clients += u32::from(walk(&windows(95)).1.iter().any(Option::is_some));
    }
    assert!(named >= 1980, "{named} of 2000 scanners are named");
    assert!(clients <= 2, "{clients} of 2000 clients with one dead host in twenty are named");
}

/// A bot that behaved for long is named as soon as any other one.
#[test]
fn good_behaviour_buys_no_credit() {
    let windows = [vec![vec![true; 100]; 50], vec![vec![false]; 4]].concat();
    let swept: Vec<_> = walk(&windows).1.iter().map(Option::is_some).collect();
    assert_eq!(swept.iter().position(|swept| *swept), Some(53));
}

/// Of one direction alone, TCP is judged and UDP is not; once the other one shows, all that stayed
/// without an answer is.
#[test]
fn udp_waits_for_a_sign_of_the_other_direction() {
    let udp = (protocol::UDP, 161);
    let mut sweeps = Sweeps::default();
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
    sweeps.pane(&pane(0, 0..20, false));
    assert!(sweeps.is_one_sided());
    assert!(sweeps.swept(SERVICE, FEWEST).is_some());
    assert_eq!(sweeps.swept(udp, FEWEST), None);
    sweeps.pane(&pane(1, 20..21, true));
    assert!(!sweeps.is_one_sided());
    assert_eq!(sweeps.swept(udp, FEWEST).map(|walk| walk.unanswered), Some(21));
}

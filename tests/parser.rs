//! The header parser against what generated frames were built from, and against etherparse.

mod support;

use std::collections::BTreeMap;

use gomon::frame::FrameLink;
use gomon::source::replay::{Input, Reader};
use gomon::source::{Stop, quick};
use gomon_common::parse::Malformed;
use gomon_common::{ContactFlag, Flags, LinkType, Packet, Skip, parse_plain};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use support::generator::{self, Sample};
use support::{oracle, real};

const LINKS: [LinkType; 18] = [
    LinkType::Ethernet,
    LinkType::LinuxSll,
    LinkType::LinuxSll2,
    LinkType::Null,
    LinkType::Loop,
    LinkType::Raw,
    LinkType::Ipv4,
    LinkType::Ipv6,
    LinkType::Ppp,
    LinkType::PppSerial,
    LinkType::Pppoe,
    LinkType::CiscoHdlc,
    LinkType::FrameRelay,
    LinkType::Nflog,
    LinkType::Pktap,
    LinkType::Ieee80211,
    LinkType::Radiotap,
    LinkType::Ppi,
];

/// The parser; where a short cut of its has an answer too, it must be the same.
fn parse(link: LinkType, frame: &[u8]) -> Result<Packet, Skip> {
    let answer = gomon_common::parse(link, frame);
    if link == LinkType::Ethernet {
        if let Some(packet) = parse_plain(frame) {
            assert_eq!(Ok(packet), answer, "the kernel's short cut");
        }
        if let Some(packet) = quick::parse(frame) {
            let packet = packet.packet(quick::flags(frame, &packet));
            assert_eq!(Ok(packet), answer, "the short cut of replays");
        }
    }
    answer
}

/// Failures print the frame; there is nothing to keep in a file.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(6000))]

    #[test]
    fn finds_what_the_frame_was_built_from(sample in generator::strategy()) {
        prop_assert_eq!(parse(sample.link, &sample.frame[..]), sample.expected, "the parser");
        prop_assert_eq!(oracle::parse(sample.link, &sample.frame), sample.expected, "etherparse");
    }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn finds_what_is_left_of_a_frame_that_is_cut_off(sample in generator::strategy()) {
        for length in 0..=sample.frame.len() {
            let (captured, expected) = (&sample.frame[..length], sample.expected_of(length));
            prop_assert_eq!(parse(sample.link, captured), expected, "the parser, {} bytes", length);
            prop_assert_eq!(oracle::parse(sample.link, captured), expected, "etherparse, {}", length);
        }
        only_learns(sample.link, &sample.frame)?;
    }
}

proptest! {
    #![proptest_config(cases(6000))]

    #[test]
    fn agrees_with_etherparse_on_corrupted_frames(
        (link, frame) in generator::strategy().prop_flat_map(corrupted),
    ) {
        agrees(link, &frame)?;
    }

    #[test]
    fn agrees_with_etherparse_on_chains_of_headers(frame in chains()) {
        agrees(LinkType::Raw, &frame)?;
    }

    #[test]
    fn agrees_with_etherparse_on_random_bytes(
        link in select(&LINKS[..]),
        frame in vec(any::<u8>(), 0..120),
    ) {
        agrees(link, &frame)?;
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn only_learns_from_more_of_a_corrupted_frame(
        (link, frame) in generator::strategy().prop_flat_map(corrupted),
    ) {
        only_learns(link, &frame)?;
    }
}

/// The properties above say nothing of what is never generated.
#[test]
fn the_generator_reaches_every_outcome() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::<String, u32>::new();
    for _ in 0..4000 {
        let sample = generator::strategy().new_tree(&mut runner).expect("a plan").current();
        *seen.entry(format!("{:?}", sample.link)).or_default() += 1;
        *seen.entry(outcome(sample.expected)).or_default() += 1;
    }
    let skips = Malformed::ALL.map(|reason| format!("{reason:?}"));
    let links = LINKS.map(|link| format!("{link:?}"));
    let protocols = [0, 6, 17, 43, 44, 51, 60, 132].map(|protocol| format!("protocol {protocol}"));
    let ports = [6, 17, 132].map(|protocol| format!("protocol {protocol} with a port"));
    let rare: Vec<_> = [&links[..], &skips, &protocols, &ports, &["NotIp".to_owned()]]
        .concat()
        .into_iter()
        .filter(|what| seen.get(what).is_none_or(|&times| times < 10))
        .collect();
    assert!(rare.is_empty(), "seldom or never: {rare:?} in {seen:?}");
}

#[test]
#[expect(clippy::print_stdout, reason = "how much was compared is the result")]
fn agrees_with_etherparse_on_real_captures() {
    let mut frames = 0u64;
    let mut outcomes = BTreeMap::<String, u64>::new();
    let mut disagreements = Vec::new();
    for path in real::capture_files() {
        let input = Input::open(&path, Stop::default()).expect("the capture can be read");
        // What can't be read at all, for its link type, is no matter of the parser.
        let Ok(reader) = Reader::new(input) else { continue };
        let mut number = 0;
        // A damaged capture ends where the damage is.
        let _ = real::every_frame(reader, |frame| {
            number += 1;
            let FrameLink::Known(link) = frame.link else { return };
            let (ours, theirs) = (parse(link, frame.data), oracle::parse(link, frame.data));
            if ours != theirs {
                disagreements.push(format!("{} {number}: {ours:?} {theirs:?}", path.display()));
            }
            frames += 1;
            *outcomes.entry(outcome(ours)).or_default() += 1;
        });
    }
    println!("compared {frames} frames: {outcomes:?}");
    assert!(disagreements.is_empty(), "ours and etherparse's:\n{}", disagreements.join("\n"));
}

fn agrees(link: LinkType, frame: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(parse(link, frame), oracle::parse(link, frame));
    Ok(())
}

/// With more of a frame captured, a packet stays the same packet, and a port that is known stays known.
fn only_learns(link: LinkType, frame: &[u8]) -> Result<(), TestCaseError> {
    let mut before: Option<Packet> = None;
    for length in 0..=frame.len() {
        let now = parse(link, &frame[..length]);
        if let Some(before) = before {
            prop_assert!(now.is_ok(), "{before:?} is lost with {length} bytes: {now:?}");
        }
        if let (Some(before), Ok(now)) = (before, now) {
            prop_assert_eq!(before.source, now.source);
            prop_assert_eq!(before.destination.address(), now.destination.address());
            let contact =
                if before.contact == ContactFlag::NONE { before.contact } else { now.contact };
            let flags = if before.flags == Flags::NONE { before.flags } else { now.flags };
            let now = Packet { contact, flags, ..now };
            prop_assert!(before.destination.port() == 0 || before == now, "{before:?} {now:?}");
        }
        before = now.ok();
    }
    Ok(())
}

/// Some bytes of a frame changed, most of them in its headers, and sometimes its end cut off.
fn corrupted(sample: Sample) -> impl Strategy<Value = (LinkType, Vec<u8>)> {
    let length = sample.frame.len();
    let place = prop_oneof![
        2 => any::<Index>().prop_map(move |index| index.index(length.clamp(1, 64))),
        1 => any::<Index>().prop_map(move |index| index.index(length.max(1))),
    ];
    let change = prop_oneof![1 => 1..=255u8, 1 => (0..8u32).prop_map(|bit| 1 << bit)];
    let cut = prop::option::weighted(0.2, 0..=length);
    (Just(sample), vec((place, change), 1..6), cut).prop_map(|(mut sample, changes, cut)| {
        for (place, change) in changes {
            if let Some(byte) = sample.frame.get_mut(place) {
                *byte ^= change;
            }
        }
        sample.frame.truncate(cut.unwrap_or(usize::MAX));
        (sample.link, sample.frame)
    })
}

/// IP packets whose every byte may be the number of the next header, or a length that fits.
fn chains() -> impl Strategy<Value = Vec<u8>> {
    let byte = select(&[0, 0, 0, 1, 2, 4, 6, 17, 43, 44, 51, 58, 59, 60, 132, 255][..]);
    let first = select(&[0x45, 0x46, 0x60, 0x60, 0x60, 0x60][..]);
    (first, vec(byte, 19..200)).prop_map(|(first, rest)| [&[first], &rest[..]].concat())
}

fn outcome(found: Result<Packet, Skip>) -> String {
    match found {
        Err(Skip::NotIp) => "NotIp".to_owned(),
        Err(Skip::Malformed(reason)) => format!("{reason:?}"),
        Ok(Packet { destination, .. }) => {
            let port = if destination.port() == 0 { "" } else { " with a port" };
            format!("protocol {}{port}", destination.protocol())
        }
    }
}

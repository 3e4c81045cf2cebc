//! The header parsers on generated, corrupted and real frames, compared with the plan of the generator, with
//! etherparse, and with each other.

mod support;

use std::collections::BTreeMap;

use gomon::frame::FrameLink;
use gomon::source::Stop;
use gomon::source::replay::{Input, Reader};
use gomon_common::parse::Malformed;
use gomon_common::{ContactFlag, Flags, LinkType, Packet, Skip, V4Packet, parse_plain};
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

/// Parses a frame with the general parser. If a shortcut returns a packet, it must be the same.
fn parse(link: LinkType, frame: &[u8]) -> Result<Packet, Skip> {
    let parsed = gomon_common::parse(link, frame);
    if link == LinkType::Ethernet {
        if let Some(packet) = parse_plain(frame) {
            assert_eq!(Ok(packet), parsed, "parse_plain");
        }
        if let Some(packet) = V4Packet::parse(frame) {
            let packet = packet.packet(packet.flags(frame));
            assert_eq!(Ok(packet), parsed, "V4Packet::parse");
        }
    }
    parsed
}

/// A failure prints the frame, so no regression file is kept.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(6000))]

    #[test]
    fn finds_the_packet_that_the_frame_was_built_from(sample in generator::strategy()) {
        prop_assert_eq!(parse(sample.link, &sample.frame[..]), sample.expected, "the parser");
        prop_assert_eq!(oracle::parse(sample.link, &sample.frame), sample.expected, "etherparse");
    }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn finds_what_is_left_of_a_truncated_frame(sample in generator::strategy()) {
        for length in 0..=sample.frame.len() {
            let (captured, expected) = (&sample.frame[..length], sample.expected_of(length));
            prop_assert_eq!(parse(sample.link, captured), expected, "the parser, {} bytes", length);
            prop_assert_eq!(oracle::parse(sample.link, captured), expected, "etherparse, {}", length);
        }
        only_adds(sample.link, &sample.frame)?;
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
    fn a_longer_capture_of_a_corrupted_frame_only_adds(
        (link, frame) in generator::strategy().prop_flat_map(corrupted),
    ) {
        only_adds(link, &frame)?;
    }
}

/// Checks that the properties above cover every outcome.
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
    assert!(rare.is_empty(), "rare or missing: {rare:?} in {seen:?}");
}

#[test]
#[expect(clippy::print_stdout, reason = "the number of compared frames is a result")]
fn agrees_with_etherparse_on_real_captures() {
    let mut frames = 0u64;
    let mut outcomes = BTreeMap::<String, u64>::new();
    let mut disagreements = Vec::new();
    for path in real::capture_files() {
        let input = Input::open(&path, Stop::default()).expect("the capture can be read");
        // A capture with an unsupported link type can't be read.
        let Ok(reader) = Reader::new(input) else { continue };
        let mut number = 0;
        // A damaged capture is read up to the damage.
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

/// Checks that with more captured bytes a packet stays the same packet, and a port that was found stays found.
fn only_adds(link: LinkType, frame: &[u8]) -> Result<(), TestCaseError> {
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

/// Changes some bytes of a frame, most of them in its headers, and sometimes truncates it.
fn corrupted(sample: Sample) -> impl Strategy<Value = (LinkType, Vec<u8>)> {
    let length = sample.frame.len();
    let offset = prop_oneof![
        2 => any::<Index>().prop_map(move |index| index.index(length.clamp(1, 64))),
        1 => any::<Index>().prop_map(move |index| index.index(length.max(1))),
    ];
    let change = prop_oneof![1 => 1..=255u8, 1 => (0..8u32).prop_map(|bit| 1 << bit)];
    let cut = prop::option::weighted(0.2, 0..=length);
    (Just(sample), vec((offset, change), 1..6), cut).prop_map(|(mut sample, changes, cut)| {
        for (offset, change) in changes {
            if let Some(byte) = sample.frame.get_mut(offset) {
                *byte ^= change;
            }
        }
        sample.frame.truncate(cut.unwrap_or(usize::MAX));
        (sample.link, sample.frame)
    })
}

/// Generates IP packets of bytes that are likely numbers of next headers, or valid lengths.
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

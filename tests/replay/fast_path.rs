//! The three tiers of counting (`gomon/src/source/counting.rs`) give the same counts: cached, plain IPv4, general.
//!
//! Frames are counted in each tier directly, and in whole replays. A replay counts Ethernet frames in the first
//! tier that takes them. The same packets after the link header of a cooked capture are counted in the general
//! tier.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::Path;

use gomon::core::{PacketFilter, PaneClock, Prefix, Sources, Span, Tally, Timestamp, WindowCounts};
use gomon::frame::{Frame, FrameLink, RemoteHosts};
use gomon::source::replay::{Input, Reader, Replay};
use gomon::source::{PacketSink, PaneSink, Stop};
use gomon_common::{Address, LinkType, V4Packet, parse};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::support::capture::{Captured, Classic, PLAIN, at, pcap};
use crate::support::program::Scratch;
use crate::support::{frames, real};

/// The latest timestamp of a pcap file, in nanoseconds.
const LATEST: u64 = 4_294_967_295_000_000_000;
/// The length of a pane, in nanoseconds.
const PANE: i64 = 1_000_000_000;

/// Records the output of a replay.
#[derive(Debug, Default, PartialEq)]
struct Panes {
    counts: Vec<WindowCounts>,
    silences: Vec<(Timestamp, u64)>,
    frames: u64,
}

impl PacketSink for Panes {
    fn needs_packets(&self) -> bool {
        false
    }

    fn packet(&mut self, _: RemoteHosts, _: &Frame<'_>) {}
}

impl PaneSink for Panes {
    fn pane(&mut self, counts: WindowCounts) -> ControlFlow<()> {
        self.counts.push(counts);
        ControlFlow::Continue(())
    }

    fn silence(&mut self, start: Timestamp, panes: u64) -> ControlFlow<()> {
        self.silences.push((start, panes));
        ControlFlow::Continue(())
    }

    fn packets_lost(&mut self, _: u64) {}

    fn progress(&mut self, frames: u64, _: u64) {
        self.frames = frames;
    }
}

/// A tally that counts what `bot` sends, except to one host.
fn tally(bot: IpAddr, capacity: usize) -> Tally {
    let sources = Sources::Bot { first: bot.into(), others: vec![] };
    let ignored = Prefix::host(frames::ip("192.0.2.3").into());
    Tally::new(PacketFilter::new(sources, vec![ignored]), capacity)
}

fn replay(path: &Path, bot: IpAddr, capacity: usize) -> Panes {
    let input = Input::open(path, Stop::default()).expect("it is there");
    let reader = Reader::new(input).expect("a capture");
    let mut panes = Panes::default();
    let replay = Replay::new(PaneClock::new(PANE, PANE), tally(bot, capacity));
    replay.run(reader, &Stop::default(), &mut panes).expect("a valid capture");
    panes
}

/// Replays the same packets as Ethernet frames, and as frames of a cooked capture.
fn ethernet_and_cooked(captured: &[Captured], bot: IpAddr, capacity: usize) -> [Panes; 2] {
    let cooked: Vec<_> = captured
        .iter()
        .map(|frame| {
            // 14 bytes that are not read, and the EtherType.
            let mut data = vec![0; 14];
            data.extend(frame.data.get(12..).unwrap_or_default());
            Captured { data, ..*frame }
        })
        .collect();
    let scratch = Scratch::new();
    let ethernet = scratch.file("ethernet.pcap", &pcap(PLAIN, captured));
    let cooked = scratch.file("cooked.pcap", &pcap(Classic { link: 113, ..PLAIN }, &cooked));
    [ethernet, cooked].map(|path| replay(&path, bot, capacity))
}

/// The tiers, the first that may take a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Cached,
    PlainV4,
    General,
}

/// Counts an Ethernet frame in `first` or in a later tier, the first of those that takes it, and returns which.
fn count(tally: &mut Tally, frame: &Captured, first: Tier) -> Tier {
    let time = Timestamp::from_nanoseconds(frame.time.try_into().expect("a time"));
    if first <= Tier::PlainV4
        && let Some(packet) = V4Packet::parse(&frame.data)
    {
        if first == Tier::Cached && tally.try_count_cached(&packet, frame.length, time) {
            return Tier::Cached;
        }
        tally.count_v4(&packet, frame.length, time);
        return Tier::PlainV4;
    }
    match parse(LinkType::Ethernet, &frame.data[..]) {
        Ok(packet) => tally.count(&packet, frame.length, time),
        Err(skip) => tally.skip(skip),
    }
    Tier::General
}

/// Counts frames pane by pane, from each tier on. Returns the counts, and how many frames each tier took.
fn from_each_tier(
    captured: &[Captured],
    bot: IpAddr,
    capacity: usize,
) -> [(Vec<WindowCounts>, BTreeMap<Tier, u64>); 3] {
    [Tier::Cached, Tier::PlainV4, Tier::General].map(|first| {
        let mut tally = tally(bot, capacity);
        let mut taken = BTreeMap::new();
        let mut counts = Vec::new();
        for pane in captured.chunks(100) {
            for frame in pane {
                *taken.entry(count(&mut tally, frame, first)).or_default() += 1;
            }
            let start = pane.first().map_or(0, |frame| frame.time);
            let start = Timestamp::from_nanoseconds(start.try_into().expect("a time"));
            counts.push(tally.close_pane(Span::starting(start, PANE)));
        }
        (counts, taken)
    })
}

/// Generates frames between few hosts, most of them plain, and some of every other kind.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let host = (0u8..5).prop_map(|n| IpAddr::from([192, 0, 2, n]));
    let packet = (0u8..4, host.clone(), host, 1u16..6, 0usize..30, any::<prop::sample::Index>());
    packet.prop_map(|(kind, source, destination, port, payload, cut)| {
        let mut frame = match kind {
            0 => frames::udp(source, destination, port, payload),
            1 => frames::syn(source, destination, port),
            2 => frames::ack(source, destination, port),
            _ => frames::ip_packet(source, destination, 132, &vec![0; payload]),
        };
        // A few are truncated, or have an IPv4 option or a fragment offset.
        match cut.index(20) {
            0 => frame.truncate(1 + cut.index(frame.len())),
            1 => frame[14] = 0x46,
            2 => frame[21] = 1,
            _ => {}
        }
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_tiers_give_the_same_counts(
        frames in prop::collection::vec((frame(), 0u64..60_000_000, 0u8..50), 0..300),
        capacity in 1usize..30,
    ) {
        let mut offset = 0;
        let captured: Vec<_> = frames.into_iter().map(|(data, step, leap)| {
            offset += step;
            // Late, far ahead, or regular.
            let offset = match leap {
                0 => offset / 2,
                1 => offset + 5_000_000_000_000,
                _ => offset,
            };
            at(offset, data)
        }).collect();
        let bot = frames::ip("192.0.2.0");
        let [ethernet, cooked] = ethernet_and_cooked(&captured, bot, capacity);
        prop_assert_eq!(&ethernet, &cooked);
        prop_assert_eq!(ethernet.frames, captured.len() as u64);
        let [(cached, _), (plain_v4, _), (general, taken)] = from_each_tier(&captured, bot, capacity);
        prop_assert_eq!(&cached, &general);
        prop_assert_eq!(&plain_v4, &general);
        prop_assert_eq!(taken.get(&Tier::General).copied().unwrap_or(0), captured.len() as u64);
    }
}

/// The property above compares the tiers only if the generated frames reach all of them.
#[test]
fn generated_frames_reach_every_tier() {
    let mut runner = TestRunner::deterministic();
    let captured: Vec<_> = (0..1000)
        .map(|n| at(n * 1000, frame().new_tree(&mut runner).expect("a frame").current()))
        .collect();
    let [(_, taken), ..] = from_each_tier(&captured, frames::ip("192.0.2.0"), 30);
    let reached = [Tier::Cached, Tier::PlainV4, Tier::General]
        .map(|tier| taken.get(&tier).copied().unwrap_or(0));
    assert!(reached.iter().all(|frames| *frames > 100), "{taken:?}");
}

#[test]
fn all_tiers_give_the_same_counts_of_real_captures() {
    let mut compared = 0;
    for path in real::capture_files() {
        let input = Input::open(&path, Stop::default()).expect("it is there");
        let Ok(reader) = Reader::new(input) else { continue };
        let (mut captured, mut senders) = (Vec::new(), BTreeMap::<Address, u64>::new());
        // A damaged capture is read up to the damage.
        let _ = real::every_frame(reader, |frame| {
            let time = frame.time.map_or(0, |time| u64::try_from(time.nanoseconds()).unwrap_or(0));
            let is_ethernet = frame.link == FrameLink::Known(LinkType::Ethernet);
            // A cooked capture has no LLC frames.
            let is_llc = frame.data.get(12).is_some_and(|high| *high < 6);
            if !is_ethernet || is_llc || time > LATEST {
                return;
            }
            captured.push(Captured { time, data: frame.data.to_vec(), length: frame.length });
            if let Ok(packet) = parse(LinkType::Ethernet, frame.data) {
                *senders.entry(packet.source).or_default() += 1;
            }
        });
        let mut senders: Vec<_> = senders.into_iter().collect();
        senders.sort_by_key(|(_, packets)| std::cmp::Reverse(*packets));
        for (sender, packets) in senders.into_iter().take(2) {
            let [ethernet, cooked] = ethernet_and_cooked(&captured, sender.ip(), 1024);
            assert!(ethernet == cooked, "{} from {sender}", path.display());
            let [(cached, _), (plain_v4, _), (general, _)] =
                from_each_tier(&captured, sender.ip(), 1024);
            assert!(cached == general, "{} from {sender}", path.display());
            assert!(plain_v4 == general, "{} from {sender}", path.display());
            compared += packets;
        }
    }
    println!("{compared} packets of real captures compared");
}

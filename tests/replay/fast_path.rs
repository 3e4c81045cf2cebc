//! The fast path of a replay against the way everything else goes: the same panes.
//!
//! Only frames that start with an Ethernet header take the fast path, so the same packets behind the header
//! of a cooked capture are counted by the slow one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::Path;

use gomon::core::{PacketFilter, PaneClock, Prefix, Sources, Tally, Timestamp, WindowCounts};
use gomon::frame::{Frame, FrameLink, RemoteHosts};
use gomon::source::replay::{Input, Reader, Replay};
use gomon::source::{PaneSink, Stop};
use gomon_common::{Address, LinkType, parse};
use proptest::prelude::*;

use crate::support::capture::{Captured, Classic, PLAIN, at, pcap};
use crate::support::program::Scratch;
use crate::support::{frames, real};

/// The latest time a pcap file can say, in nanoseconds.
const LATEST: u64 = 4_294_967_295_000_000_000;

/// Everything a replay tells of what it counts.
#[derive(Debug, Default, PartialEq)]
struct Panes {
    counts: Vec<WindowCounts>,
    silences: Vec<(Timestamp, u64)>,
    frames: u64,
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

    fn wants_packets(&self) -> bool {
        false
    }

    fn packet(&mut self, _: RemoteHosts, _: &Frame<'_>) {}
    fn packets_lost(&mut self, _: u64) {}

    fn progress(&mut self, frames: u64, _: u64) {
        self.frames = frames;
    }
}

fn replay(path: &Path, bot: IpAddr, capacity: usize) -> Panes {
    let input = Input::open(path, Stop::default()).expect("it is there");
    let reader = Reader::new(input).expect("a capture");
    let sources = Sources::Bot { first: bot.into(), others: vec![] };
    let ignored = Prefix::host(frames::ip("192.0.2.3").into());
    let selection = PacketFilter::new(sources, vec![ignored]);
    let clock = PaneClock::new(1_000_000_000, 1_000_000_000);
    let mut panes = Panes::default();
    let replay = Replay::new(clock, Tally::new(selection, capacity));
    replay.run(reader, &Stop::default(), &mut panes).expect("a sound capture");
    panes
}

/// What is counted of the same packets by the fast path, and by the slow one.
fn both(captured: &[Captured], bot: IpAddr, capacity: usize) -> [Panes; 2] {
    let cooked: Vec<_> = captured
        .iter()
        .map(|frame| {
            // 14 bytes of which nothing is read, and the Ethernet type.
            let mut data = vec![0; 14];
            data.extend(frame.data.get(12..).unwrap_or_default());
            Captured { data, ..*frame }
        })
        .collect();
    let scratch = Scratch::new();
    let quick = scratch.file("ethernet.pcap", &pcap(PLAIN, captured));
    let slow = scratch.file("cooked.pcap", &pcap(Classic { link: 113, ..PLAIN }, &cooked));
    [quick, slow].map(|path| replay(&path, bot, capacity))
}

/// A frame between few hosts: some come often, and everything else comes too.
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
        // Now and then cut short, or an option or a fragment's offset put in.
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
    fn counts_what_the_slow_path_counts(
        frames in prop::collection::vec((frame(), 0u64..60_000_000, 0u8..50), 0..300),
        capacity in 1usize..30,
    ) {
        let mut offset = 0;
        let captured: Vec<_> = frames.into_iter().map(|(data, step, leap)| {
            offset += step;
            // Late, far ahead, or where it belongs.
            let offset = match leap {
                0 => offset / 2,
                1 => offset + 5_000_000_000_000,
                _ => offset,
            };
            at(offset, data)
        }).collect();
        let [quick, slow] = both(&captured, frames::ip("192.0.2.0"), capacity);
        prop_assert_eq!(&quick, &slow);
        prop_assert_eq!(quick.frames, captured.len() as u64);
    }
}

#[test]
fn counts_real_captures_as_the_slow_path_does() {
    let mut compared = 0;
    for path in real::capture_files() {
        let input = Input::open(&path, Stop::default()).expect("it is there");
        let Ok(reader) = Reader::new(input) else { continue };
        let (mut captured, mut senders) = (Vec::new(), BTreeMap::<Address, u64>::new());
        // Up to where it is damaged, if it is.
        let _ = real::every_frame(reader, |frame| {
            let time = frame.time.map_or(0, |time| u64::try_from(time.nanoseconds()).unwrap_or(0));
            let is_ethernet = frame.link == FrameLink::Known(LinkType::Ethernet);
            // In a cooked capture there is no LLC.
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
            let [quick, slow] = both(&captured, sender.ip(), 1024);
            assert!(quick == slow, "{} from {sender}", path.display());
            compared += packets;
        }
    }
    println!("{compared} packets of real captures compared");
}

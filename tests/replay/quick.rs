//! The fast path of a replay against the way everything else goes: the same panes.
//!
//! Where packets are wanted for artifacts no frame takes the fast path, so a receiver that wants them, and
//! throws them away, is told what the slow path counts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::Path;

use gomon::core::{Clock, Selection, Sources, Tally, Timestamp, WindowCounts};
use gomon::frame::Frame;
use gomon::source::replay::{Input, Reader, Replay};
use gomon::source::{Receiver, Stop};
use gomon_common::{Address, LinkType, parse};
use proptest::prelude::*;

use crate::support::capture::{PLAIN, at, pcap};
use crate::support::program::Scratch;
use crate::support::{frames, real};

/// Everything a replay tells of what it counts.
#[derive(Debug, Default, PartialEq)]
struct Panes {
    counts: Vec<WindowCounts>,
    silences: Vec<(Timestamp, u64)>,
    frames: u64,
    error: Option<String>,
}

struct Listener {
    panes: Panes,
    wants_packets: bool,
}

impl Receiver for Listener {
    fn pane(&mut self, counts: WindowCounts) -> ControlFlow<()> {
        self.panes.counts.push(counts);
        ControlFlow::Continue(())
    }

    fn silence(&mut self, start: Timestamp, panes: u64) -> ControlFlow<()> {
        self.panes.silences.push((start, panes));
        ControlFlow::Continue(())
    }

    fn wants_packets(&self) -> bool {
        self.wants_packets
    }

    fn packet(&mut self, _: Address, _: bool, _: &Frame<'_>) {}
    fn packets_lost(&mut self, _: u64) {}

    fn progress(&mut self, frames: u64, _: u64) {
        self.panes.frames = frames;
    }
}

fn replay(path: &Path, bot: IpAddr, capacity: usize, slowly: bool) -> Panes {
    let input = Input::open(path, Stop::default()).expect("it is there");
    let reader = Reader::new(input).expect("a capture");
    let sources = Sources::Bot { first: bot.into(), others: vec![] };
    let ignored = Address::from(frames::ip("192.0.2.3"));
    let selection = Selection::new(sources, vec![(ignored, ignored)]);
    let clock = Clock::new(1_000_000_000, 1_000_000_000);
    let mut listener = Listener { panes: Panes::default(), wants_packets: slowly };
    let outcome = Replay::new(clock, Tally::new(selection, capacity)).run(
        reader,
        &Stop::default(),
        &mut listener,
    );
    Panes { error: outcome.err().map(|error| format!("{error:#}")), ..listener.panes }
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
            0 => frame.truncate(cut.index(frame.len())),
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
        let scratch = Scratch::new();
        let path = scratch.file("some.pcap", &pcap(PLAIN, &captured));
        let bot = frames::ip("192.0.2.0");
        let quick = replay(&path, bot, capacity, false);
        prop_assert_eq!(&quick, &replay(&path, bot, capacity, true));
        prop_assert_eq!(quick.frames, captured.len() as u64);
    }
}

#[test]
fn counts_real_captures_as_the_slow_path_does() {
    for path in real::capture_files() {
        let input = Input::open(&path, Stop::default()).expect("it is there");
        let Ok(reader) = Reader::new(input) else { continue };
        let mut senders = BTreeMap::<Address, u64>::new();
        // Up to where it is damaged, if it is.
        let _ = real::every_frame(reader, |frame| {
            if let Ok(packet) = parse(LinkType::Ethernet, frame.data) {
                *senders.entry(packet.source).or_default() += 1;
            }
        });
        let mut senders: Vec<_> = senders.into_iter().collect();
        senders.sort_by_key(|(_, packets)| std::cmp::Reverse(*packets));
        for (sender, _) in senders.into_iter().take(2) {
            let [quick, slow] = [false, true].map(|slow| replay(&path, sender.ip(), 1024, slow));
            assert!(quick == slow, "{} from {sender}", path.display());
        }
    }
}

//! The packets that are reread through the index of a capture are those that were counted, pane by pane: in files and
//! streams, of pcapng captures with several sections, byte orders and interfaces.

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::thread;

use gomon::core::{PacketFilter, PaneClock, Sources, Tally, Timestamp, WindowCounts};
use gomon::frame::{Frame, RemoteHosts};
use gomon::source::replay::{Input, Reader, Replay, Rereader};
use gomon::source::{PacketSink, PaneSink, Stop};
use gomon_common::Address;
use proptest::prelude::*;

use crate::BOT;
use crate::support::capture::{Pcapng, SECOND, START};
use crate::support::frames::{ip, udp, without_ethernet};
use crate::support::program::Scratch;

/// A packet of a pane: a remote host, and its time, length on the wire, and bytes.
type PanePacket = (Address, Timestamp, u32, Vec<u8>);

/// Rereads each pane when it is closed, and compares it with the packets passed on, if it `needs_packets`.
struct Comparison {
    rereader: Rereader,
    filter: PacketFilter,
    needs_packets: bool,
    latest: Timestamp,
    open: Vec<PanePacket>,
    panes: Vec<Vec<PanePacket>>,
}

impl PacketSink for Comparison {
    fn needs_packets(&self) -> bool {
        self.needs_packets
    }

    fn packet(&mut self, hosts: RemoteHosts, frame: &Frame<'_>) {
        self.latest = frame.time.unwrap_or(self.latest);
        let mut hosts: Vec<_> = hosts.iter().map(|host| host.address).collect();
        hosts.reverse();
        let packet = |host| (host, self.latest, frame.length, frame.data.to_vec());
        self.open.extend(hosts.into_iter().map(packet));
    }
}

impl PaneSink for Comparison {
    fn pane(&mut self, _: WindowCounts) -> ControlFlow<()> {
        let mut packets = Vec::new();
        let mut last = u64::MAX;
        let reread = self.rereader.visit_closed_pane(&self.filter, &mut |position, host, frame| {
            assert!(position <= last, "from the last to the first");
            last = position;
            packets.push((host, frame.time.unwrap(), frame.length, frame.data.to_vec()));
            ControlFlow::Continue(())
        });
        reread.unwrap();
        packets.reverse();
        if self.needs_packets {
            assert_eq!(packets, std::mem::take(&mut self.open), "pane {}", self.panes.len());
        }
        self.panes.push(packets);
        ControlFlow::Continue(())
    }

    fn silence(&mut self, _: Timestamp, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn packets_lost(&mut self, _: u64) {}
    fn progress(&mut self, _: u64, _: u64) {}
}

/// Returns the packets of each pane of `input`, reread.
fn reread(input: Input, needs_packets: bool, bot: &Sources) -> Vec<Vec<PanePacket>> {
    let filter = || PacketFilter::new(bot.clone(), vec![]);
    let mut reader = Reader::new(input).unwrap();
    // A capture that is damaged before its first frame has nothing to reread.
    let Some(rereader) = reader.take_rereader(100) else { return vec![] };
    let (latest, open, panes) = (Timestamp::default(), vec![], vec![]);
    let mut sink = Comparison { rereader, filter: filter(), needs_packets, latest, open, panes };
    let window = 1_000_000_000;
    let replay = Replay::new(PaneClock::new(window, window), Tally::new(filter(), 100));
    // Damage ends the run, and the last pane is still closed.
    let _ = replay.run(reader, &Stop::default(), &mut sink);
    sink.panes
}

/// Rereads a capture from a file and from a stream, with and without the fast path. Returns the panes.
fn reread_everywhere(bytes: &[u8], bot: &Sources) -> Vec<Vec<PanePacket>> {
    let scratch = Scratch::new();
    let path = scratch.file("in.pcapng", bytes);
    let file =
        |needs_packets| reread(Input::open(&path, Stop::default()).unwrap(), needs_packets, bot);
    let stream = |needs_packets| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let bytes = bytes.to_vec();
        // A run ends at damage, before the end of the stream.
        let feeder = thread::spawn(move || drop(writer.write_all(&bytes)));
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        let panes = reread(Input::from_file(file, Stop::default()).unwrap(), needs_packets, bot);
        feeder.join().unwrap();
        panes
    };
    let panes = file(true);
    for other in [file(false), stream(true), stream(false)] {
        assert_eq!(panes, other);
    }
    panes
}

/// A part of a generated capture.
#[derive(Clone, Debug)]
enum Part {
    /// A section in this byte order, with interfaces of these resolutions, of raw IP or Ethernet.
    Section(bool, Vec<(bool, u8)>),
    /// An interface that is described after packets of others.
    Interface(bool, u8),
    /// Kind of block, interface, host, direction, payload, and nanoseconds since the packet before it.
    Packet(u8, usize, u8, bool, usize, u64),
    /// A packet that is not IP.
    NotIp(u8, usize, u64),
    /// A block without a packet.
    Other(usize),
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let interface = || (prop::bool::weighted(0.3), prop::sample::select(vec![3u8, 6, 9]));
    let step = || prop_oneof![4 => 0u64..SECOND / 5, 1 => 0u64..3 * SECOND];
    let kind = || prop_oneof![8 => Just(0u8), 1 => Just(1), 1 => Just(2)];
    let part = prop_oneof![
        1 => (any::<bool>(), prop::collection::vec(interface(), 1..3))
            .prop_map(|(big_endian, interfaces)| Part::Section(big_endian, interfaces)),
        1 => interface().prop_map(|(is_raw, resolution)| Part::Interface(is_raw, resolution)),
        20 => (kind(), 0usize..3, 0u8..6, any::<bool>(), 0usize..40, step())
            .prop_map(|(kind, n, host, sent, payload, step)| Part::Packet(kind, n, host, sent, payload, step)),
        2 => (kind(), 0usize..3, step()).prop_map(|(kind, n, step)| Part::NotIp(kind, n, step)),
        2 => (0usize..200).prop_map(Part::Other),
    ];
    prop::collection::vec(part, 0..120)
}

/// Builds a capture with these parts. With `filler`, blocks without packets make it so long that it is read in many
/// pieces.
fn capture(parts: &[Part], filler: usize) -> Vec<u8> {
    let link = |is_raw| if is_raw { 101 } else { 1 };
    let mut file = Pcapng::new(false);
    let mut interfaces = vec![(false, 9)];
    file.interface(1, 9, 0);
    let mut now = START;
    for part in parts {
        match part {
            Part::Section(big_endian, described) => {
                file.section_in(*big_endian);
                interfaces.clone_from(described);
                for (is_raw, resolution) in described {
                    file.interface(link(*is_raw), *resolution, 0);
                }
            }
            Part::Interface(is_raw, resolution) => {
                interfaces.push((*is_raw, *resolution));
                file.interface(link(*is_raw), *resolution, 0);
            }
            Part::Other(bytes) => drop(file.block(5, &vec![6; *bytes + filler])),
            Part::Packet(kind, n, .., step) | Part::NotIp(kind, n, step) => {
                now += step;
                // A simple packet is of the first interface.
                let n = if *kind == 2 { 0 } else { n % interfaces.len() };
                let (is_raw, resolution) = interfaces[n];
                let frame = match part {
                    Part::Packet(_, _, host, sent, payload, _) => {
                        let (bot, host) = (ip(BOT), IpAddr::from([192, 0, 2, *host]));
                        let (from, to) = if *sent { (bot, host) } else { (host, bot) };
                        udp(from, to, 80, *payload)
                    }
                    Part::Section(..) | Part::Interface(..) | Part::NotIp(..) | Part::Other(_) => {
                        vec![0xff; 20]
                    }
                };
                let frame = if is_raw { without_ethernet(&frame) } else { frame };
                let ticks = now / 10u64.pow(9 - u32::from(resolution));
                match kind {
                    0 => file.packet(u32::try_from(n).unwrap(), ticks, &frame),
                    1 => file.obsolete_packet(u16::try_from(n).unwrap(), ticks, &frame),
                    _ => file.simple_packet(&frame),
                };
            }
        }
    }
    file.bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packets_that_are_reread_are_those_that_were_counted(
        parts in parts(),
        filler in prop_oneof![3 => Just(0usize), 1 => 0usize..100_000],
        any in any::<bool>(),
        truncated in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = capture(&parts, filler);
        if let Some(length) = truncated {
            bytes.truncate(length.index(bytes.len()));
        }
        let first = Address::from(ip(BOT));
        let bot = if any { Sources::Any } else { Sources::Bot { first, others: vec![] } };
        reread_everywhere(&bytes, &bot);
    }
}

/// Times are those of the last packet before, whether it is in the same range, in the same window, or held back.
#[test]
fn packets_without_a_timestamp_have_the_time_of_the_packet_before_them() {
    let frame = |host| udp(ip(BOT), IpAddr::from([192, 0, 2, host]), 80, 9);
    let mut file = Pcapng::new(true);
    file.interface(1, 9, 0);
    for n in 0..40u8 {
        // Not an IP packet, and one that jumps far ahead.
        let jump = if n % 9 == 5 { 100_000 * SECOND } else { 0 };
        file.packet(0, START + u64::from(n) * SECOND + jump, &frame(n));
        file.packet(0, START + u64::from(n) * SECOND + 7, &[0xff; 20]);
        file.block(5, &vec![6; usize::from(n % 3) * 500_000]);
        file.simple_packet(&frame(n)).simple_packet(&[0xff; 20]).simple_packet(&frame(n));
    }
    let panes = reread_everywhere(&file.bytes(), &Sources::Any);
    let packets: Vec<_> = panes.into_iter().flatten().collect();
    assert_eq!(packets.len(), 40 * 3 * 2);
    for packets in packets.chunks(6) {
        assert!(packets.iter().all(|(_, time, ..)| *time == packets[0].1));
    }
}

/// A block may have 4 GiB, and is not read into memory.
#[test]
fn packets_around_a_long_block_are_reread() {
    let scratch = Scratch::new();
    let frame = udp(ip(BOT), ip("192.0.2.1"), 80, 9);
    let mut file = Pcapng::new(false);
    file.interface(1, 9, 0);
    file.packet(0, START, &frame).block(5, &vec![0; 50 << 20]).packet(0, START + 1, &frame);
    let input = Input::open(&scratch.file("in.pcapng", &file.bytes()), Stop::default()).unwrap();
    let panes = reread(input, true, &Sources::Any);
    assert_eq!(panes.iter().map(Vec::len).collect::<Vec<_>>(), [4]);
}

//! Offloads: frames longer than a page, with a VLAN tag in the skb, or not segmented yet.

use std::io::{Read as _, Write as _};
use std::thread;

use serde_json::Value;

use super::{
    BOT, LONG, attached, comparable, count, finish, frames_seen, ledger, net, packet, replay,
};
use crate::linux;
use crate::support::frames::{ip, udp};
use crate::support::net::{BOT_END, Net, TAP, until};
use crate::support::program::{Outcome, Scratch, gomon};
use crate::support::running::Running;
use crate::support::tools::{checked, have};

const MODES: [&str; 3] = ["xdp", "xdp-generic", "tc"];
/// Every value of `--attach`.
const ALL_MODES: [&str; 5] = ["auto", "tc", "xdp", "xdp-generic", "pcap"];

/// A packet with this many bytes of payload.
fn long(host: u8, payload: usize) -> Vec<u8> {
    udp(ip(BOT), ip(&format!("192.0.2.{host}")), 80, payload)
}

/// Sends frames longer than a page, which have fragments. The linear data of frames from a packet socket
/// contains only the Ethernet header.
fn jumbo(mode: &str) {
    let mut frames = vec![long(1, 8000); 5];
    frames.extend([long(2, 3400), long(2, 4096), long(3, 8958), packet(4, 80)]);
    let expected = replay(BOT, LONG, &frames);
    let Some(net) = net() else { return };
    net.ip(["link", "set", TAP, "mtu", "9000"]);
    net.bot_ip(["link", "set", BOT_END, "mtu", "9000"]);
    let run = count(&net, attached(&net, BOT, &format!("{LONG} --attach {mode}")), &frames);
    assert_eq!(comparable(&run), comparable(&expected), "{mode}");
    assert_eq!(ledger(&run), ledger(&expected), "{mode}");
}

#[test]
fn live_jumbo_frames_are_counted_as_in_a_replay() {
    if linux(5, 18, "XDP on jumbo frames") {
        jumbo("xdp");
    }
    jumbo("xdp-generic");
}

#[test]
fn live_jumbo_frames_are_counted_by_tc_as_in_a_replay() {
    jumbo("tc");
}

#[test]
fn live_tag_in_the_skb_is_counted_by_tc_as_in_a_capture_and_not_seen_by_xdp() {
    const TAGGED: [u8; 2] = [0x81, 0x00];
    let frames: Vec<_> = (0..20).map(|nth| long(nth % 4, 100)).collect();
    let untagged = replay(BOT, LONG, &frames);
    for mode in MODES {
        let Some(net) = net().filter(|_| have("tcpdump") && linux(6, 6, "tagging frames")) else {
            return;
        };
        let _tags = net.tagging(7);
        let scratch = Scratch::new();
        let file = scratch.path().join("arrived.pcap");
        let mut tcpdump = net.command("tcpdump");
        tcpdump.args(["-i", TAP, "-Z", "root", "-c", &frames.len().to_string(), "-w"]).arg(&file);
        let mut tcpdump = Running::start(&mut tcpdump);
        tcpdump.wait_for_part("listening on");
        let run = count(&net, attached(&net, BOT, &format!("{LONG} --attach {mode}")), &frames);
        assert_eq!(tcpdump.end().status, Some(0));
        // A capture has the tag in the frame.
        let captured = gomon([file.to_str().unwrap(), BOT].into_iter().chain(LONG.split(' ')));
        let first = pcap::Capture::from_file(&file).unwrap().next_packet().unwrap().data.to_vec();
        assert!(first[12..14] == TAGGED && first.len() == frames[0].len() + 4);
        let expected = if mode == "tc" { &captured } else { &untagged };
        assert_eq!(comparable(&run), comparable(expected), "{mode}");
        assert_eq!(ledger(&run), ledger(expected), "{mode}");
    }
}

/// The bytes of a write to a socket, which is longer than a frame on the wire.
const WRITE: usize = 60_000;
/// The number of writes.
const WRITES: usize = 20;
/// The minimum number of frames of the segmented stream. IP packets have at most 1500 bytes.
const SEGMENTS: u64 = (WRITE * WRITES) as u64 / 1460;
/// The length of the Ethernet, IP, and TCP headers without options.
const HEADERS: u64 = 14 + 20 + 20;

/// The counts of a TCP stream from the bot, by gomon and by the interface.
struct Stream {
    packets: u64,
    bytes: u64,
    /// Frames in the ledger: the packets and an ARP request.
    frames: u64,
    arrived: u64,
    arrived_bytes: u64,
}

impl Stream {
    /// Sends a stream while gomon is attached, and reads the counts once `is_complete` returns true. Its
    /// arguments are the numbers of frames in the ledger and of frames that arrived.
    fn send(net: &Net, mode: &str, is_complete: impl Fn(u64, u64) -> bool) -> Self {
        let args = format!("{LONG} --packet-threshold 1000000 --attach {mode}");
        let gomon = attached(net, BOT, &args);
        let (mut from, mut to) = net.connection(BOT, "10.0.0.1");
        let reader = thread::spawn(move || (to.read_to_end(&mut Vec::new()), to));
        for _ in 0..WRITES {
            from.write_all(&vec![b'x'; WRITE]).unwrap();
        }
        drop(from);
        // The other end stays open, so that the bot sends no more packets until all are counted.
        let (read, _to) = reader.join().unwrap();
        assert_eq!(read.unwrap(), WRITE * WRITES);
        if mode != "pcap" {
            // With libpcap there is no map to read. It counts what was captured before the signal.
            until("all are counted", || is_complete(frames_seen(gomon.id()), net.arrived()));
        }
        gomon.signal("INT");
        let run = finish(gomon);
        let (packets, bytes, frames) = counts(&run);
        let (arrived, arrived_bytes) = (net.arrived(), net.statistic("rx_bytes"));
        println!("{mode}: {packets} packets, {bytes} bytes; {arrived} arrived, {arrived_bytes}");
        assert!(bytes >= (WRITE * WRITES) as u64 + packets * HEADERS, "{bytes} bytes");
        Self { packets, bytes, frames, arrived, arrived_bytes }
    }
}

/// Returns the packets and bytes of the only connection, and the frames in the ledger.
fn counts(run: &Outcome) -> (u64, u64, u64) {
    let records = run.records();
    assert_eq!((records.len(), &records[0]["proto"]), (2, &"TCP".into()), "{}", run.stdout);
    let number = |value: &Value| value.as_u64().unwrap();
    let flow = &records[0]["flow"];
    let frames = number(&records[1]["metadata"]["gomon"]["ledger"]["frames"]);
    (number(&flow["pkts_toserver"]), number(&flow["bytes_toserver"]), frames)
}

#[test]
fn live_stream_has_as_many_frames_as_the_interface_counts() {
    for mode in ALL_MODES {
        let Some(net) = net() else { return };
        let stream = Stream::send(&net, mode, |seen, arrived| seen == arrived);
        assert_eq!(stream.frames, stream.arrived, "{mode}");
        // With native XDP, the other end of the veth pair segments the stream. Otherwise it arrives
        // unsegmented.
        assert_eq!(stream.packets >= SEGMENTS, mode == "xdp", "{mode}");
        // Whether the interface's byte count includes Ethernet headers depends on the driver. gomon's
        // count includes them, but not the ARP request.
        let with_headers = stream.arrived_bytes + 14 * stream.frames;
        assert!((stream.arrived_bytes - 42..=with_headers).contains(&stream.bytes), "{mode}");
    }
}

#[test]
fn live_segments_merged_by_gro_are_one_packet_to_tc_and_libpcap() {
    for mode in ALL_MODES {
        // Generic XDP turns GRO off, and native XDP runs before it.
        let is_merged = !mode.starts_with("xdp");
        let Some(net) = net().filter(|_| have("ethtool")) else { return };
        // The other end segments the stream, and GRO merges the segments on this end.
        for (mut command, args) in [
            (net.bot_command("ethtool"), ["-K", BOT_END, "tso", "off", "gso", "off"].as_slice()),
            (net.command("ethtool"), &["-K", TAP, "gro", "on"]),
        ] {
            checked(command.args(args));
        }
        let is_complete = |seen, arrived| seen == arrived || is_merged;
        let stream = Stream::send(&net, mode, is_complete);
        assert!(stream.arrived >= SEGMENTS, "{mode}: {} arrived", stream.arrived);
        if is_merged {
            assert!(stream.packets < SEGMENTS / 2, "{} packets", stream.packets);
        } else {
            assert_eq!(stream.frames, stream.arrived, "{mode}");
        }
    }
}

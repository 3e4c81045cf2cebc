//! Frames that are not as they would be on a wire: longer than a page, with a tag beside them, or not
//! cut into segments yet.

use std::io::{Read as _, Write as _};
use std::thread;

use serde_json::Value;

use super::{BOT, LONG, attached, comparable, count, finish, ledger, net, packet, replay, seen};
use crate::linux;
use crate::support::frames::{ip, udp};
use crate::support::net::{BOT_END, Net, TAP, until};
use crate::support::program::{Outcome, Scratch, gomon};
use crate::support::running::Running;
use crate::support::tools::{checked, have};

const MODES: [&str; 3] = ["xdp", "xdp-generic", "tc"];

/// A packet with so many bytes in it.
fn long(host: u8, payload: usize) -> Vec<u8> {
    udp(ip(BOT), ip(&format!("192.0.2.{host}")), 80, payload)
}

/// Sends frames longer than a page, which come in pieces: of those a socket for raw frames sends, the
/// first has the Ethernet header and no more.
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
fn live_a_tag_beside_its_frame_is_counted_by_tc_as_in_a_capture_and_never_seen_by_xdp() {
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
        // A capture has the tag where it belongs.
        let captured = gomon([file.to_str().unwrap(), BOT].into_iter().chain(LONG.split(' ')));
        let first = pcap::Capture::from_file(&file).unwrap().next_packet().unwrap().data.to_vec();
        assert!(first[12..14] == TAGGED && first.len() == frames[0].len() + 4);
        let expected = if mode == "tc" { &captured } else { &untagged };
        assert_eq!(comparable(&run), comparable(expected), "{mode}");
        assert_eq!(ledger(&run), ledger(expected), "{mode}");
    }
}

/// What is written to a socket at once, more than a frame can be, and how often.
const WRITE: usize = 60_000;
const WRITES: usize = 20;
/// What the frames of a cut stream have at most: 1500 bytes with the headers of IP and TCP.
const SEGMENTS: u64 = (WRITE * WRITES) as u64 / 1460;
/// Ethernet, IP and TCP, without options.
const HEADERS: u64 = 14 + 20 + 20;

/// A stream of the bot's, as gomon counted it and as the interface did.
struct Stream {
    packets: u64,
    bytes: u64,
    /// Frames in the ledger: the packets and an ARP request.
    frames: u64,
    arrived: u64,
    arrived_bytes: u64,
}

impl Stream {
    /// Sends it once gomon is attached, and takes the counts once `come` says that they are there: of
    /// so many frames in the ledger, and so many that arrived.
    fn send(net: &Net, mode: &str, come: impl Fn(u64, u64) -> bool) -> Self {
        let args = format!("{LONG} --packet-threshold 1000000 --attach {mode}");
        let gomon = attached(net, BOT, &args);
        let (mut from, mut to) = net.connection(BOT, "10.0.0.1");
        let reader = thread::spawn(move || (to.read_to_end(&mut Vec::new()), to));
        for _ in 0..WRITES {
            from.write_all(&vec![b'x'; WRITE]).unwrap();
        }
        drop(from);
        // The far end stays open: the bot has nothing to answer until all is counted.
        let (read, _to) = reader.join().unwrap();
        assert_eq!(read.unwrap(), WRITE * WRITES);
        until("what arrived is counted", || come(seen(gomon.id()), net.arrived()));
        gomon.signal("INT");
        let run = finish(gomon);
        let (packets, bytes, frames) = sent(&run);
        let (arrived, arrived_bytes) = (net.arrived(), net.statistic("rx_bytes"));
        println!("{mode}: {packets} packets, {bytes} bytes; {arrived} arrived, {arrived_bytes}");
        assert!(bytes >= (WRITE * WRITES) as u64 + packets * HEADERS, "{bytes} bytes");
        Self { packets, bytes, frames, arrived, arrived_bytes }
    }
}

/// Packets and bytes of the one connection there is, and frames in the ledger.
fn sent(run: &Outcome) -> (u64, u64, u64) {
    let records = run.records();
    assert_eq!((records.len(), &records[0]["proto"]), (2, &"TCP".into()), "{}", run.stdout);
    let number = |value: &Value| value.as_u64().unwrap();
    let flow = &records[0]["flow"];
    let frames = number(&records[1]["metadata"]["gomon"]["ledger"]["frames"]);
    (number(&flow["pkts_toserver"]), number(&flow["bytes_toserver"]), frames)
}

#[test]
fn live_a_stream_is_counted_in_the_frames_that_the_interface_counts() {
    for mode in MODES {
        let Some(net) = net() else { return };
        let stream = Stream::send(&net, mode, |seen, arrived| seen == arrived);
        assert_eq!(stream.frames, stream.arrived, "{mode}");
        // An XDP program in the driver makes the far end cut the stream; else it comes uncut.
        assert_eq!(stream.packets >= SEGMENTS, mode == "xdp", "{mode}");
        // The kernel counts bytes with Ethernet headers or without, as the driver likes; ours are with
        // them, and an ARP request is not among them.
        let whole = stream.arrived_bytes + 14 * stream.frames;
        assert!((stream.arrived_bytes - 42..=whole).contains(&stream.bytes), "{mode}");
    }
}

#[test]
fn live_segments_that_the_kernel_puts_together_are_one_packet_to_tc_alone() {
    for mode in MODES {
        let Some(net) = net().filter(|_| have("ethtool")) else { return };
        // The far end cuts the stream, and this one puts it together again.
        for (mut command, args) in [
            (net.bot_command("ethtool"), ["-K", BOT_END, "tso", "off", "gso", "off"].as_slice()),
            (net.command("ethtool"), &["-K", TAP, "gro", "on"]),
        ] {
            checked(command.args(args));
        }
        let all = |seen, arrived| seen == arrived || mode == "tc";
        let stream = Stream::send(&net, mode, all);
        assert!(stream.arrived >= SEGMENTS, "{mode}: {} arrived", stream.arrived);
        if mode == "tc" {
            assert!(stream.packets < SEGMENTS / 2, "{} packets", stream.packets);
        } else {
            assert_eq!(stream.frames, stream.arrived, "{mode}");
        }
    }
}

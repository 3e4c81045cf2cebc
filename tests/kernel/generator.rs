//! Tests of the packet generator, on which the tests of live counting depend.

use std::collections::BTreeSet;

use etherparse::{NetHeaders, PacketHeaders, TransportHeader};
use gomon_xdpgen::{Order, Traffic};

use crate::support::net::{Net, TAP};
use crate::support::program::Scratch;
use crate::support::running::Running;
use crate::support::tools::have;
use crate::{can_generate, privileged};

const FRAMES: usize = 3000;

/// A parsed generated packet.
#[derive(Debug)]
struct Packet {
    destination: u32,
    number: u64,
    payload: Vec<u8>,
}

/// Generates traffic and captures the packets that arrive.
fn arriving(traffic: &Traffic) -> Option<Vec<Packet>> {
    if [have("ip"), have("tcpdump"), privileged(), can_generate()] != [true; 4] {
        return None;
    }
    let net = Net::new();
    let _receiver = net.passing();
    let scratch = Scratch::new();
    let file = scratch.path().join("arrived.pcap");
    let mut command = net.command("tcpdump");
    // The buffer has room for all of them, because the sender is tested and not the capture.
    command.args(["-i", TAP, "-Z", "root", "-B", "65536", "-w"]).arg(&file);
    let mut tcpdump = Running::start(command.args(["-c", &FRAMES.to_string(), "udp"]));
    tcpdump.wait_for_part("listening on");
    // Bursts that fit into the queue of the veth pair, which has 256 frames.
    for _ in 0..FRAMES / 100 {
        assert_eq!(net.generate(traffic, 100).frames, 100);
    }
    assert_eq!(tcpdump.end().status, Some(0));
    let mut capture = pcap::Capture::from_file(&file).unwrap();
    let mut packets = Vec::new();
    while let Ok(frame) = capture.next_packet() {
        packets.push(packet(traffic, frame.data));
    }
    Some(packets)
}

/// Parses a frame and checks its headers.
fn packet(traffic: &Traffic, frame: &[u8]) -> Packet {
    assert_eq!(frame.len(), traffic.length);
    let headers = PacketHeaders::from_ethernet_slice(frame).unwrap();
    let Some(NetHeaders::Ipv4(ip, _)) = headers.net else { panic!("{headers:?}") };
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    assert_eq!(ip.source, traffic.source.octets());
    let Some(TransportHeader::Udp(udp)) = headers.transport else { panic!("UDP") };
    assert_eq!(udp.destination_port, traffic.port);
    let payload = headers.payload.slice();
    Packet {
        destination: u32::from_be_bytes(ip.destination),
        number: u64::from_be_bytes(payload[..8].try_into().unwrap()),
        payload: payload.to_vec(),
    }
}

#[test]
fn generated_packets_go_to_hosts_in_turn_and_are_numbered() {
    let traffic = Traffic {
        numbered: true,
        length: 1500,
        port: 53,
        order: Order::RoundRobin,
        ..Traffic::to_random_hosts([10, 0, 0, 5].into(), 64)
    };
    let Some(packets) = arriving(&traffic) else { return };
    assert_eq!(packets.len(), FRAMES);
    for (nth, packet) in (0..).zip(&packets) {
        // Numbering starts again with every call.
        let nth = nth % 100;
        assert_eq!(packet.number, nth);
        assert_eq!(u64::from(packet.destination), 0xc612_0000 + nth % 64);
        assert!(packet.payload[8..].iter().all(|byte| *byte == b'x'));
    }
}

#[test]
fn generated_packets_go_to_random_hosts() {
    let Some(packets) = arriving(&Traffic::to_random_hosts([10, 0, 0, 5].into(), 64)) else {
        return;
    };
    let hosts: BTreeSet<_> = packets.iter().map(|packet| packet.destination).collect();
    // The probability that one of 64 hosts is missing from 3000 draws is 10^-19.
    assert!(hosts.into_iter().eq(0xc612_0000..0xc612_0040));
    assert!(packets.windows(65).any(|run| run[0].destination != run[64].destination));
}

#[test]
fn invalid_traffic_is_rejected() {
    let good = Traffic::to_random_hosts([10, 0, 0, 5].into(), 64);
    for (bad, why) in [
        (Traffic { hosts: 12, ..good.clone() }, "12 hosts: not a power of two"),
        (Traffic { hosts: 0, ..good.clone() }, "0 hosts: not a power of two"),
        (Traffic { length: 59, ..good.clone() }, "59 bytes: not in 60..=3000"),
        (Traffic { length: 3001, ..good.clone() }, "3001 bytes: not in 60..=3000"),
        (good, "enter the namespace nowhere"),
    ] {
        let error = bad.send("nowhere", "none0", 1).unwrap_err();
        assert!(format!("{error:#}").contains(why), "{error:#}");
    }
}

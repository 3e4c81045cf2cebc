//! Frames, built by etherparse.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{IpNumber, PacketBuilder};

const MAC: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// An address from its text.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A UDP packet in an Ethernet frame. Both addresses are of one family.
pub fn udp(source: IpAddr, destination: IpAddr, port: u16, payload: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let ethernet = PacketBuilder::ethernet2(MAC[0], MAC[1]);
    let builder = match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => ethernet.ipv4(s.octets(), d.octets(), 64),
        (IpAddr::V6(s), IpAddr::V6(d)) => ethernet.ipv6(s.octets(), d.octets(), 64),
        _ => panic!("one family"),
    };
    builder.udp(40000, port).write(&mut frame, &vec![0; payload]).expect("a frame");
    frame
}

/// A TCP SYN in an Ethernet frame. Both addresses are of one family.
pub fn syn(source: IpAddr, destination: IpAddr, port: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    let ethernet = PacketBuilder::ethernet2(MAC[0], MAC[1]);
    let builder = match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => ethernet.ipv4(s.octets(), d.octets(), 64),
        (IpAddr::V6(s), IpAddr::V6(d)) => ethernet.ipv6(s.octets(), d.octets(), 64),
        _ => panic!("one family"),
    };
    builder.tcp(40000, port, 1, 1024).syn().write(&mut frame, &[]).expect("a frame");
    frame
}

/// An ICMP echo request in an Ethernet frame.
pub fn ping(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MAC[0], MAC[1])
        .ipv4(source.octets(), destination.octets(), 64)
        .icmpv4_echo_request(1, 1)
        .write(&mut frame, &[0; 16])
        .expect("a frame");
    frame
}

/// An `ICMPv6` echo request in an Ethernet frame.
pub fn ping6(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MAC[0], MAC[1])
        .ipv6(source.octets(), destination.octets(), 64)
        .icmpv6_echo_request(1, 1)
        .write(&mut frame, &[0; 16])
        .expect("a frame");
    frame
}

/// An ARP request.
pub fn arp() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.resize(60, 0);
    frame
}

/// An IP packet without the Ethernet header that [`udp`] and the others put in front.
pub fn without_ethernet(frame: &[u8]) -> Vec<u8> {
    frame[14..].to_vec()
}

/// An IP packet of any protocol in an Ethernet frame. Both addresses are of one family.
pub fn ip_packet(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let ethernet = PacketBuilder::ethernet2(MAC[0], MAC[1]);
    let builder = match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => ethernet.ipv4(s.octets(), d.octets(), 64),
        (IpAddr::V6(s), IpAddr::V6(d)) => ethernet.ipv6(s.octets(), d.octets(), 64),
        _ => panic!("one family"),
    };
    builder.write(&mut frame, IpNumber(protocol), payload).expect("a frame");
    frame
}

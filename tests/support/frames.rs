//! Frames, built with etherparse.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{IpHeaders, IpNumber, PacketBuilder, PacketBuilderStep};

const MAC: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// Parses an address.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Starts a packet with Ethernet and IP headers. Both addresses must have the same family.
fn packet(source: IpAddr, destination: IpAddr) -> PacketBuilderStep<IpHeaders> {
    let ethernet = PacketBuilder::ethernet2(MAC[0], MAC[1]);
    match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => ethernet.ipv4(s.octets(), d.octets(), 64),
        (IpAddr::V6(s), IpAddr::V6(d)) => ethernet.ipv6(s.octets(), d.octets(), 64),
        _ => panic!("addresses of the same family"),
    }
}

/// A UDP packet in an Ethernet frame. Both addresses must have the same family.
pub fn udp(source: IpAddr, destination: IpAddr, port: u16, payload: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = packet(source, destination);
    builder.udp(40000, port).write(&mut frame, &vec![0; payload]).expect("a frame");
    frame
}

/// A TCP SYN in an Ethernet frame. Both addresses must have the same family.
pub fn syn(source: IpAddr, destination: IpAddr, port: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = packet(source, destination);
    builder.tcp(40000, port, 1, 1024).syn().write(&mut frame, &[]).expect("a frame");
    frame
}

/// A TCP ACK in an Ethernet frame. Both addresses must have the same family.
pub fn ack(source: IpAddr, destination: IpAddr, port: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = packet(source, destination);
    builder.tcp(40000, port, 2, 1024).ack(1).write(&mut frame, &[]).expect("a frame");
    frame
}

/// An ICMP echo request in an Ethernet frame.
pub fn ping(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::new();
    packet(source.into(), destination.into())
        .icmpv4_echo_request(1, 1)
        .write(&mut frame, &[0; 16])
        .expect("a frame");
    frame
}

/// An `ICMPv6` echo request in an Ethernet frame.
pub fn ping6(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut frame = Vec::new();
    packet(source.into(), destination.into())
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

/// Removes the Ethernet header of a frame.
pub fn without_ethernet(frame: &[u8]) -> Vec<u8> {
    frame[14..].to_vec()
}

/// An IP packet of any protocol in an Ethernet frame. Both addresses must have the same family.
pub fn ip_packet(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = packet(source, destination);
    builder.write(&mut frame, IpNumber(protocol), payload).expect("a frame");
    frame
}

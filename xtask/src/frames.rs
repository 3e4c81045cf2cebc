//! Builds the Ethernet frames of generated captures. A host's MAC address is derived from its IPv4 address.

use std::net::{Ipv4Addr, SocketAddrV4, SocketAddrV6};

use anyhow::Result;
use etherparse::{
    ArpEthIpv4Packet, ArpOperation, Ethernet2Header, PacketBuilder, PacketBuilderStep, TcpHeader,
};

/// The bot in all generated captures.
pub(crate) const BOT: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 20);

const BROADCAST: [u8; 6] = [0xff; 6];
const TTL: u8 = 64;
const TCP_WINDOW: u16 = 64_240;

pub(crate) fn udp(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Result<Vec<u8>> {
    let packet = ethernet(*from.ip(), mac(*to.ip()))
        .ipv4(from.ip().octets(), to.ip().octets(), TTL)
        .udp(from.port(), to.port());
    let mut frame = Vec::with_capacity(packet.size(payload.len()));
    packet.write(&mut frame, payload)?;
    Ok(frame)
}

/// Like [`udp`], over IPv6.
pub(crate) fn udp6(from: SocketAddrV6, to: SocketAddrV6, payload: &[u8]) -> Result<Vec<u8>> {
    let packet = PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv6(from.ip().octets(), to.ip().octets(), TTL)
        .udp(from.port(), to.port());
    let mut frame = Vec::with_capacity(packet.size(payload.len()));
    packet.write(&mut frame, payload)?;
    Ok(frame)
}

/// Inserts VLAN tags into a frame, the outermost first.
pub(crate) fn tagged(tags: &[u16], frame: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    let tags = tags.iter().flat_map(|kind| [kind.to_be_bytes(), 7_u16.to_be_bytes()]);
    [addresses, &tags.flatten().collect::<Vec<_>>(), rest].concat()
}

/// Builds a TCP segment. `flags` are tcpdump's letters: S, F, P and, for an acknowledgment, a dot.
pub(crate) fn tcp(
    from: SocketAddrV4,
    to: SocketAddrV4,
    flags: &str,
    (sequence, acknowledgment): (u32, u32),
    payload: &[u8],
) -> Result<Vec<u8>> {
    let mut header = TcpHeader::new(from.port(), to.port(), sequence, TCP_WINDOW);
    header.acknowledgment_number = acknowledgment;
    header.syn = flags.contains('S');
    header.fin = flags.contains('F');
    header.psh = flags.contains('P');
    header.ack = flags.contains('.');
    let packet = ethernet(*from.ip(), mac(*to.ip()))
        .ipv4(from.ip().octets(), to.ip().octets(), TTL)
        .tcp_header(header);
    let mut frame = Vec::with_capacity(packet.size(payload.len()));
    packet.write(&mut frame, payload)?;
    Ok(frame)
}

/// Builds an ARP request for `target`.
pub(crate) fn arp_request(from: Ipv4Addr, target: Ipv4Addr) -> Result<Vec<u8>> {
    let request = ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        sender_mac: mac(from),
        sender_ipv4: from.octets(),
        target_mac: [0; 6],
        target_ipv4: target.octets(),
    };
    let mut frame = Vec::new();
    ethernet(from, BROADCAST).arp(request.into()).write(&mut frame)?;
    Ok(frame)
}

fn ethernet(from: Ipv4Addr, to: [u8; 6]) -> PacketBuilderStep<Ethernet2Header> {
    PacketBuilder::ethernet2(mac(from), to)
}

/// Returns a locally administered address that is unique for each IPv4 address.
fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0, a, b, c, d]
}

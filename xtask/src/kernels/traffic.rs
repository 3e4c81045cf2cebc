//! The frames that are sent on each kernel, and how each must be counted.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use anyhow::Result;

use crate::frames::{BOT, arp_request, tagged, tcp, udp, udp6};

const BOT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x20);
const PORT: u16 = 40_000;
const VLAN: u16 = 0x8100;
const PROVIDER_VLAN: u16 = 0x88a8;

/// How the ledger must classify a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Counted { protocol: &'static str, destination: SocketAddr },
    NotFromBot,
    NotIp,
    Malformed,
}

pub(super) struct Sent {
    pub(super) frame: Vec<u8>,
    pub(super) expected: Expected,
}

/// Frames of every kind that a parser distinguishes. Fewer than the 256 that the queue of a veth holds: they are
/// sent at once, and none may be lost.
pub(super) fn ordinary() -> Result<Vec<Sent>> {
    let mut all = Vec::new();
    let mut send = |times: usize, frame: Vec<u8>, expected: Expected| {
        all.extend((0..times).map(|_| Sent { frame: frame.clone(), expected: expected.clone() }));
    };
    send(40, udp_v4(BOT, 50, 100)?, counted4(50));
    send(15, tagged(&[VLAN], &udp_v4(BOT, 51, 10)?), counted4(51));
    send(10, tagged(&[PROVIDER_VLAN, VLAN], &udp_v4(BOT, 52, 10)?), counted4(52));
    send(1, udp_v4(BOT, 53, 1400)?, counted4(53));
    send(25, udp_v6(BOT6, 50)?, counted6(50));
    send(15, tagged(&[VLAN], &udp_v6(BOT6, 51)?), counted6(51));
    let web = SocketAddrV4::new(host4(54), 443);
    let syn = tcp(SocketAddrV4::new(BOT, PORT), web, "S", (1, 0), &[])?;
    send(10, syn, Expected::Counted { protocol: "TCP", destination: web.into() });
    send(12, udp_v4(Ipv4Addr::new(10, 10, 0, 21), 50, 10)?, Expected::NotFromBot);
    send(8, tagged(&[VLAN], &udp_v4(host4(50), 20, 10)?), Expected::NotFromBot);
    send(7, udp_v6(Ipv6Addr::LOCALHOST, 50)?, Expected::NotFromBot);
    send(6, arp_request(BOT, Ipv4Addr::new(10, 10, 0, 1))?, Expected::NotIp);
    let mut broken = udp_v4(BOT, 50, 10)?;
    broken[14] = 0x55; // IP version 5
    send(5, broken, Expected::Malformed);
    Ok(all)
}

/// Frames that are longer than the usual MTU.
pub(super) fn jumbo() -> Result<Vec<Sent>> {
    let mut all = Vec::new();
    for (host, payload) in [(50, 8_900), (51, 5_000), (52, 10)] {
        for _ in 0..10 {
            all.push(Sent { frame: udp_v4(BOT, host, payload)?, expected: counted4(host) });
            all.push(Sent {
                frame: tagged(&[VLAN], &udp_v4(BOT, host + 10, payload)?),
                expected: counted4(host + 10),
            });
        }
    }
    Ok(all)
}

fn host4(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, host)
}

fn host6(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, host)
}

fn udp_v4(from: Ipv4Addr, host: u8, payload: usize) -> Result<Vec<u8>> {
    let to = SocketAddrV4::new(host4(host), 53);
    udp(SocketAddrV4::new(from, PORT), to, &vec![b'x'; payload])
}

fn udp_v6(from: Ipv6Addr, host: u16) -> Result<Vec<u8>> {
    let to = SocketAddrV6::new(host6(host), 53, 0, 0);
    udp6(SocketAddrV6::new(from, PORT, 0, 0), to, b"over IPv6")
}

fn counted4(host: u8) -> Expected {
    Expected::Counted { protocol: "UDP", destination: (host4(host), 53).into() }
}

fn counted6(host: u16) -> Expected {
    Expected::Counted { protocol: "UDP", destination: (host6(host), 53).into() }
}

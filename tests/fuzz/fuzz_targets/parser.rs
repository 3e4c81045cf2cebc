//! The header parsers on any bytes: they never panic, a longer capture of a frame never invalidates what a
//! shorter one shows, and the branch-free shortcut returns what the general parser returns.
#![no_main]

use gomon_common::parse::opaque_ethertype;
use gomon_common::{LinkType, V4Packet, parse};
use libfuzzer_sys::fuzz_target;

const LINKS: [LinkType; 18] = [
    LinkType::Ethernet,
    LinkType::Null,
    LinkType::Loop,
    LinkType::Raw,
    LinkType::Ipv4,
    LinkType::Ipv6,
    LinkType::LinuxSll,
    LinkType::LinuxSll2,
    LinkType::Ppp,
    LinkType::PppSerial,
    LinkType::Pppoe,
    LinkType::CiscoHdlc,
    LinkType::FrameRelay,
    LinkType::Nflog,
    LinkType::Pktap,
    LinkType::Ieee80211,
    LinkType::Radiotap,
    LinkType::Ppi,
];

fuzz_target!(|data: &[u8]| {
    let Some((&link, frame)) = data.split_first() else { return };
    let link = LINKS[usize::from(link) % LINKS.len()];
    let mut before: Option<gomon_common::Packet> = None;
    for length in 0..=frame.len().min(256) {
        let parsed = parse(link, &frame[..length]);
        if link == LinkType::Ethernet
            && let Some(packet) = V4Packet::parse(&frame[..length])
        {
            assert_eq!(parsed, Ok(packet.packet(packet.flags(frame))));
        }
        if let Some(before) = before {
            let now = parsed.expect("a longer capture has the packet too");
            assert_eq!(before.source, now.source);
            assert_eq!(before.destination.address(), now.destination.address());
        }
        before = parsed.ok().or(before);
    }
    if parse(link, frame).is_ok() {
        assert_eq!(opaque_ethertype(link, frame), None);
    }
});

//! The header parser on any bytes: it never panics, and what a longer capture of a frame adds never
//! takes back what a shorter one showed. The short cut of replays has the same answers.
#![no_main]

use gomon::source::quick;
use gomon_common::parse::hidden_by;
use gomon_common::{LinkType, parse};
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
            && let Some(common) = quick::parse(&frame[..length])
        {
            assert_eq!(parsed, Ok(common.packet(quick::flags(frame, &common))));
        }
        if let Some(before) = before {
            let now = parsed.expect("a packet stays a packet");
            assert_eq!(before.source, now.source);
            assert_eq!(before.destination.address(), now.destination.address());
        }
        before = parsed.ok().or(before);
    }
    if parse(link, frame).is_ok() {
        assert_eq!(hidden_by(link, frame), None);
    }
});

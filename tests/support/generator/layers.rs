//! Plans of what precedes an IP packet.

use gomon_common::LinkType;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::wifi::{self, Wifi};

/// What precedes the IP packet.
#[derive(Clone, Debug)]
pub(super) enum Carrier {
    /// A header with an Ethernet type.
    Typed {
        header: Typed,
        layers: Vec<(Vec<u16>, Wrap)>,
        tags: Vec<u16>,
        shim: Shim,
        foreign: Index,
    },
    /// BSD loopback: the byte order, and which of the numbers of the family.
    Family { link: LinkType, network_order: bool, number: Index },
    /// PPP: the link type, and whether it has address and control fields and a compressed protocol field.
    Ppp { link: LinkType, framed: bool, compressed: bool, foreign: Index },
    /// Frame relay with an NLPID: the length of the address in bytes, and whether it is padded.
    FrameRelay { address: usize, padded: bool },
    /// NFLOG: the byte order, and the lengths of the attributes before the packet.
    Nflog { big_endian: bool, attributes: Vec<u8> },
    /// No header.
    Bare(LinkType),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Typed {
    Ethernet,
    Sll,
    Sll2,
    CiscoHdlc,
    /// Cisco HDLC on a serial line.
    Serial,
    /// Cisco's frame relay encapsulation, with the length of the address in bytes.
    FrameRelay(usize),
    /// 802.11, with LLC after its header.
    Wifi(Wifi),
}

/// A layer that announces the next one by an Ethernet type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wrap {
    /// SNAP after a length field: its value, and the organisation code.
    Snap {
        length: u16,
        bridge: bool,
    },
    Macsec {
        channel: bool,
    },
    VnTag,
    Redundancy,
    Metadata,
    Backbone,
    FabricPath,
    Ethernet,
    Arista {
        short: bool,
    },
}

/// The header between the last Ethernet type and the packet.
#[derive(Clone, Debug)]
pub(super) enum Shim {
    None,
    Pppoe {
        compressed: bool,
    },
    Mpls {
        labels: usize,
        multicast: bool,
    },
    /// The length in words of four bytes.
    Nsh(u8),
    /// LLC with the SAP of IPv4.
    Llc,
}

pub(super) fn carrier() -> impl Strategy<Value = Carrier> {
    let header = prop_oneof![
        16 => Just(Typed::Ethernet),
        3 => Just(Typed::Sll),
        3 => Just(Typed::Sll2),
        1 => Just(Typed::CiscoHdlc),
        1 => Just(Typed::Serial),
        1 => (2..=4usize).prop_map(Typed::FrameRelay),
        3 => wifi::wifi().prop_map(Typed::Wifi),
    ];
    let shim = prop_oneof![
        6 => Just(Shim::None),
        2 => any::<bool>().prop_map(|compressed| Shim::Pppoe { compressed }),
        2 => (1..=9usize, any::<bool>())
            .prop_map(|(labels, multicast)| Shim::Mpls { labels, multicast }),
        1 => prop_oneof![2..=6u8, 2..=63u8].prop_map(Shim::Nsh),
        1 => Just(Shim::Llc),
    ];
    let layers = prop_oneof![
        5 => vec((tags(), wrap()), 0..=2),
        1 => vec((tags(), wrap()), 3..=6),
    ];
    let typed = (header, layers, tags(), shim, any::<Index>()).prop_map(
        |(header, layers, tags, shim, foreign)| Carrier::Typed {
            header,
            layers,
            tags,
            shim,
            foreign,
        },
    );
    let link = prop_oneof![
        1 => Just((LinkType::Loop, true)),
        2 => any::<bool>().prop_map(|network_order| (LinkType::Null, network_order)),
    ];
    let family = (link, any::<Index>()).prop_map(|((link, network_order), number)| {
        Carrier::Family { link, network_order, number }
    });
    let links = vec![LinkType::Ppp, LinkType::PppSerial, LinkType::Pppoe, LinkType::Null];
    let ppp = (select(links), any::<bool>(), any::<bool>(), any::<Index>()).prop_map(
        |(link, framed, compressed, foreign)| Carrier::Ppp { link, framed, compressed, foreign },
    );
    let frame_relay = (2..=4usize, any::<bool>())
        .prop_map(|(address, padded)| Carrier::FrameRelay { address, padded });
    let nflog = (any::<bool>(), vec(any::<u8>(), 0..=5))
        .prop_map(|(big_endian, attributes)| Carrier::Nflog { big_endian, attributes });
    let bare = select(&[LinkType::Raw, LinkType::Ipv4, LinkType::Ipv6][..]);
    prop_oneof![
        12 => typed,
        2 => family,
        2 => ppp,
        1 => frame_relay,
        1 => nflog,
        4 => bare.prop_map(Carrier::Bare),
    ]
}

fn tags() -> impl Strategy<Value = Vec<u16>> {
    prop_oneof![
        3 => Just(vec![]),
        2 => vec(select(&[0x8100, 0x88a8, 0x9100][..]), 0..=3),
        1 => vec(select(&[0x8100, 0x88a8, 0x9100][..]), 4),
    ]
}

fn wrap() -> impl Strategy<Value = Wrap> {
    let length = select(&[0, 4, 38, 1500, 0x5ff, 0x8870][..]);
    prop_oneof![
        4 => (length, any::<bool>()).prop_map(|(length, bridge)| Wrap::Snap { length, bridge }),
        2 => any::<bool>().prop_map(|channel| Wrap::Macsec { channel }),
        2 => any::<bool>().prop_map(|short| Wrap::Arista { short }),
        6 => select(
            &[
                Wrap::VnTag,
                Wrap::Redundancy,
                Wrap::Metadata,
                Wrap::Backbone,
                Wrap::FabricPath,
                Wrap::Ethernet,
            ][..],
        ),
    ]
}

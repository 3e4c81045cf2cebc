//! Plans of what is in front of an IP packet.

use gomon_common::LinkType;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::wifi;

/// What is in front of the IP packet.
#[derive(Clone, Debug)]
pub(super) enum Carrier {
    /// A layer that has an Ethernet type.
    Typed {
        header: Typed,
        layers: Vec<(Vec<u16>, Wrap)>,
        tags: Vec<u16>,
        shim: Shim,
        foreign: Index,
    },
    /// BSD loopback: whether in network order, and which of the numbers of IPv6.
    Family { link: LinkType, network_order: bool, number: Index },
    /// PPP: on which link, with address and control fields, with a compressed protocol field.
    Ppp { link: LinkType, framed: bool, compressed: bool, foreign: Index },
    /// Frame relay with the network layer's number: bytes of the address, and whether padded.
    FrameRelay { address: usize, padded: bool },
    /// What netfilter logs: the byte order, and lengths of the attributes in front of the packet.
    Nflog { big_endian: bool, attributes: Vec<u8> },
    /// Nothing.
    Bare(LinkType),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Typed {
    Ethernet,
    Sll,
    Sll2,
    CiscoHdlc,
    /// A serial line with Cisco's HDLC on it.
    Serial,
    /// Frame relay as Cisco has it, with so many bytes of address.
    FrameRelay(usize),
    /// 802.11, which has LLC behind its own header.
    Wifi(wifi::Wifi),
}

/// A layer with an Ethernet type for the next one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wrap {
    /// SNAP behind a length: one that is given, and which organisation.
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

/// What is between the last Ethernet type and the packet.
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
    /// So many words.
    Nsh(u8),
    /// LLC with IP's own number, which is IPv4.
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

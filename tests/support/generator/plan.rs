//! Plans of generated frames.

use gomon_common::LinkType;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::layers::{Carrier, carrier};

/// Protocols with ports.
pub(super) const WITH_PORTS: [u8; 3] = [6, 17, 132];
/// IPv6 extension headers.
const EXTENSIONS: [u8; 5] = [0, 43, 44, 51, 60];
pub(super) const AUTHENTICATION: u8 = 51;

/// The random choices from which a frame is built.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// A header that precedes the link header and names its type.
    pub(super) wrapped: Option<LinkType>,
    pub(super) carrier: Carrier,
    /// Whether the layer below announces the other IP version.
    pub(super) wrong_version: bool,
    pub(super) content: Content,
    /// Bytes after the packet.
    pub(super) padding: Vec<u8>,
    /// Repeated to fill the fields that the parser must ignore.
    pub(super) noise: [u8; 32],
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Ipv4(Ipv4),
    Ipv6(Ipv6),
    /// Anything else, whose first four bits are no IP version.
    Foreign(Vec<u8>),
}

#[derive(Clone, Debug)]
pub(super) struct Ipv4 {
    pub(super) source: [u8; 4],
    pub(super) destination: [u8; 4],
    /// In words of four bytes.
    pub(super) options: u8,
    /// A header length below the minimum.
    pub(super) short_header: Option<u8>,
    pub(super) length: Length,
    /// Reserved, don't fragment, more fragments.
    pub(super) flags: u16,
    /// In units of eight bytes.
    pub(super) fragment_offset: u16,
    pub(super) authentication: Option<u8>,
    pub(super) upper: Upper,
}

#[derive(Clone, Debug)]
pub(super) struct Ipv6 {
    pub(super) source: [u8; 16],
    pub(super) destination: [u8; 16],
    pub(super) length: Length,
    pub(super) extensions: Vec<Extension>,
    pub(super) upper: Upper,
}

/// The value of the length field of an IP header.
#[derive(Clone, Debug)]
pub(super) enum Length {
    Exact,
    /// As on packets captured before segmentation offload.
    Zero,
    /// Less than the payload, if there is one.
    Less(Index),
    /// More than the packet has.
    More(u16),
    /// Less than the header itself. The same as [`Length::Exact`] in IPv6, whose length excludes the header.
    BelowHeader(Index),
}

#[derive(Clone, Debug)]
pub(super) enum Extension {
    /// Hop-by-hop options, routing or destination options: the number, and the length field.
    Plain(u8, u8),
    /// The offset and the flags.
    Fragment(u16),
    /// The length field.
    Authentication(u8),
}

/// The payload of an IP packet.
#[derive(Clone, Debug)]
pub(super) struct Upper {
    pub(super) protocol: u8,
    pub(super) bytes: Vec<u8>,
}

prop_compose! {
    pub(super) fn plan()(
        wrapped in prop::option::weighted(0.1, select(&[LinkType::Pktap, LinkType::Ppi][..])),
        carrier in carrier(),
        wrong_version in prop::bool::weighted(0.05),
        content in content(),
        padding in prop_oneof![2 => Just(vec![]), 1 => vec(any::<u8>(), 0..46)],
        noise in any::<[u8; 32]>(),
    ) -> Plan {
        Plan { wrapped, carrier, wrong_version, content, padding, noise }
    }
}

fn content() -> impl Strategy<Value = Content> {
    let foreign = vec(any::<u8>(), 1..60).prop_map(|mut bytes| {
        if matches!(bytes[0] >> 4, 4 | 6) {
            bytes[0] &= 0x0f;
        }
        Content::Foreign(bytes)
    });
    prop_oneof![
        5 => ipv4().prop_map(Content::Ipv4),
        5 => ipv6().prop_map(Content::Ipv6),
        1 => foreign,
    ]
}

prop_compose! {
    fn ipv4()(
        source in any::<[u8; 4]>(),
        destination in any::<[u8; 4]>(),
        options in prop_oneof![3 => Just(0), 2 => 0..=10u8],
        short_header in prop::option::weighted(0.03, 0..=4u8),
        length in length(),
        flags in 0..8u16,
        fragment_offset in prop_oneof![3 => Just(0), 2 => later_offset()],
        authentication in prop::option::weighted(0.2, authentication()),
        upper in upper(&[AUTHENTICATION]),
    ) -> Ipv4 {
        Ipv4 {
            source,
            destination,
            options,
            short_header,
            length,
            flags,
            fragment_offset,
            authentication,
            upper,
        }
    }
}

prop_compose! {
    fn ipv6()(
        source in any::<[u8; 16]>(),
        destination in any::<[u8; 16]>(),
        length in length(),
        extensions in extensions(),
        upper in upper(&EXTENSIONS),
    ) -> Ipv6 {
        Ipv6 { source, destination, length, extensions, upper }
    }
}

fn extensions() -> impl Strategy<Value = Vec<Extension>> {
    let fragment = (prop_oneof![1 => Just(0), 2 => later_offset()], 0..8u16)
        .prop_map(|(offset, flags)| Extension::Fragment(offset << 3 | flags));
    // Chains that exceed the limit have no later fragment, which would end them early.
    prop_oneof![
        3 => vec(prop_oneof![4 => unfragmented(), 1 => fragment], 0..=4),
        1 => vec(unfragmented(), 6..=10),
    ]
}

fn unfragmented() -> impl Strategy<Value = Extension> {
    // With 31 the length in bytes exceeds eight bits.
    let size = prop_oneof![6 => 0..=3u8, 1 => Just(31)];
    let plain = (select(&[0, 43, 60][..]), size);
    prop_oneof![
        6 => plain.prop_map(|(number, size)| Extension::Plain(number, size)),
        2 => authentication().prop_map(Extension::Authentication),
        // An atomic fragment; the reserved bits are ignored.
        1 => select(&[0, 2, 4, 6][..]).prop_map(Extension::Fragment),
    ]
}

/// Generates the offset of a fragment that is not the first, including single bits.
fn later_offset() -> impl Strategy<Value = u16> {
    prop_oneof![1..=0x1fffu16, (0..13u32).prop_map(|bit| 1 << bit)]
}

fn authentication() -> impl Strategy<Value = u8> {
    prop_oneof![6 => 1..=6u8, 1 => Just(63)]
}

fn length() -> impl Strategy<Value = Length> {
    prop_oneof![
        12 => Just(Length::Exact),
        3 => Just(Length::Zero),
        4 => any::<Index>().prop_map(Length::Less),
        2 => (1..2000u16).prop_map(Length::More),
        1 => any::<Index>().prop_map(Length::BelowHeader),
    ]
}

/// Generates a payload of any protocol other than those of `except`.
fn upper(except: &'static [u8]) -> impl Strategy<Value = Upper> {
    let ports = select(&WITH_PORTS[..]).prop_flat_map(|protocol| {
        let header = match protocol {
            6 => 20,
            17 => 8,
            _ => 12,
        };
        let whole = vec(any::<u8>(), header..=header + 20);
        let short = vec(any::<u8>(), 0..header);
        (Just(protocol), prop_oneof![4 => whole, 1 => short])
    });
    // ICMP and similar protocols, tunnels, and numbers that are extension headers in IPv6 only.
    let common = select(&[1, 2, 4, 41, 47, 50, 58, 59, 0, 43, 44, 60][..]);
    let portless = prop_oneof![common, any::<u8>()].prop_filter("another protocol", |protocol| {
        !WITH_PORTS.contains(protocol) && !except.contains(protocol)
    });
    let other = (portless, vec(any::<u8>(), 0..40));
    prop_oneof![3 => ports.boxed(), 1 => other.boxed()].prop_map(|(protocol, mut bytes)| {
        // A TCP data offset of 20 bytes, for parsers that check it.
        if let (6, Some(offset)) = (protocol, bytes.get_mut(12)) {
            *offset = 0x50;
        }
        Upper { protocol, bytes }
    })
}

//! Frames of every kind the parser knows, built from a plan, so that what is in them is known without
//! parsing them.
//!
//! [`strategy`] makes [`Sample`]s. A plan is what is random: link, tags and labels, IP headers,
//! lengths that lie, padding; [`build`] turns it into bytes and notes on the way where each header
//! lies and what it says.

mod build;
mod carrier;
mod layers;
mod wifi;

use std::fmt;

use gomon_common::{Address, ContactFlag, Endpoint, Flags, LinkType, Packet, Skip};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use layers::{Carrier, carrier};

/// Protocols whose destination port is read.
const WITH_PORTS: [u8; 3] = [6, 17, 132];
/// Headers that IPv6 puts between its own and the transport header.
const EXTENSIONS: [u8; 5] = [0, 43, 44, 51, 60];
const AUTHENTICATION: u8 = 51;

/// A frame, and what is to be found in it.
#[derive(Clone)]
pub struct Sample {
    pub link: LinkType,
    pub frame: Vec<u8>,
    /// What there is to be found in the whole frame.
    pub expected: Result<Packet, Skip>,
    truth: Truth,
}

impl Sample {
    /// What there is to be found in the first `captured` bytes of the frame.
    pub fn expected_of(&self, captured: usize) -> Result<Packet, Skip> {
        self.truth.of(&self.frame[..captured])
    }
}

impl fmt::Debug for Sample {
    /// In the form that `xxd -r -p` and `text2pcap` take on from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ", self.link)?;
        self.frame.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ": {:?}", self.expected)
    }
}

/// Where in a frame it is told what the frame holds.
#[derive(Clone, Debug)]
struct Truth {
    /// How many bytes of the frame must be there, and what it is without them. Ascending.
    needs: Vec<(usize, Skip)>,
    /// What the frame is when all of these are there.
    verdict: Result<Walk, Skip>,
}

/// An IP packet, header by header.
#[derive(Clone, Debug)]
struct Walk {
    source: Address,
    destination: Address,
    /// Where the packet ends in the frame, by the length in its header.
    end: usize,
    /// The protocol number in the IP header.
    first: u8,
    /// For each extension header that is stepped over, how many bytes of the frame show what follows
    /// it, and what that is.
    steps: Vec<(usize, u8)>,
    /// Where the destination port lies, if there is one.
    port_at: Option<usize>,
    /// Whether this is a fragment with others behind it.
    more_fragments: bool,
}

impl Truth {
    fn of(&self, captured: &[u8]) -> Result<Packet, Skip> {
        if let Some((_, skip)) = self.needs.iter().find(|(bytes, _)| *bytes > captured.len()) {
            return Err(*skip);
        }
        let walk = self.verdict.as_ref().map_err(|skip| *skip)?;
        let packet = &captured[..captured.len().min(walk.end)];
        let shown = walk.steps.iter().take_while(|(bytes, _)| *bytes <= packet.len()).count();
        let protocol = if shown == 0 { walk.first } else { walk.steps[shown - 1].1 };
        let port = match walk.port_at.and_then(|at| packet.get(at..at + 2)) {
            Some(port) if shown == walk.steps.len() => u16::from_be_bytes([port[0], port[1]]),
            _ => 0,
        };
        let destination = Endpoint::new(walk.destination, protocol, port);
        let transport = walk.port_at.filter(|_| shown == walk.steps.len());
        let transport = transport.and_then(|at| packet.get(at - 2..)).unwrap_or_default();
        let (source_port, contact, flags) = match *transport {
            [high, low, _, _, ..] => {
                // A first fragment that ends before the flags, wherever the capture does.
                let flags_at = walk.port_at.map_or(0, |at| at + 11);
                let is_short = walk.more_fragments && walk.end <= flags_at;
                let contact = contact(protocol, transport.get(13), is_short);
                (u16::from_be_bytes([high, low]), contact, flags(protocol, transport))
            }
            _ => (0, ContactFlag::NONE, Flags::NONE),
        };
        Ok(Packet { source: walk.source, destination, source_port, contact, flags })
    }
}

/// The byte that says what kind of segment, or packet of SCTP, starts with these bytes.
fn flags(protocol: u8, transport: &[u8]) -> Flags {
    let at = match protocol {
        6 => 13,
        132 => 12,
        _ => return Flags::NONE,
    };
    transport.get(at).map_or(Flags::NONE, |byte| Flags::of(*byte))
}

fn contact(protocol: u8, flags: Option<&u8>, is_short: bool) -> ContactFlag {
    match (protocol, flags) {
        (17, _) => ContactFlag::ATTEMPT,
        (6, None) if is_short => ContactFlag::ATTEMPT,
        (6, Some(flags)) if flags & 0b1_0010 == 0b10 => ContactFlag::ATTEMPT,
        (6, Some(_)) => ContactFlag::ESTABLISHED,
        _ => ContactFlag::NONE,
    }
}

/// What a frame is built from.
#[derive(Clone, Debug)]
struct Plan {
    /// A header in front that names the link type of the rest.
    wrapped: Option<LinkType>,
    carrier: Carrier,
    /// Whether the layer below announces the other IP version.
    lie: bool,
    content: Content,
    /// Behind the packet.
    padding: Vec<u8>,
    /// What the fields are filled with that nobody is to look at, over and over.
    noise: [u8; 32],
}

#[derive(Clone, Debug)]
enum Content {
    Ipv4(Ipv4),
    Ipv6(Ipv6),
    /// Anything else, which does not start as IP does.
    Foreign(Vec<u8>),
}

#[derive(Clone, Debug)]
struct Ipv4 {
    source: [u8; 4],
    destination: [u8; 4],
    /// In words of four bytes.
    options: u8,
    /// A header length below the smallest there is.
    short_header: Option<u8>,
    length: Length,
    /// Reserved, don't fragment, more fragments.
    flags: u16,
    /// In units of eight bytes.
    fragment_offset: u16,
    authentication: Option<u8>,
    upper: Upper,
}

#[derive(Clone, Debug)]
struct Ipv6 {
    source: [u8; 16],
    destination: [u8; 16],
    length: Length,
    extensions: Vec<Extension>,
    upper: Upper,
}

/// What the length field of an IP header says.
#[derive(Clone, Debug)]
enum Length {
    Exact,
    /// As on packets captured before segmentation offload.
    Zero,
    /// Less than there is behind the header, if anything is.
    Less(Index),
    /// More than there is.
    More(u16),
    /// Less than the header itself. As [`Length::Exact`] in IPv6, which does not count its header.
    BelowHeader(Index),
}

#[derive(Clone, Debug)]
enum Extension {
    /// Hop-by-hop options, routing, destination options: the number, and the length field.
    Plain(u8, u8),
    /// The offset and the flags.
    Fragment(u16),
    /// The length field.
    Authentication(u8),
}

/// What an IP packet carries.
#[derive(Clone, Debug)]
struct Upper {
    protocol: u8,
    bytes: Vec<u8>,
}

/// Frames with what is to be found in them.
pub fn strategy() -> impl Strategy<Value = Sample> {
    plan().prop_map(|plan| build::build(&plan))
}

prop_compose! {
    fn plan()(
        wrapped in prop::option::weighted(0.1, select(&[LinkType::Pktap, LinkType::Ppi][..])),
        carrier in carrier(),
        lie in prop::bool::weighted(0.05),
        content in content(),
        padding in prop_oneof![2 => Just(vec![]), 1 => vec(any::<u8>(), 0..46)],
        noise in any::<[u8; 32]>(),
    ) -> Plan {
        Plan { wrapped, carrier, lie, content, padding, noise }
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
    // The chains that are too long have no later fragment in them, which would end them early.
    prop_oneof![
        3 => vec(prop_oneof![4 => unfragmented(), 1 => fragment], 0..=4),
        1 => vec(unfragmented(), 6..=10),
    ]
}

fn unfragmented() -> impl Strategy<Value = Extension> {
    // 31 is where a length in bytes no longer fits eight bits.
    let size = prop_oneof![6 => 0..=3u8, 1 => Just(31)];
    let plain = (select(&[0, 43, 60][..]), size);
    prop_oneof![
        6 => plain.prop_map(|(number, size)| Extension::Plain(number, size)),
        2 => authentication().prop_map(Extension::Authentication),
        // An atomic fragment; the reserved bits say nothing.
        1 => select(&[0, 2, 4, 6][..]).prop_map(Extension::Fragment),
    ]
}

/// The offset of a fragment that is not the first, single bits among them.
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

/// Anything but the protocols of `except`.
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
    // ICMP and its like, tunnels, and what is an extension header in IPv6 alone.
    let known = select(&[1, 2, 4, 41, 47, 50, 58, 59, 0, 43, 44, 60][..]);
    let portless = prop_oneof![known, any::<u8>()].prop_filter("another protocol", |protocol| {
        !WITH_PORTS.contains(protocol) && !except.contains(protocol)
    });
    let other = (portless, vec(any::<u8>(), 0..40));
    prop_oneof![3 => ports.boxed(), 1 => other.boxed()].prop_map(|(protocol, mut bytes)| {
        // A TCP header that is 20 bytes long, for those that look.
        if let (6, Some(offset)) = (protocol, bytes.get_mut(12)) {
            *offset = 0x50;
        }
        Upper { protocol, bytes }
    })
}

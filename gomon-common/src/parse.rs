//! The one header parser: from a frame to the packet that is counted, or the reason it is not.
//!
//! It looks at the *outermost* IP header only. Tunnels (GRE, IP in IP, VXLAN) are packets to the
//! tunnel's far end. Every loop has a constant bound, so the kernel's verifier accepts it.
//!
//! | layer | what is understood |
//! | --- | --- |
//! | link | see [`LinkType`] |
//! | Ethernet and cooked payloads | up to [`MAX_TAGS`] VLAN tags (802.1Q, 802.1ad, 0x9100), then IPv4, IPv6, `PPPoE` session, MPLS, and on Ethernet LLC/SNAP |
//! | IPv4 | options, fragments; an authentication header is stepped over |
//! | IPv6 | up to [`MAX_EXTENSIONS`] hop-by-hop, routing, destination options, fragment and authentication headers |
//! | transport | the ports of TCP, UDP and SCTP; of TCP whether a segment opens a connection |

use crate::endpoint::protocol;
use crate::{Address, Endpoint, Frame, LinkType, Packet, Sign};

/// VLAN tags a frame may carry.
pub const MAX_TAGS: usize = 3;
/// MPLS labels a frame may carry.
pub const MAX_LABELS: usize = 8;
/// Extension headers stepped over on the way to the transport header. Behind more of them a packet
/// is counted without a port, under the protocol number of the first one that was not stepped over.
pub const MAX_EXTENSIONS: usize = 8;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_PROVIDER_VLAN: u16 = 0x88a8;
/// What stacked tags carried before 802.1ad settled on 0x88a8.
const ETHERTYPE_OLD_PROVIDER_VLAN: u16 = 0x9100;
const ETHERTYPE_MPLS: u16 = 0x8847;
const ETHERTYPE_MPLS_MULTICAST: u16 = 0x8848;
const ETHERTYPE_PPPOE_SESSION: u16 = 0x8864;
/// At and below this an Ethernet type field is the length of an LLC frame (IEEE 802.3).
const MAX_LLC_LENGTH: u16 = 1500;
/// LLC header and zero OUI in front of an Ethernet type (RFC 1042).
const SNAP: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
/// Where a TCP header has its flags.
const TCP_FLAGS: u16 = 13;

/// Why a frame is no packet that could be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// The frame carries something other than IP: ARP, LLDP, a spanning tree frame.
    NotIp,
    /// The frame claims to carry IP, or is cut off before it could, and is broken.
    Malformed(Malformed),
}

/// How a frame is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Malformed {
    /// It ends before its outermost IP header does.
    Truncated,
    /// The version in the IP header is not the one the layer below announces.
    Version,
    /// The IPv4 header length is below 20 bytes.
    HeaderLength,
    /// The IPv4 total length is below the header length (and not 0, which stands for "not filled in
    /// yet" on packets captured before segmentation offload).
    TotalLength,
    /// It carries more VLAN tags or MPLS labels than [`MAX_TAGS`] or [`MAX_LABELS`], or a tag behind
    /// an LLC header.
    Nesting,
}

impl Malformed {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Truncated, Self::Version, Self::HeaderLength, Self::TotalLength, Self::Nesting];

    /// The reason as it is written in the summary.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Version => "version",
            Self::HeaderLength => "header_length",
            Self::TotalLength => "total_length",
            Self::Nesting => "nesting",
        }
    }
}

const TRUNCATED: Skip = Skip::Malformed(Malformed::Truncated);
const NESTING: Skip = Skip::Malformed(Malformed::Nesting);
const VERSION: Skip = Skip::Malformed(Malformed::Version);

/// Finds the outermost IP packet of a frame of link type `link`.
///
/// # Errors
///
/// [`Skip`] says why the frame holds no packet that could be counted.
#[inline]
pub fn parse<F: Frame + ?Sized>(link: LinkType, frame: &F) -> Result<Packet, Skip> {
    match link {
        LinkType::Ethernet => ethertype(frame, 14, read_u16(frame, 12)?, true),
        LinkType::LinuxSll => ethertype(frame, 16, read_u16(frame, 14)?, false),
        LinkType::LinuxSll2 => ethertype(frame, 20, read_u16(frame, 0)?, false),
        LinkType::Null | LinkType::Loop => loopback(frame),
        LinkType::Raw => by_version(frame, 0),
        LinkType::Ipv4 => ipv4(frame, 0),
        LinkType::Ipv6 => ipv6(frame, 0),
    }
}

/// What nearly every frame is: Ethernet, an IPv4 header without options or an IPv6 header, and a
/// protocol that is no extension header. Everything lies at a fixed place, so there is nothing to
/// walk, for the processor as for the kernel's verifier. `None` says nothing but that [`parse()`] has
/// to look; where there is an answer, it is the one `parse` gives.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as a function it would return a pointer into its stack")]
pub fn parse_common<F: Frame + ?Sized>(frame: &F) -> Option<Packet> {
    match frame.read(12)? {
        [0x08, 0x00, 0x45, _] => {
            let [total_high, total_low, _, _, fragment_high, fragment_low, _, protocol] =
                frame.read(16)?;
            let total = u16::from_be_bytes([total_high, total_low]);
            let later = u16::from_be_bytes([fragment_high, fragment_low]) & 0x1fff != 0;
            let (source, destination) = (frame.read(26)?, frame.read(30)?);
            if total < 20 + ports_end(protocol) || later || !protocol::has_ports(protocol) {
                return None;
            }
            let destination = Address::v4(destination);
            common(frame, 34, protocol, Address::v4(source), destination)
        }
        [0x86, 0xdd, version, _] if version >> 4 == 6 => {
            let [length_high, length_low, next] = frame.read(18)?;
            let length = u16::from_be_bytes([length_high, length_low]);
            if length < ports_end(next) || !protocol::has_ports(next) {
                return None;
            }
            let source = Address::v6_halves(frame.read(22)?, frame.read(30)?);
            let destination = Address::v6_halves(frame.read(38)?, frame.read(46)?);
            common(frame, 54, next, source, destination)
        }
        _ => None,
    }
}

/// How much of a transport header has to be there for all that is read of it.
#[inline(always)]
#[expect(clippy::inline_always, reason = "for the kernel's verifier")]
const fn ports_end(protocol: u8) -> u16 {
    if protocol == protocol::TCP { TCP_FLAGS + 1 } else { 4 }
}

/// A packet whose transport header is at `offset`, where all of it is.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as above")]
fn common<F: Frame + ?Sized>(
    frame: &F,
    offset: usize,
    protocol: u8,
    source: Address,
    destination: Address,
) -> Option<Packet> {
    let [source_high, source_low, high, low] = frame.read(offset)?;
    let sign = match protocol {
        protocol::TCP => of_segment(frame.read(offset + TCP_FLAGS as usize)?),
        protocol::UDP => Sign::OPENING,
        _ => Sign::NOTHING,
    };
    Some(Packet {
        source,
        destination: Endpoint::new(destination, protocol, u16::from_be_bytes([high, low])),
        source_port: u16::from_be_bytes([source_high, source_low]),
        sign,
    })
}

/// What the flags of a TCP segment show.
#[inline(always)]
const fn of_segment([flags]: [u8; 1]) -> Sign {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    if flags & (SYN | ACK) == SYN { Sign::OPENING } else { Sign::FOLLOWING }
}

/// What an Ethernet type announces at `offset`, past VLAN tags.
#[inline]
fn ethertype<F: Frame + ?Sized>(
    frame: &F,
    mut offset: usize,
    mut kind: u16,
    llc: bool,
) -> Result<Packet, Skip> {
    for _ in 0..MAX_TAGS {
        if !is_tag(kind) {
            break;
        }
        kind = read_u16(frame, offset + 2)?;
        offset += 4;
    }
    if llc && kind <= MAX_LLC_LENGTH {
        let header = frame.read(offset).ok_or(Skip::NotIp)?;
        if header != SNAP {
            return Err(Skip::NotIp);
        }
        kind = read_u16(frame, offset + 6)?;
        offset += 8;
    }
    match kind {
        ETHERTYPE_IPV4 => ipv4(frame, offset),
        ETHERTYPE_IPV6 => ipv6(frame, offset),
        ETHERTYPE_PPPOE_SESSION => pppoe(frame, offset),
        ETHERTYPE_MPLS | ETHERTYPE_MPLS_MULTICAST => mpls(frame, offset),
        _ if is_tag(kind) => Err(NESTING),
        _ => Err(Skip::NotIp),
    }
}

#[inline]
const fn is_tag(kind: u16) -> bool {
    matches!(kind, ETHERTYPE_VLAN | ETHERTYPE_PROVIDER_VLAN | ETHERTYPE_OLD_PROVIDER_VLAN)
}

/// A `PPPoE` session packet (RFC 2516): a six-byte header and a PPP protocol number.
fn pppoe<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Packet, Skip> {
    let [_, code, _, _, _, _, high, low] = frame.read(offset).ok_or(TRUNCATED)?;
    match (code, u16::from_be_bytes([high, low])) {
        (0, PPP_IPV4) => ipv4(frame, offset + 8),
        (0, PPP_IPV6) => ipv6(frame, offset + 8),
        _ => Err(Skip::NotIp),
    }
}

/// An MPLS label stack (RFC 3032). The stack does not name its payload; the first four bits tell IP
/// from a pseudowire, as routers have it (RFC 4928).
fn mpls<F: Frame + ?Sized>(frame: &F, mut offset: usize) -> Result<Packet, Skip> {
    for _ in 0..MAX_LABELS {
        let [_, _, bottom, _] = frame.read(offset).ok_or(TRUNCATED)?;
        offset += 4;
        if bottom & 1 == 1 {
            return by_version(frame, offset);
        }
    }
    Err(NESTING)
}

/// BSD loopback: a four-byte address family. `LINKTYPE_NULL` has it in the byte order of the host
/// that captured, which the file does not tell; families are small, so the bytes do.
fn loopback<F: Frame + ?Sized>(frame: &F) -> Result<Packet, Skip> {
    let ([0, 0, 0, family] | [family, 0, 0, 0]) = frame.read(0).ok_or(TRUNCATED)? else {
        return Err(Skip::NotIp);
    };
    match family {
        2 => ipv4(frame, 4),
        // AF_INET6 of Linux, of NetBSD and OpenBSD, of FreeBSD, of macOS.
        10 | 24 | 28 | 30 => ipv6(frame, 4),
        _ => Err(Skip::NotIp),
    }
}

/// IP of the version its own first four bits give.
fn by_version<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Packet, Skip> {
    let [first] = frame.read(offset).ok_or(TRUNCATED)?;
    match first >> 4 {
        4 => ipv4(frame, offset),
        6 => ipv6(frame, offset),
        _ => Err(Skip::NotIp),
    }
}

#[inline]
fn ipv4<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Packet, Skip> {
    // All of it first: a header that is cut off is truncated whatever it claims.
    let [version_length, _, total_high, total_low, _, _, fragment_high, fragment_low] =
        frame.read(offset).ok_or(TRUNCATED)?;
    let [_, protocol, _, _] = frame.read(offset + 8).ok_or(TRUNCATED)?;
    let source = Address::v4(frame.read(offset + 12).ok_or(TRUNCATED)?);
    let destination = Address::v4(frame.read(offset + 16).ok_or(TRUNCATED)?);
    if version_length >> 4 != 4 {
        return Err(VERSION);
    }
    let header = usize::from(version_length & 0x0f) * 4;
    if header < 20 {
        return Err(Skip::Malformed(Malformed::HeaderLength));
    }
    let total = usize::from(u16::from_be_bytes([total_high, total_low]));
    if total != 0 && total < header {
        return Err(Skip::Malformed(Malformed::TotalLength));
    }
    if header > 20 && frame.read::<1>(offset + header - 1).is_none() {
        return Err(TRUNCATED);
    }
    let rest = Rest {
        offset: offset + header,
        end: if total == 0 { usize::MAX } else { offset + total },
        later_fragment: u16::from_be_bytes([fragment_high, fragment_low]) & 0x1fff != 0,
    };
    // IPv4 knows one extension header, the authentication header.
    let (protocol, rest) = match protocol {
        protocol::AUTHENTICATION if !rest.later_fragment => extension(frame, protocol, rest),
        other => (other, rest),
    };
    Ok(rest.packet(frame, source, destination, protocol))
}

#[inline]
fn ipv6<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Packet, Skip> {
    let [version, _, _, _, length_high, length_low, mut next, _] =
        frame.read(offset).ok_or(TRUNCATED)?;
    // Read before the version is judged: a header that is cut off is truncated whatever it claims.
    let half = |at| frame.read(offset + at).ok_or(TRUNCATED);
    let source = Address::v6_halves(half(8)?, half(16)?);
    let destination = Address::v6_halves(half(24)?, half(32)?);
    if version >> 4 != 6 {
        return Err(VERSION);
    }
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    let mut rest = Rest {
        offset: offset + 40,
        // 0 is a jumbogram, or not filled in yet on packets captured before segmentation offload.
        end: if length == 0 { usize::MAX } else { offset + 40 + length },
        later_fragment: false,
    };
    for _ in 0..MAX_EXTENSIONS {
        if rest.later_fragment || !is_extension(next) {
            break;
        }
        let (after, behind) = extension(frame, next, rest);
        if behind.offset == rest.offset {
            break;
        }
        (next, rest) = (after, behind);
    }
    Ok(rest.packet(frame, source, destination, next))
}

#[inline]
const fn is_extension(next: u8) -> bool {
    matches!(
        next,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION_OPTIONS
    )
}

/// Steps over the extension header `this` at `rest`: the header after it, and where that is. Where
/// its first four bytes are cut off the walk ends: `this` comes back with `rest` unmoved.
#[inline]
fn extension<F: Frame + ?Sized>(frame: &F, this: u8, rest: Rest) -> (u8, Rest) {
    let Some([next, length, fragment_high, fragment_low]) = rest.read(frame) else {
        return (this, rest);
    };
    let (size, later_fragment) = match this {
        protocol::FRAGMENT => (8, u16::from_be_bytes([fragment_high, fragment_low]) & 0xfff8 != 0),
        protocol::AUTHENTICATION => ((usize::from(length) + 2) * 4, false),
        _ => ((usize::from(length) + 1) * 8, false),
    };
    (next, Rest { offset: rest.offset + size, later_fragment, ..rest })
}

/// What is left of a packet behind the headers read so far.
#[derive(Clone, Copy)]
struct Rest {
    /// Where the next header starts in the frame.
    offset: usize,
    /// Where the packet ends in the frame by its own word; padding may follow.
    end: usize,
    /// Whether this is a fragment other than the first, which carries no transport header.
    later_fragment: bool,
}

impl Rest {
    /// The first `N` bytes, if the packet and the capture have them.
    #[inline]
    fn read<const N: usize>(&self, frame: &(impl Frame + ?Sized)) -> Option<[u8; N]> {
        if self.offset + N > self.end {
            return None;
        }
        frame.read(self.offset)
    }

    /// The packet between two addresses, with what its transport header says if `protocol` has one
    /// here.
    #[inline]
    fn packet(
        &self,
        frame: &(impl Frame + ?Sized),
        source: Address,
        destination: Address,
        protocol: u8,
    ) -> Packet {
        let ports = if protocol::has_ports(protocol) && !self.later_fragment {
            self.read(frame)
        } else {
            None
        };
        let Some([source_high, source_low, high, low]) = ports else {
            let destination = Endpoint::new(destination, protocol, 0);
            return Packet { source, destination, source_port: 0, sign: Sign::NOTHING };
        };
        let flags = Self { offset: self.offset + usize::from(TCP_FLAGS), ..*self };
        let sign = match protocol {
            protocol::TCP => flags.read(frame).map_or(Sign::NOTHING, of_segment),
            protocol::UDP => Sign::OPENING,
            _ => Sign::NOTHING,
        };
        Packet {
            source,
            destination: Endpoint::new(destination, protocol, u16::from_be_bytes([high, low])),
            source_port: u16::from_be_bytes([source_high, source_low]),
            sign,
        }
    }
}

#[inline]
fn read_u16(frame: &(impl Frame + ?Sized), offset: usize) -> Result<u16, Skip> {
    frame.read(offset).map(u16::from_be_bytes).ok_or(TRUNCATED)
}

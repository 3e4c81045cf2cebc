//! The one header parser: from a frame to the packet that is counted, or the reason it is not.
//!
//! It looks at the *outermost* IP header only. Tunnels (GRE, IP in IP, VXLAN) are packets to the
//! tunnel's far end. Every loop has a constant bound, so the kernel's verifier accepts it.
//!
//! | layer | what is understood |
//! | --- | --- |
//! | link | see [`LinkType`] |
//! | behind an Ethernet type | up to [`MAX_TAGS`] VLAN tags in a row (802.1Q, 802.1ad, 0x9100), and up to [`MAX_LAYERS`] of what follows |
//! | encapsulations | LLC and SNAP, `PPPoE` sessions, MPLS, `MACsec` with integrity alone, 802.1ah, HSR, VN-tag, Cisco `FabricPath` and metadata, Arista timestamps, NSH; PRP ends a frame and needs nothing |
//! | IPv4 | options, fragments; an authentication header is stepped over |
//! | IPv6 | up to [`MAX_EXTENSIONS`] hop-by-hop, routing, destination options, fragment and authentication headers |
//! | transport | the ports of TCP, UDP and SCTP; of TCP the flags, of SCTP the type of the first chunk |

mod host;
mod ip;
mod layers;
mod ppp;
mod wifi;

use crate::endpoint::protocol;
use crate::{Address, ContactFlag, Endpoint, Flags, Frame, LinkType, Packet};
use layers::Layer;

/// VLAN tags a frame may carry in a row.
pub const MAX_TAGS: usize = 3;
/// Other layers between the link header and IP: a stack of labels is one.
pub const MAX_LAYERS: usize = 4;
/// MPLS labels a frame may carry in a row.
pub const MAX_LABELS: usize = 8;
/// Extension headers stepped over on the way to the transport header. Behind more of them a packet
/// is counted without a port, under the protocol number of the first one that was not stepped over.
pub const MAX_EXTENSIONS: usize = 8;

/// Where a TCP header has its flags.
const TCP_FLAGS: u16 = 13;
/// Where an SCTP packet has the type of its first chunk.
const SCTP_CHUNK: u16 = 12;

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
    /// It carries more VLAN tags, MPLS labels or other layers than [`MAX_TAGS`], [`MAX_LABELS`] or
    /// [`MAX_LAYERS`].
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

/// Finds the outermost IP packet of a frame of link type `link`.
///
/// # Errors
///
/// [`Skip`] says why the frame holds no packet that could be counted.
#[inline]
pub fn parse<F: Frame + ?Sized>(link: LinkType, frame: &F) -> Result<Packet, Skip> {
    let mut layer = behind_link(link, frame)?;
    layers::walk(frame, &mut layer)?;
    let carried = if layer.kind == layers::IPV4 {
        ip::ipv4(frame, layer.offset)?
    } else {
        ip::ipv6(frame, layer.offset)?
    };
    Ok(carried.packet(frame))
}

/// The Ethernet type of the layer that hides what is in a frame without IP: one that can't be looked into,
/// or holds nothing that could. `None` for a frame that holds IP, and where there is no such type.
#[must_use]
pub fn hidden_by<F: Frame + ?Sized>(link: LinkType, frame: &F) -> Option<u16> {
    let mut layer = behind_link(link, frame).ok()?;
    match layers::walk(frame, &mut layer) {
        Err(Skip::NotIp) => Some(layer.kind).filter(|kind| *kind > layers::LAST_LENGTH),
        _ => None,
    }
}

/// What the link header of a frame announces.
#[inline]
fn behind_link<F: Frame + ?Sized>(link: LinkType, frame: &F) -> Result<Layer, Skip> {
    // Where in a PKTAP and in a PPI header its length lies, and the link type of what is behind it.
    const PKTAP: [usize; 2] = [0, 8];
    const PPI: [usize; 2] = [2, 4];
    let (length, number) = if link == LinkType::Pktap {
        host::wrapped(frame, PKTAP)?
    } else if link == LinkType::Ppi {
        host::wrapped(frame, PPI)?
    } else {
        return behind_own_header(link, frame, 0);
    };
    match LinkType::from_number(number) {
        Some(link) if length > 0 => behind_own_header(link, frame, length),
        _ => Err(Skip::NotIp),
    }
}

/// What the link header at `offset` announces, unless it is of those that only stand in front of another.
#[inline]
fn behind_own_header<F: Frame + ?Sized>(
    link: LinkType,
    frame: &F,
    offset: usize,
) -> Result<Layer, Skip> {
    match link {
        LinkType::Ethernet => layers::ethernet(frame, offset),
        LinkType::LinuxSll => host::cooked(frame, offset + 14, offset + 16),
        LinkType::LinuxSll2 => host::cooked(frame, offset, offset + 20),
        LinkType::Null | LinkType::Loop => host::loopback(frame, offset),
        LinkType::Raw => layers::by_version(frame, offset),
        LinkType::Ipv4 => Ok(Layer { kind: layers::IPV4, offset }),
        LinkType::Ipv6 => Ok(Layer { kind: layers::IPV6, offset }),
        LinkType::Ppp => ppp::ppp(frame, offset),
        LinkType::PppSerial => ppp::serial(frame, offset),
        LinkType::Pppoe => Ok(Layer { kind: layers::PPPOE_SESSION, offset }),
        LinkType::CiscoHdlc => ppp::cisco_hdlc(frame, offset),
        LinkType::FrameRelay => ppp::frame_relay(frame, offset),
        LinkType::Nflog => host::nflog(frame, offset),
        LinkType::Ieee80211 => wifi::ieee80211(frame, offset, false),
        LinkType::Radiotap => wifi::radiotap(frame, offset),
        LinkType::Pktap | LinkType::Ppi => Err(Skip::NotIp),
    }
}

/// What nearly every frame is: Ethernet, an IPv4 header without options or an IPv6 header, and a
/// protocol that is no extension header. Everything lies at a fixed place, so there is nothing to
/// walk, for the processor as for the kernel's verifier. `None` says nothing but that [`parse()`] has
/// to look; where there is an answer, it is the one `parse` gives.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as a function it would return a pointer into its stack")]
pub fn parse_plain<F: Frame + ?Sized>(frame: &F) -> Option<Packet> {
    match frame.read(12)? {
        [0x08, 0x00, 0x45, _] => {
            let [total_high, total_low, _, _, fragment_high, fragment_low, _, protocol] =
                frame.read(16)?;
            let total = u16::from_be_bytes([total_high, total_low]);
            let later = u16::from_be_bytes([fragment_high, fragment_low]) & 0x1fff != 0;
            let (source, destination) = (frame.read(26)?, frame.read(30)?);
            if total < 20 + needed(protocol) || later || !protocol::has_ports(protocol) {
                return None;
            }
            let destination = Address::v4(destination);
            common(frame, 34, protocol, Address::v4(source), destination)
        }
        [0x86, 0xdd, version, _] if version >> 4 == 6 => {
            let [length_high, length_low, next] = frame.read(18)?;
            let length = u16::from_be_bytes([length_high, length_low]);
            if length < needed(next) || !protocol::has_ports(next) {
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
const fn needed(protocol: u8) -> u16 {
    match protocol {
        protocol::TCP => TCP_FLAGS + 1,
        protocol::SCTP if Flags::AVAILABLE => SCTP_CHUNK + 1,
        _ => 4,
    }
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
    let (contact, flags) = match protocol {
        protocol::TCP => of_segment(frame.read(offset + TCP_FLAGS as usize)?),
        protocol::UDP => (ContactFlag::ATTEMPT, Flags::NONE),
        protocol::SCTP if Flags::AVAILABLE => {
            let [chunk] = frame.read(offset + SCTP_CHUNK as usize)?;
            (ContactFlag::NONE, Flags::of(chunk))
        }
        _ => (ContactFlag::NONE, Flags::NONE),
    };
    Some(Packet {
        source,
        destination: Endpoint::new(destination, protocol, u16::from_be_bytes([high, low])),
        source_port: u16::from_be_bytes([source_high, source_low]),
        contact,
        flags,
    })
}

/// What the flags of a TCP segment show, and they themselves.
#[inline(always)]
const fn of_segment([flags]: [u8; 1]) -> (ContactFlag, Flags) {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    let contact =
        if flags & (SYN | ACK) == SYN { ContactFlag::ATTEMPT } else { ContactFlag::ESTABLISHED };
    (contact, Flags::of(flags))
}

#[inline]
fn read_u16(frame: &(impl Frame + ?Sized), offset: usize) -> Result<u16, Skip> {
    frame.read(offset).map(u16::from_be_bytes).ok_or(TRUNCATED)
}

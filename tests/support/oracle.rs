//! A second opinion: the parser's answer, worked out with etherparse.
//!
//! The answers must be equal, on frames of every kind, cut off and corrupted ones too. What etherparse
//! does not know or sees otherwise is done here by hand, and is the list of differences:
//!
//! | where | etherparse | here, as gomon has it |
//! | --- | --- | --- |
//! | every link type but Ethernet and cooked v1, every layer but VLAN tags and `MACsec` | unknown | by hand, in [`super::encapsulation`] |
//! | cooked v1 | refuses hardware types and packet types it does not know | the type field is believed |
//! | VLAN tags and `MACsec` | three together | [`MAX_TAGS`] tags in a row |
//! | a version other than the one announced | the version in the IP header is believed | malformed |
//! | IPv4 total length below the header | as if it were 0 | malformed |
//! | a later fragment | its payload is read as headers too | it has no headers |
//! | hop-by-hop options that are not the first extension | an error | stepped over |
//! | an extension header that is cut off | not believed at all | its first four bytes are |
//! | an authentication header of length 0 (RFC 4302: at least 1) | an error | stepped over by its own word, as Linux and Wireshark do |
//! | the number of extension headers | no limit | [`MAX_EXTENSIONS`] |
//! | a transport header that is cut off or broken | an error | the port is read where it is |
//! | a first TCP fragment that ends before the flags | an error | opens a connection |

use etherparse::err::{ipv4, ipv6, ipv6_exts};
use etherparse::{
    IpNumber, Ipv6ExtensionSlice, Ipv6ExtensionsSlice, LaxIpv4Slice, LaxIpv6Slice, TcpSlice,
    UdpSlice,
};
use gomon_common::parse::Malformed;
use gomon_common::{Address, ContactFlag, Endpoint, Flags, LinkType, Packet, Skip};

use super::encapsulation::{self, Version};

const MAX_EXTENSIONS: usize = 8;

const TRUNCATED: Skip = Skip::Malformed(Malformed::Truncated);
const VERSION: Skip = Skip::Malformed(Malformed::Version);
const HEADER_LENGTH: Skip = Skip::Malformed(Malformed::HeaderLength);
const TOTAL_LENGTH: Skip = Skip::Malformed(Malformed::TotalLength);

/// What there is to be found in a frame.
pub fn parse(link: LinkType, frame: &[u8]) -> Result<Packet, Skip> {
    match encapsulation::packet(link, frame)? {
        (Version::V4, packet) => ipv4(packet),
        (Version::V6, packet) => ipv6(packet),
    }
}

fn ipv4(packet: &[u8]) -> Result<Packet, Skip> {
    use ipv4::{HeaderError, HeaderSliceError};

    // The lengths are compared before the options are looked for.
    let total_below_header = packet.first_chunk::<20>().is_some_and(|header| {
        let total = u16::from_be_bytes([header[2], header[3]]);
        total != 0 && total < 4 * u16::from(header[0] & 0xf)
    });
    let slice = match LaxIpv4Slice::from_slice(packet) {
        Ok((slice, _)) if !total_below_header => slice,
        Ok(_) => return Err(TOTAL_LENGTH),
        Err(HeaderSliceError::Content(HeaderError::UnexpectedVersion { .. })) => {
            return Err(VERSION);
        }
        Err(HeaderSliceError::Content(HeaderError::HeaderLengthSmallerThanHeader { .. })) => {
            return Err(HEADER_LENGTH);
        }
        Err(HeaderSliceError::Len(_)) if total_below_header => return Err(TOTAL_LENGTH),
        Err(HeaderSliceError::Len(_)) => return Err(TRUNCATED),
    };
    let header = slice.header();
    let payload = slice.payload();
    let (protocol, transport) = if header.fragments_offset().value() != 0 {
        (header.protocol(), None)
    } else if header.protocol() == IpNumber::AUTHENTICATION_HEADER
        && slice.extensions().auth.is_none()
    {
        match step_over(header.protocol(), payload.payload) {
            Some((next, behind, _)) => (next, Some(behind)),
            None => (header.protocol(), None),
        }
    } else {
        (payload.ip_number, Some(payload.payload))
    };
    let (source, destination) = (header.source(), header.destination());
    let end = usize::from(slice.header().total_len());
    let short = header.more_fragments() && end != 0 && is_short(packet, transport, end);
    Ok(between(Address::v4(source), Address::v4(destination), protocol, transport, short))
}

/// Whether a packet that ends at `end` by its own word ends before the flags of a TCP header at
/// `transport`.
fn is_short(packet: &[u8], transport: Option<&[u8]>, end: usize) -> bool {
    transport.is_some_and(|transport| {
        let offset = transport.as_ptr().addr().wrapping_sub(packet.as_ptr().addr());
        !transport.is_empty() && end < offset + 14
    })
}

fn ipv6(packet: &[u8]) -> Result<Packet, Skip> {
    let slice = match LaxIpv6Slice::from_slice(packet) {
        Ok((slice, _)) => slice,
        Err(ipv6::HeaderSliceError::Len(_)) => return Err(TRUNCATED),
        Err(ipv6::HeaderSliceError::Content(_)) => return Err(VERSION),
    };
    let header = slice.header();
    let length = slice.extensions().slice().len() + slice.payload().payload.len();
    let payload = &packet[header.slice().len()..][..length];
    let mut more_fragments = false;
    let (protocol, transport) =
        behind_extensions(header.next_header(), payload, &mut more_fragments);
    let (source, destination) = (header.source(), header.destination());
    let end = usize::from(header.payload_length());
    let short = more_fragments && end != 0 && is_short(packet, transport, 40 + end);
    Ok(between(Address::v6(source), Address::v6(destination), protocol, transport, short))
}

/// What follows the extension headers that are stepped over, and where it is if it can be looked into.
/// Of a fragment it is noted whether it is the last.
fn behind_extensions<'a>(
    first: IpNumber,
    payload: &'a [u8],
    more_fragments: &mut bool,
) -> (IpNumber, Option<&'a [u8]>) {
    let (mut next, mut rest) = (first, payload);
    let mut stepped = 0;
    loop {
        let (headers, after, behind, stop) = Ipv6ExtensionsSlice::from_slice_lax(next, rest);
        // Where an error ended the walk, etherparse's iterator does not end by itself: it takes what is
        // behind the last header for one more, unchecked.
        let mut left = headers.slice().len();
        let mut headers = headers.into_iter();
        while left > 0
            && let Some(header) = headers.next()
        {
            if stepped == MAX_EXTENSIONS {
                return (next, None);
            }
            stepped += 1;
            if let Ipv6ExtensionSlice::Fragment(header) = &header {
                *more_fragments = header.more_fragments();
            }
            let (size, later_fragment);
            (next, size, later_fragment) = following(&header);
            if later_fragment {
                return (next, None);
            }
            left -= size;
        }
        assert_eq!(next, after, "etherparse agrees with itself");
        rest = behind;
        match stop {
            None => return (next, Some(rest)),
            // Taken up again, with the hop-by-hop options in the first place.
            Some((
                ipv6_exts::HeaderSliceError::Content(ipv6_exts::HeaderError::HopByHopNotAtStart),
                _,
            )) => {}
            Some(_) if stepped == MAX_EXTENSIONS => return (next, None),
            Some(_) => match step_over(next, rest) {
                None => return (next, None),
                Some((after, _, true)) => return (after, None),
                Some((after, behind, false)) => {
                    stepped += 1;
                    if next == IpNumber::IPV6_FRAGMENTATION_HEADER {
                        *more_fragments = rest[3] & 1 == 1;
                    }
                    (next, rest) = (after, behind);
                }
            },
        }
    }
}

/// The number of the header that follows `header`, the size of `header`, and whether it makes this a
/// later fragment.
fn following(header: &Ipv6ExtensionSlice<'_>) -> (IpNumber, usize, bool) {
    match header {
        Ipv6ExtensionSlice::HopByHop(header)
        | Ipv6ExtensionSlice::Routing(header)
        | Ipv6ExtensionSlice::DestinationOptions(header) => {
            (header.next_header(), header.slice().len(), false)
        }
        Ipv6ExtensionSlice::Fragment(header) => {
            (header.next_header(), header.slice().len(), header.fragment_offset().value() != 0)
        }
        Ipv6ExtensionSlice::Authentication(header) => {
            (header.next_header(), header.slice().len(), false)
        }
    }
}

/// Takes an extension header that etherparse refuses by its first four bytes: the number of the next
/// one, what of it is there, and whether this is a later fragment.
fn step_over(number: IpNumber, rest: &[u8]) -> Option<(IpNumber, &[u8], bool)> {
    let [next, length, offset @ ..] = *rest.first_chunk::<4>()?;
    let (size, later_fragment) = match number {
        IpNumber::AUTHENTICATION_HEADER => (4 * (usize::from(length) + 2), false),
        IpNumber::IPV6_FRAGMENTATION_HEADER => (8, u16::from_be_bytes(offset) >> 3 != 0),
        _ => (8 * (usize::from(length) + 1), false),
    };
    Some((IpNumber(next), rest.get(size..).unwrap_or_default(), later_fragment))
}

/// The packet between two addresses with this transport header.
fn between(
    source: Address,
    destination: Address,
    protocol: IpNumber,
    transport: Option<&[u8]>,
    is_short_fragment: bool,
) -> Packet {
    let bytes = transport.unwrap_or_default();
    // A header that is cut off or broken is read as far as it goes.
    let cut = || Some((u16_at(bytes, 0)?, u16_at(bytes, 2)?));
    let flag = |at: usize| bytes.get(at).map_or(Flags::NONE, |byte| Flags::of(*byte));
    let (ports, contact, flags) = match protocol {
        IpNumber::TCP => match TcpSlice::from_slice(bytes) {
            Ok(tcp) => {
                let ports = Some((tcp.source_port(), tcp.destination_port()));
                let opens = tcp.syn() && !tcp.ack();
                (
                    ports,
                    if opens { ContactFlag::ATTEMPT } else { ContactFlag::ESTABLISHED },
                    flags_of(&tcp),
                )
            }
            Err(_) => match bytes.get(13) {
                Some(flags) if flags & 2 != 0 && flags & 16 == 0 => {
                    (cut(), ContactFlag::ATTEMPT, flag(13))
                }
                Some(_) => (cut(), ContactFlag::ESTABLISHED, flag(13)),
                None if is_short_fragment && cut().is_some() => {
                    (cut(), ContactFlag::ATTEMPT, Flags::NONE)
                }
                None => (cut(), ContactFlag::NONE, Flags::NONE),
            },
        },
        IpNumber::UDP => {
            let udp = UdpSlice::from_slice_lax(bytes);
            let ports =
                udp.map_or_else(|_| cut(), |udp| Some((udp.source_port(), udp.destination_port())));
            let contact = if ports.is_some() { ContactFlag::ATTEMPT } else { ContactFlag::NONE };
            (ports, contact, Flags::NONE)
        }
        // Of SCTP etherparse knows the number alone.
        IpNumber::SCTP => (cut(), ContactFlag::NONE, flag(12)),
        _ => (None, ContactFlag::NONE, Flags::NONE),
    };
    let (source_port, port) = ports.unwrap_or_default();
    let destination = Endpoint::new(destination, protocol.0, port);
    Packet { source, destination, source_port, contact, flags }
}

/// The flags of a segment, flag by flag.
fn flags_of(tcp: &TcpSlice<'_>) -> Flags {
    let from_the_lowest =
        [tcp.fin(), tcp.syn(), tcp.rst(), tcp.psh(), tcp.ack(), tcp.urg(), tcp.ece(), tcp.cwr()];
    let byte = from_the_lowest.iter().rev().fold(0, |byte, flag| byte << 1 | u8::from(*flag));
    Flags::of(byte)
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(offset..)?.first_chunk()?))
}

//! A reference parser, based on etherparse.
//!
//! Its result must equal that of gomon's parser on frames of every kind, including truncated and corrupted ones.
//! Where etherparse lacks support or differs, the reference parser has its own implementation. These are the
//! differences:
//!
//! | subject | etherparse | here and in gomon |
//! | --- | --- | --- |
//! | link types other than Ethernet and cooked v1, layers other than VLAN tags and `MACsec` | not supported | implemented in [`super::encapsulation`] |
//! | cooked v1 | rejects unknown hardware types and packet types | only the type field is used |
//! | VLAN tags and `MACsec` | three together | three consecutive tags |
//! | a version other than the one announced | uses the version in the IP header | malformed |
//! | IPv4 total length below the header | as if it were 0 | malformed |
//! | a later fragment | parses its payload as headers | it has no headers |
//! | hop-by-hop options that are not the first extension | an error | skipped |
//! | a truncated extension header | ignored | its first four bytes are used |
//! | an authentication header of length 0 (RFC 4302: at least 1) | an error | skipped by its length field, as Linux and Wireshark do |
//! | the number of extension headers | no limit | [`MAX_EXTENSIONS`] |
//! | a truncated or malformed transport header | an error | the port is read if it is captured |
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

/// Parses a frame.
pub fn parse(link: LinkType, frame: &[u8]) -> Result<Packet, Skip> {
    match encapsulation::packet(link, frame)? {
        (Version::V4, packet) => ipv4(packet),
        (Version::V6, packet) => ipv6(packet),
    }
}

fn ipv4(packet: &[u8]) -> Result<Packet, Skip> {
    use ipv4::{HeaderError, HeaderSliceError};

    // The lengths are compared before the options are parsed.
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
        match skip_header(header.protocol(), payload.payload) {
            Some((next, rest, _)) => (next, Some(rest)),
            None => (header.protocol(), None),
        }
    } else {
        (payload.ip_number, Some(payload.payload))
    };
    let (source, destination) = (header.source(), header.destination());
    let end = usize::from(slice.header().total_len());
    let short = header.more_fragments() && end != 0 && is_short(packet, transport, end);
    Ok(with_transport(Address::v4(source), Address::v4(destination), protocol, transport, short))
}

/// Whether a packet that ends at `end` by its length field ends before the flags of a TCP header at `transport`.
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
    let (protocol, transport) = skip_extensions(header.next_header(), payload, &mut more_fragments);
    let (source, destination) = (header.source(), header.destination());
    let end = usize::from(header.payload_length());
    let short = more_fragments && end != 0 && is_short(packet, transport, 40 + end);
    Ok(with_transport(Address::v6(source), Address::v6(destination), protocol, transport, short))
}

/// Skips extension headers. Returns the protocol after them, and its bytes unless they cannot be parsed. Sets
/// `more_fragments` of a fragment.
fn skip_extensions<'a>(
    first: IpNumber,
    payload: &'a [u8],
    more_fragments: &mut bool,
) -> (IpNumber, Option<&'a [u8]>) {
    let (mut next, mut rest) = (first, payload);
    let mut skipped = 0;
    loop {
        let (headers, after, remaining, stop) = Ipv6ExtensionsSlice::from_slice_lax(next, rest);
        // After an error, etherparse's iterator does not end at the last header: it returns the bytes after it as
        // one more header, unchecked. So the length is tracked here.
        let mut left = headers.slice().len();
        let mut headers = headers.into_iter();
        while left > 0
            && let Some(header) = headers.next()
        {
            if skipped == MAX_EXTENSIONS {
                return (next, None);
            }
            skipped += 1;
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
        assert_eq!(next, after, "etherparse is consistent");
        rest = remaining;
        match stop {
            None => return (next, Some(rest)),
            // Continue with the hop-by-hop options as the first header.
            Some((
                ipv6_exts::HeaderSliceError::Content(ipv6_exts::HeaderError::HopByHopNotAtStart),
                _,
            )) => {}
            Some(_) if skipped == MAX_EXTENSIONS => return (next, None),
            Some(_) => match skip_header(next, rest) {
                None => return (next, None),
                Some((after, _, true)) => return (after, None),
                Some((after, remaining, false)) => {
                    skipped += 1;
                    if next == IpNumber::IPV6_FRAGMENTATION_HEADER {
                        *more_fragments = rest[3] & 1 == 1;
                    }
                    (next, rest) = (after, remaining);
                }
            },
        }
    }
}

/// Returns the number of the header after `header`, the size of `header`, and whether this is a later fragment.
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

/// Skips an extension header that etherparse rejects, by its first four bytes. Returns the number of the next header,
/// the remaining bytes, and whether this is a later fragment.
fn skip_header(number: IpNumber, rest: &[u8]) -> Option<(IpNumber, &[u8], bool)> {
    let [next, length, offset @ ..] = *rest.first_chunk::<4>()?;
    let (size, later_fragment) = match number {
        IpNumber::AUTHENTICATION_HEADER => (4 * (usize::from(length) + 2), false),
        IpNumber::IPV6_FRAGMENTATION_HEADER => (8, u16::from_be_bytes(offset) >> 3 != 0),
        _ => (8 * (usize::from(length) + 1), false),
    };
    Some((IpNumber(next), rest.get(size..).unwrap_or_default(), later_fragment))
}

/// Returns the packet with these addresses and this transport header.
fn with_transport(
    source: Address,
    destination: Address,
    protocol: IpNumber,
    transport: Option<&[u8]>,
    is_short_fragment: bool,
) -> Packet {
    let bytes = transport.unwrap_or_default();
    // Of a truncated or malformed header, the ports are read if they are captured.
    let captured_ports = || Some((u16_at(bytes, 0)?, u16_at(bytes, 2)?));
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
                    (captured_ports(), ContactFlag::ATTEMPT, flag(13))
                }
                Some(_) => (captured_ports(), ContactFlag::ESTABLISHED, flag(13)),
                None if is_short_fragment && captured_ports().is_some() => {
                    (captured_ports(), ContactFlag::ATTEMPT, Flags::NONE)
                }
                None => (captured_ports(), ContactFlag::NONE, Flags::NONE),
            },
        },
        IpNumber::UDP => {
            let udp = UdpSlice::from_slice_lax(bytes);
            let ports = udp.map_or_else(
                |_| captured_ports(),
                |udp| Some((udp.source_port(), udp.destination_port())),
            );
            let contact = if ports.is_some() { ContactFlag::ATTEMPT } else { ContactFlag::NONE };
            (ports, contact, Flags::NONE)
        }
        // etherparse does not parse SCTP.
        IpNumber::SCTP => (captured_ports(), ContactFlag::NONE, flag(12)),
        _ => (None, ContactFlag::NONE, Flags::NONE),
    };
    let (source_port, port) = ports.unwrap_or_default();
    let destination = Endpoint::new(destination, protocol.0, port);
    Packet { source, destination, source_port, contact, flags }
}

/// Returns the flags of a segment, from its individual flags.
fn flags_of(tcp: &TcpSlice<'_>) -> Flags {
    let ascending =
        [tcp.fin(), tcp.syn(), tcp.rst(), tcp.psh(), tcp.ack(), tcp.urg(), tcp.ece(), tcp.cwr()];
    let byte = ascending.iter().rev().fold(0, |byte, flag| byte << 1 | u8::from(*flag));
    Flags::of(byte)
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(offset..)?.first_chunk()?))
}

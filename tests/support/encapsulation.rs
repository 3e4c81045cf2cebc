//! The part of the reference parser that finds the IP packet: with etherparse where it supports the headers, and an
//! independent implementation of the specifications for the rest.

use etherparse::err::macsec::HeaderSliceError;
use etherparse::{
    Ethernet2Slice, LinuxSllProtocolType, LinuxSllSlice, MacsecHeaderSlice, SingleVlanSlice,
};
use gomon_common::parse::Malformed;
use gomon_common::{LinkType, Skip};

// The parser's documented limits, repeated here because they are under test.
const MAX_TAGS: usize = 3;
const MAX_LAYERS: usize = 4;
const MAX_LABELS: usize = 8;

const TRUNCATED: Skip = Skip::Malformed(Malformed::Truncated);
const NESTING: Skip = Skip::Malformed(Malformed::Nesting);

/// The IP version that the layer below announces.
#[derive(Clone, Copy)]
pub enum Version {
    V4,
    V6,
}

type Found<'a> = Result<(Version, &'a [u8]), Skip>;

/// Returns the outermost IP packet of a frame, and its announced version.
pub fn packet(link: LinkType, frame: &[u8]) -> Found<'_> {
    if link == LinkType::Pktap {
        return wrapped(frame, u16_le(frame, 0), frame.get(8..));
    }
    if link == LinkType::Ppi {
        return wrapped(frame, u16_le(frame, 2), frame.get(4..));
    }
    after_link_type(link, frame)
}

fn wrapped<'a>(frame: &'a [u8], length: Option<u16>, number: Option<&'a [u8]>) -> Found<'a> {
    let number = number.and_then(<[u8]>::first_chunk).ok_or(TRUNCATED)?;
    let length = usize::from(length.ok_or(TRUNCATED)?);
    match LinkType::from_number(u32::from_le_bytes(*number)) {
        None | Some(LinkType::Pktap | LinkType::Ppi) => Err(Skip::NotIp),
        Some(_) if length == 0 => Err(Skip::NotIp),
        Some(link) => after_link_type(link, frame.get(length..).unwrap_or_default()),
    }
}

fn after_link_type(link: LinkType, frame: &[u8]) -> Found<'_> {
    match link {
        LinkType::Ethernet => ethernet(frame, 0),
        LinkType::LinuxSll => {
            let (kind, payload) = linux_sll(frame).ok_or(TRUNCATED)?;
            cooked(kind, payload)
        }
        LinkType::LinuxSll2 => {
            // The type comes first, so it is known even if the rest of the header is truncated.
            let payload = frame.get(20..).unwrap_or_default();
            cooked(u16_at(frame, 0).ok_or(TRUNCATED)?, payload)
        }
        LinkType::Null | LinkType::Loop => {
            if frame.starts_with(&[0xff, 3]) {
                return ppp(frame);
            }
            let (family, packet) = frame.split_first_chunk::<4>().ok_or(TRUNCATED)?;
            let number = [u32::from_be_bytes(*family), u32::from_le_bytes(*family)];
            match number.into_iter().find_map(|number| u16::try_from(number).ok()) {
                Some(2) => Ok((Version::V4, packet)),
                Some(23) => by_version(packet),
                Some(10 | 24 | 28 | 30) => Ok((Version::V6, packet)),
                Some(kind) if kind >= 0x600 => typed(kind, packet, 0),
                _ => Err(Skip::NotIp),
            }
        }
        LinkType::Raw => by_version(frame),
        LinkType::Ipv4 => Ok((Version::V4, frame)),
        LinkType::Ipv6 => Ok((Version::V6, frame)),
        LinkType::Ppp => ppp(frame),
        LinkType::PppSerial => match frame.first().ok_or(TRUNCATED)? {
            0x0f | 0x8f => announced(frame, 2, 0),
            _ => ppp(frame),
        },
        LinkType::Pppoe => pppoe(frame),
        LinkType::CiscoHdlc => announced(frame, 2, 0),
        LinkType::FrameRelay => frame_relay(frame),
        LinkType::Nflog => nflog(frame),
        LinkType::Ieee80211 => wifi(frame, false),
        LinkType::Radiotap => radiotap(frame),
        LinkType::Pktap | LinkType::Ppi => Err(Skip::NotIp),
    }
}

fn linux_sll(frame: &[u8]) -> Option<(u16, &[u8])> {
    match LinuxSllSlice::from_slice(frame).map(|sll| (sll.protocol_type(), sll.payload_slice())) {
        Ok((LinuxSllProtocolType::EtherType(kind), payload)) => Some((kind.0, payload)),
        _ => Some((u16_at(frame, 14)?, frame.get(16..)?)),
    }
}

fn cooked(kind: u16, payload: &[u8]) -> Found<'_> {
    match kind {
        4 => llc(payload, 1),
        0..=0x5ff => Err(Skip::NotIp),
        _ => typed(kind, payload, 0),
    }
}

fn ethernet(frame: &[u8], layers: usize) -> Found<'_> {
    let header = Ethernet2Slice::from_slice_without_fcs(frame).map_err(|_| TRUNCATED)?;
    typed(header.ether_type().0, header.payload_slice(), layers)
}

/// Parses what the Ethernet type at offset `at` announces, after `layers` layers.
fn announced(bytes: &[u8], at: usize, layers: usize) -> Found<'_> {
    typed(u16_at(bytes, at).ok_or(TRUNCATED)?, &bytes[at + 2..], layers)
}

/// Parses what an Ethernet type announces, after `layers` layers.
fn typed(mut kind: u16, mut payload: &[u8], layers: usize) -> Found<'_> {
    if layers > MAX_LAYERS {
        return Err(NESTING);
    }
    let mut tags = 0;
    while [0x8100, 0x88a8, 0x9100].contains(&kind) {
        if tags == MAX_TAGS {
            return Err(NESTING);
        }
        tags += 1;
        let tag = SingleVlanSlice::from_slice(payload).map_err(|_| TRUNCATED)?;
        (kind, payload) = (tag.ether_type().0, tag.payload_slice());
    }
    let layers = layers + 1;
    let after = |bytes| payload.get(bytes..).unwrap_or_default();
    match kind {
        0x0800 => Ok((Version::V4, payload)),
        0x86dd => Ok((Version::V6, payload)),
        0..=0x5ff | 0x8870 => llc(payload, layers),
        0x8847 | 0x8848 => unless_nested(mpls(payload), layers),
        0x8864 => unless_nested(pppoe(payload), layers),
        0x6558 => ethernet(payload, layers),
        0x8903 => ethernet(after(2), layers),
        0x88e7 => ethernet(after(4), layers),
        0x8926 | 0x892f => announced(payload, 4, layers),
        0x8909 => announced(payload, 6, layers),
        0x88e5 => macsec(payload, layers),
        0xd28b => match payload.first_chunk::<4>().ok_or(TRUNCATED)? {
            [0, 1, _, 0x10] => announced(payload, 12, layers),
            [0, 1, _, 0x20] => announced(payload, 10, layers),
            _ => Err(Skip::NotIp),
        },
        0x894f => nsh(payload, layers),
        _ => Err(Skip::NotIp),
    }
}

/// Returns `found`, or an error if too many layers precede it.
fn unless_nested(found: Found<'_>, layers: usize) -> Found<'_> {
    if layers > MAX_LAYERS { found.and(Err(NESTING)) } else { found }
}

fn llc(payload: &[u8], layers: usize) -> Found<'_> {
    match payload {
        [0x06, 0x06, 0x03, packet @ ..] => unless_nested(Ok((Version::V4, packet)), layers),
        [0xaa, 0xaa, 0x03, 0, 0, 0 | 0xf8, rest @ ..] => announced(rest, 0, layers),
        _ => Err(Skip::NotIp),
    }
}

fn mpls(payload: &[u8]) -> Found<'_> {
    let mut labels = payload.chunks(4).take(MAX_LABELS);
    let bottom = labels.position(|label| label.get(2).is_none_or(|flags| flags & 1 == 1));
    match bottom {
        Some(label) => by_version(payload.get(4 * label + 4..).ok_or(TRUNCATED)?),
        None if payload.len() < 4 * MAX_LABELS => Err(TRUNCATED),
        None => Err(NESTING),
    }
}

fn macsec(payload: &[u8], layers: usize) -> Found<'_> {
    if payload.first().ok_or(TRUNCATED)? & 0x8c != 0 {
        return Err(Skip::NotIp);
    }
    match MacsecHeaderSlice::from_slice(payload) {
        // The short length field is ignored: an IP packet has its own length.
        Ok(tag) => announced(payload, tag.slice().len() - 2, layers),
        Err(HeaderSliceError::Len(_)) => Err(TRUNCATED),
        // An invalid short length.
        Err(_) => announced(payload, if payload[0] & 0x20 == 0 { 6 } else { 14 }, layers),
    }
}

fn nsh(payload: &[u8], layers: usize) -> Found<'_> {
    let [first, length, _, next] = *payload.first_chunk().ok_or(TRUNCATED)?;
    let bytes = 4 * usize::from(length % 64);
    if first >= 0x40 || bytes < 8 {
        return Err(Skip::NotIp);
    }
    let kinds = [0x0800, 0x86dd, 0x6558, 0x894f, 0x8847];
    let kind = kinds.get(usize::from(next).wrapping_sub(1)).ok_or(Skip::NotIp)?;
    typed(*kind, payload.get(bytes..).unwrap_or_default(), layers)
}

fn pppoe(payload: &[u8]) -> Found<'_> {
    let (header, rest) = payload.split_first_chunk::<6>().ok_or(TRUNCATED)?;
    if header[1] == 0 { protocol(rest) } else { Err(Skip::NotIp) }
}

fn ppp(frame: &[u8]) -> Found<'_> {
    protocol(frame.strip_prefix(&[0xff, 3]).unwrap_or(frame))
}

fn protocol(frame: &[u8]) -> Found<'_> {
    match frame {
        [0x21, packet @ ..] | [0, 0x21, packet @ ..] => Ok((Version::V4, packet)),
        [0x57, packet @ ..] | [0, 0x57, packet @ ..] => Ok((Version::V6, packet)),
        [] => Err(TRUNCATED),
        [even] if even % 2 == 0 => Err(TRUNCATED),
        _ => Err(Skip::NotIp),
    }
}

fn frame_relay(frame: &[u8]) -> Found<'_> {
    let last = frame.iter().take(4).skip(1).position(|byte| byte % 2 == 1);
    let rest = match last {
        Some(last) => &frame[last + 2..],
        None => frame.get(4..).ok_or(TRUNCATED)?,
    };
    if *rest.first().ok_or(TRUNCATED)? != 3 {
        return announced(rest, 0, 0);
    }
    let rest = rest[1..].strip_prefix(&[0]).unwrap_or(&rest[1..]);
    match rest {
        []
        | [0x80]
        | [0x80, _]
        | [0x80, _, _]
        | [0x80, 0, 0x80, 0xc2]
        | [0x80, 0, 0x80, 0xc2, _] => Err(TRUNCATED),
        [0xcc, packet @ ..] => Ok((Version::V4, packet)),
        [0x8e, packet @ ..] => Ok((Version::V6, packet)),
        [0x80, 0, 0, 0, rest @ ..] => announced(rest, 0, 0),
        [0x80, 0, 0x80, 0xc2, 0, 1 | 7, frame @ ..] => ethernet(frame, 0),
        _ => Err(Skip::NotIp),
    }
}

fn nflog(frame: &[u8]) -> Found<'_> {
    let version = match frame.first().ok_or(TRUNCATED)? {
        2 => Version::V4,
        10 => Version::V6,
        _ => return Err(Skip::NotIp),
    };
    let mut rest = frame.get(4..).ok_or(TRUNCATED)?;
    let number = match rest {
        [_, _, 0, low, ..] if *low != 0 => u16::from_be_bytes,
        _ => u16::from_le_bytes,
    };
    for _ in 0..32 {
        let length = number(*rest.first_chunk().ok_or(TRUNCATED)?);
        let kind = number(*rest.get(2..).and_then(<[u8]>::first_chunk).ok_or(TRUNCATED)?);
        if length < 4 {
            return Err(Skip::NotIp);
        }
        if kind % 0x4000 == 9 {
            return Ok((version, &rest[4..]));
        }
        rest = rest.get(4 * usize::from(length).div_ceil(4)..).unwrap_or_default();
    }
    Err(Skip::NotIp)
}

fn radiotap(frame: &[u8]) -> Found<'_> {
    let [version, _, low, high] = *frame.first_chunk().ok_or(TRUNCATED)?;
    if version != 0 {
        return Err(Skip::NotIp);
    }
    let length = usize::from(u16::from_le_bytes([low, high]));
    let mut words = Vec::new();
    for word in frame[4..].chunks(4).chain([&[][..]]).take(8) {
        words.push(u32::from_le_bytes(word.try_into().map_err(|_| TRUNCATED)?));
        let (has_flags, continues) = (words[0] & 2 != 0, words[words.len() - 1] >> 31 == 1);
        if !has_flags || !continues {
            break;
        }
    }
    let fields = 4 + 4 * words.len();
    let at = if words[0] & 1 == 1 { fields.next_multiple_of(8) + 8 } else { fields };
    let padded = if words[0] & 2 != 0 && at < length {
        frame.get(at).ok_or(TRUNCATED)? & 0x20 != 0
    } else {
        false
    };
    wifi(frame.get(length..).unwrap_or_default(), padded)
}

fn wifi(frame: &[u8], padded: bool) -> Found<'_> {
    let [kind, flags] = *frame.first_chunk().ok_or(TRUNCATED)?;
    // Version 0, a data frame that carries data, not encrypted.
    if kind & 0b1111 != 0b1000 || kind & 0b0100_0000 != 0 || flags & 0b0100_0000 != 0 {
        return Err(Skip::NotIp);
    }
    if frame.get(22).ok_or(TRUNCATED)? % 16 != 0 {
        return Err(Skip::NotIp);
    }
    let addresses = if flags % 4 == 3 { 4 } else { 3 };
    let quality = 6 + 6 * addresses;
    let mut length = quality;
    let mut aggregate = false;
    if kind >= 0x80 {
        aggregate = *frame.get(quality).ok_or(TRUNCATED)? >= 0x80;
        length += if flags >= 0x80 { 6 } else { 2 };
    }
    if padded {
        length = length.next_multiple_of(4);
    }
    let body = frame.get(length..).unwrap_or_default();
    if aggregate { ethernet(body, 0) } else { llc(body, 1) }
}

fn by_version(packet: &[u8]) -> Found<'_> {
    match packet.first().ok_or(TRUNCATED)? >> 4 {
        4 => Ok((Version::V4, packet)),
        6 => Ok((Version::V6, packet)),
        _ => Err(Skip::NotIp),
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u16_le(bytes: &[u8], offset: usize) -> Option<u16> {
    u16_at(bytes, offset).map(u16::swap_bytes)
}

//! Link headers of a host's own capture interfaces: cooked, loopback, netfilter's log.

use super::layer::{IPV4, IPV6, Layer, by_version, llc};
use super::ppp;
use super::skip::{Skip, TRUNCATED, read_u16};
use crate::Frame;

/// The maximum number of attributes of an NFLOG frame that are read. The kernel defines about twenty.
const MAX_ATTRIBUTES: usize = 32;

/// Parses a Linux cooked header of either version, with its type at `at` and its end at `end`. Types below the
/// `EtherType`s are specific to Linux (`ETH_P_*`).
pub(super) fn cooked<F: Frame + ?Sized>(frame: &F, at: usize, end: usize) -> Result<Layer, Skip> {
    const LLC: u16 = 4;
    match read_u16(frame, at)? {
        LLC => Ok(llc(end)),
        0..0x0600 => Err(Skip::NotIp),
        kind => Ok(Layer { kind, offset: end }),
    }
}

/// Parses a BSD loopback header: a four-byte address family. `LINKTYPE_NULL` has it in the byte order of the
/// capturing host, which the file does not state, but which the two bytes that are 0 show. Some systems write an
/// `EtherType` there, or a PPP frame instead.
pub(super) fn loopback<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    if frame.read(offset) == Some(ppp::HDLC) {
        return ppp::ppp(frame, offset);
    }
    let number = match frame.read(offset).ok_or(TRUNCATED)? {
        [0, 0, high, low] | [low, high, 0, 0] => u16::from_be_bytes([high, low]),
        _ => return Err(Skip::NotIp),
    };
    let kind = match number {
        2 => IPV4,
        // AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, and macOS.
        10 | 24 | 28 | 30 => IPV6,
        // AF_INET6 of Windows, which is AF_IPX on the BSDs.
        23 => return by_version(frame, offset + 4),
        0..0x0600 => return Err(Skip::NotIp),
        kind => kind,
    };
    Ok(Layer { kind, offset: offset + 4 })
}

/// Parses a packet that netfilter logged: an address family and attributes, one of which is the packet. Lengths and
/// types are in the byte order of the capturing host, which the type of the first attribute shows.
pub(super) fn nflog<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    const HEADER: usize = 4;
    const PAYLOAD: u16 = 9;
    /// Flags in a type, above its number: nested attributes, network byte order.
    const FLAGS: u16 = 0xc000;

    let [family] = frame.read(offset).ok_or(TRUNCATED)?;
    let kind = match family {
        2 => IPV4,
        10 => IPV6,
        _ => return Err(Skip::NotIp),
    };
    let big_endian = matches!(frame.read(offset + HEADER + 2), Some([0, low]) if low != 0);
    let mut at = offset + HEADER;
    for _ in 0..MAX_ATTRIBUTES {
        let number = |offset| {
            let bytes = frame.read(offset).ok_or(TRUNCATED)?;
            Ok(if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
        };
        let (length, attribute) = (usize::from(number(at)?), number(at + 2)?);
        if length < HEADER {
            return Err(Skip::NotIp);
        }
        if attribute & !FLAGS == PAYLOAD {
            return Ok(Layer { kind, offset: at + HEADER });
        }
        at += length.next_multiple_of(4);
    }
    Err(Skip::NotIp)
}

/// Parses a header in front of a frame of another link type. Returns the header's length and the number of that
/// link type.
pub(super) fn wrapped<F: Frame + ?Sized>(
    frame: &F,
    [length, number]: [usize; 2],
) -> Result<(usize, u32), Skip> {
    let number = frame.read(number).ok_or(TRUNCATED)?;
    let [low, high] = frame.read(length).ok_or(TRUNCATED)?;
    Ok((usize::from(u16::from_le_bytes([low, high])), u32::from_le_bytes(number)))
}

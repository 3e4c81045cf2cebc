//! Link headers that a host's own capture interfaces make: cooked, loopback, netfilter's log.

use super::layers::{IPV4, IPV6, Layer, by_version, llc};
use super::{Skip, TRUNCATED, ppp, read_u16};
use crate::Frame;

/// Attributes of an NFLOG frame that are looked at: the kernel has about twenty of them.
const MAX_ATTRIBUTES: usize = 32;

/// A Linux cooked header of either version, which has its type at `at` and ends at `end`. Numbers that
/// are no Ethernet types are Linux's own (`ETH_P_*`).
pub(super) fn cooked<F: Frame + ?Sized>(frame: &F, at: usize, end: usize) -> Result<Layer, Skip> {
    const LLC: u16 = 4;
    match read_u16(frame, at)? {
        LLC => Ok(llc(end)),
        0..0x0600 => Err(Skip::NotIp),
        kind => Ok(Layer { kind, offset: end }),
    }
}

/// BSD loopback: a four-byte address family. `LINKTYPE_NULL` has it in the byte order of the host
/// that captured, which the file does not tell; families are small, so the bytes do. Some systems write
/// an Ethernet type there, or a PPP frame instead.
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
        // AF_INET6 of Linux, of NetBSD and OpenBSD, of FreeBSD, of macOS.
        10 | 24 | 28 | 30 => IPV6,
        // That of Windows is the BSDs' number of IPX.
        23 => return by_version(frame, offset + 4),
        0..0x0600 => return Err(Skip::NotIp),
        kind => kind,
    };
    Ok(Layer { kind, offset: offset + 4 })
}

/// A packet that netfilter logged: an address family and attributes, one of which is the packet. Their
/// numbers are in the byte order of the host that captured, which the first one's type shows.
pub(super) fn nflog<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    const HEADER: usize = 4;
    const PAYLOAD: u16 = 9;
    /// What a type may have set beside its number: that attributes are in it, or network order.
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

/// What stands in front of a frame of another link type: how long it is, and that type.
pub(super) fn wrapped<F: Frame + ?Sized>(
    frame: &F,
    [length, number]: [usize; 2],
) -> Result<(usize, u32), Skip> {
    let number = frame.read(number).ok_or(TRUNCATED)?;
    let [low, high] = frame.read(length).ok_or(TRUNCATED)?;
    Ok((usize::from(u16::from_le_bytes([low, high])), u32::from_le_bytes(number)))
}

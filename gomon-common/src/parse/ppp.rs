//! PPP, and the other link headers of serial lines.

use super::layer::{IPV4, IPV6, Layer, ethernet, typed};
use super::skip::{Skip, TRUNCATED, read_u16};
use crate::Frame;

/// The address and control fields of HDLC-like framing (RFC 1662).
pub(super) const HDLC: [u8; 2] = [0xff, 0x03];

/// Parses a PPP protocol field, which may be compressed to one byte: the lowest bit of the last byte is set, and
/// that of the first of two bytes is clear (RFC 1661, section 6.5).
#[inline]
pub(super) fn protocol<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    let [first] = frame.read(offset).ok_or(TRUNCATED)?;
    let (protocol, size) =
        if first & 1 == 1 { (u16::from(first), 1) } else { (read_u16(frame, offset)?, 2) };
    let kind = match protocol {
        0x0021 => IPV4,
        0x0057 => IPV6,
        _ => return Err(Skip::NotIp),
    };
    Ok(Layer { kind, offset: offset + size })
}

/// Parses a PPP frame, whose address and control fields may be omitted (RFC 1661, section 6.6).
pub(super) fn ppp<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    let framed = frame.read(offset) == Some(HDLC);
    protocol(frame, if framed { offset + 2 } else { offset })
}

/// Parses a frame of a serial line: PPP or Cisco HDLC.
pub(super) fn serial<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    match frame.read(offset).ok_or(TRUNCATED)? {
        [0x0f | 0x8f] => cisco_hdlc(frame, offset),
        [_] => ppp(frame, offset),
    }
}

/// Parses Cisco HDLC (RFC 1547, section 4.3.1): an address, a zero byte, and an `EtherType`.
pub(super) fn cisco_hdlc<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    typed(frame, offset + 2)
}

/// Parses frame relay: an address of two to four bytes (Q.922), then Cisco's encapsulation by `EtherType`, or a
/// network layer protocol identifier (RFC 2427).
pub(super) fn frame_relay<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    const UNNUMBERED: u8 = 0x03;
    const PADDING: u8 = 0;

    let mut at = offset + 1;
    for last in 1..4 {
        let [address] = frame.read(offset + last).ok_or(TRUNCATED)?;
        at = offset + last + 1;
        if address & 1 == 1 {
            break;
        }
    }
    if frame.read(at).ok_or(TRUNCATED)? != [UNNUMBERED] {
        return typed(frame, at);
    }
    if frame.read(at + 1) == Some([PADDING]) {
        at += 1;
    }
    match frame.read(at + 1).ok_or(TRUNCATED)? {
        [0xcc] => Ok(Layer { kind: IPV4, offset: at + 2 }),
        [0x8e] => Ok(Layer { kind: IPV6, offset: at + 2 }),
        [0x80] => match frame.read(at + 2).ok_or(TRUNCATED)? {
            [0, 0, 0] => typed(frame, at + 5),
            // A bridged Ethernet frame, with or without its frame check sequence.
            [0, 0x80, 0xc2] => match frame.read(at + 5).ok_or(TRUNCATED)? {
                [0, 1 | 7] => ethernet(frame, at + 7),
                _ => Err(Skip::NotIp),
            },
            _ => Err(Skip::NotIp),
        },
        _ => Err(Skip::NotIp),
    }
}

//! A layer between the link header and IP, and how a header announces the next layer.

use super::skip::{Skip, TRUNCATED, read_u16};
use crate::Frame;

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
/// The highest length field of an LLC frame (IEEE 802.3). Lengths up to 0x05ff exceed the standard's limit,
/// but are not `EtherType`s either.
pub(super) const LAST_LENGTH: u16 = 0x05ff;

/// An offset in a frame, and the kind of header that starts there.
#[derive(Clone, Copy)]
pub(super) struct Layer {
    /// An `EtherType`; a number below 0x0600 means an LLC header.
    pub(super) kind: u16,
    pub(super) offset: usize,
}

/// Returns the LLC header at `offset`.
pub(super) const fn llc(offset: usize) -> Layer {
    Layer { kind: 0, offset }
}

/// Returns the layer that an Ethernet header at `offset` announces.
#[inline]
pub(super) fn ethernet<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    typed(frame, offset + 12)
}

/// Returns the layer that an `EtherType` at `offset` announces, which starts right after it.
#[inline]
pub(super) fn typed<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    Ok(Layer { kind: read_u16(frame, offset)?, offset: offset + 2 })
}

/// Returns the IP header at `offset`, whose first four bits are its version.
#[inline]
pub(super) fn by_version<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    let [first] = frame.read(offset).ok_or(TRUNCATED)?;
    let kind = match first >> 4 {
        4 => IPV4,
        6 => IPV6,
        _ => return Err(Skip::NotIp),
    };
    Ok(Layer { kind, offset })
}

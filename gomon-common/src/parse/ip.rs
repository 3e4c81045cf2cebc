//! The IP header, extension headers, and the transport header.

use super::skip::{Malformed, Skip, TRUNCATED};
use super::transport::{SCTP_CHUNK, TCP_FLAGS, of_segment};
use crate::endpoint::protocol;
use crate::{Address, ContactFlag, Endpoint, Flags, Frame, Packet};

/// The maximum number of extension headers that are skipped before the transport header. A packet with more of them
/// is counted without a port, under the protocol number of the first one that is not skipped.
pub const MAX_EXTENSIONS: usize = 8;

const VERSION: Skip = Skip::Malformed(Malformed::Version);

/// Parses an IPv4 header and an authentication header after it.
#[inline]
pub(super) fn ipv4<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Carried, Skip> {
    // The whole header is read before it is validated: one that is cut off is truncated, whatever its fields.
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
    let fragment = u16::from_be_bytes([fragment_high, fragment_low]);
    let rest = Rest {
        offset: offset + header,
        end: if total == 0 { usize::MAX } else { offset + total },
        later_fragment: fragment & 0x1fff != 0,
        more_fragments: fragment & 0x2000 != 0,
    };
    // IPv4 has one extension header, the authentication header.
    let (protocol, rest) = match protocol {
        protocol::AUTHENTICATION if !rest.later_fragment => extension(frame, protocol, rest),
        other => (other, rest),
    };
    Ok(Carried { source, destination, protocol, rest })
}

/// Parses an IPv6 header and its extension headers.
#[inline]
pub(super) fn ipv6<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Carried, Skip> {
    let [version, _, _, _, length_high, length_low, mut next, _] =
        frame.read(offset).ok_or(TRUNCATED)?;
    // Read before the version is checked: a header that is cut off is truncated, whatever its fields.
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
        more_fragments: false,
    };
    for _ in 0..MAX_EXTENSIONS {
        if rest.later_fragment || !protocol::is_extension(next) {
            break;
        }
        let (following, after) = extension(frame, next, rest);
        if after.offset == rest.offset {
            break;
        }
        (next, rest) = (following, after);
    }
    Ok(Carried { source, destination, protocol: next, rest })
}

/// Skips the extension header `this` at the start of `rest`. Returns the number of the next header, and the
/// rest that starts with it. If the first four bytes are cut off, returns `this` and `rest` unchanged.
#[inline]
fn extension<F: Frame + ?Sized>(frame: &F, this: u8, rest: Rest) -> (u8, Rest) {
    let Some([next, length, fragment_high, fragment_low]) = rest.read(frame) else {
        return (this, rest);
    };
    let fragment = u16::from_be_bytes([fragment_high, fragment_low]);
    let (size, later_fragment, more_fragments) = match this {
        protocol::FRAGMENT => (8, fragment & 0xfff8 != 0, fragment & 1 != 0),
        protocol::AUTHENTICATION => ((usize::from(length) + 2) * 4, false, rest.more_fragments),
        _ => ((usize::from(length) + 1) * 8, false, rest.more_fragments),
    };
    (next, Rest { offset: rest.offset + size, later_fragment, more_fragments, ..rest })
}

/// The part of a packet after the headers read so far.
#[derive(Clone, Copy)]
struct Rest {
    /// The offset of the next header in the frame.
    offset: usize,
    /// The end of the packet in the frame, by its length field; padding may follow.
    end: usize,
    /// Whether this is a fragment other than the first, which carries no transport header.
    later_fragment: bool,
    /// Whether fragments follow this one.
    more_fragments: bool,
}

impl Rest {
    /// Reads the first `N` bytes, if both the packet and the captured frame have them.
    #[inline]
    fn read<const N: usize>(&self, frame: &(impl Frame + ?Sized)) -> Option<[u8; N]> {
        if self.offset + N > self.end {
            return None;
        }
        frame.read(self.offset)
    }
}

/// The contents of an IP header and its extension headers.
#[derive(Clone, Copy)]
pub(super) struct Carried {
    source: Address,
    destination: Address,
    protocol: u8,
    rest: Rest,
}

impl Carried {
    /// Returns the packet, with the fields of its transport header if it has one in this frame.
    #[inline]
    pub(super) fn packet(&self, frame: &(impl Frame + ?Sized)) -> Packet {
        let Self { source, destination, protocol, rest } = *self;
        let ports = if protocol::has_ports(protocol) && !rest.later_fragment {
            rest.read(frame)
        } else {
            None
        };
        let Some([source_high, source_low, high, low]) = ports else {
            let destination = Endpoint::new(destination, protocol, 0);
            return Packet { source, destination, ..Packet::default() };
        };
        let at = |offset: u16| Rest { offset: rest.offset + usize::from(offset), ..rest };
        let (contact, flags) = match protocol {
            protocol::TCP => match at(TCP_FLAGS).read(frame) {
                Some(flags) => of_segment(flags),
                // A first fragment that ends before the flags. No network stack sends one (RFC 1858), so it
                // is treated as a hidden SYN.
                None if rest.more_fragments && rest.end <= at(TCP_FLAGS).offset => {
                    (ContactFlag::ATTEMPT, Flags::NONE)
                }
                None => (ContactFlag::NONE, Flags::NONE),
            },
            protocol::UDP => (ContactFlag::ATTEMPT, Flags::NONE),
            protocol::SCTP if Flags::AVAILABLE => {
                let chunk = at(SCTP_CHUNK).read(frame);
                (ContactFlag::NONE, chunk.map_or(Flags::NONE, |[chunk]| Flags::of(chunk)))
            }
            _ => (ContactFlag::NONE, Flags::NONE),
        };
        Packet {
            source,
            destination: Endpoint::new(destination, protocol, u16::from_be_bytes([high, low])),
            source_port: u16::from_be_bytes([source_high, source_low]),
            contact,
            flags,
        }
    }
}

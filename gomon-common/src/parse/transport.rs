//! The fields of transport headers that the parsers read.

use crate::endpoint::protocol;
use crate::{ContactFlag, Flags};

/// The offset of the flags in a TCP header.
pub(super) const TCP_FLAGS: u16 = 13;
/// The offset of the first chunk's type in an SCTP packet.
pub(super) const SCTP_CHUNK: u16 = 12;

/// Returns the number of bytes of a transport header that the parsers read.
#[inline(always)]
#[expect(clippy::inline_always, reason = "for the kernel's verifier")]
pub(super) const fn needed(protocol: u8) -> u16 {
    match protocol {
        protocol::TCP => TCP_FLAGS + 1,
        protocol::SCTP if Flags::AVAILABLE => SCTP_CHUNK + 1,
        _ => 4,
    }
}

/// Returns the contact flag of a TCP segment with these flags, and the flags.
#[inline(always)]
pub(super) const fn of_segment([flags]: [u8; 1]) -> (ContactFlag, Flags) {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    let contact =
        if flags & (SYN | ACK) == SYN { ContactFlag::ATTEMPT } else { ContactFlag::ESTABLISHED };
    (contact, Flags::of(flags))
}

//! What nearly every frame is, read without a branch that hangs on what is in it.
//!
//! Half of a flood may be TCP and half UDP, in no order. Every step that is taken for one alone is then
//! guessed wrong by the processor every other time, which costs more than all the rest of counting a
//! packet. So what differs is computed for both, and what is read are numbers as they lie in the frame.
//! The frames are those of one kind: Ethernet, IPv4 without options, TCP or UDP, no later fragment, and
//! so much captured that a TCP header's flags would be. `None` says nothing but that the parser has to
//! look; where there is an answer, it is the parser's, and `tests/parser.rs` holds that.

use gomon_common::{Flags, protocol};

use crate::core::V4Packet;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
/// TCP up to its flags.
const SEGMENT: usize = 14;
/// Where in the frame the flags lie.
const FLAGS: usize = ETHERNET + IPV4 + SEGMENT - 1;

/// The packet in a frame that starts with an Ethernet header.
#[must_use]
#[inline(always)]
#[expect(
    clippy::inline_always,
    clippy::needless_bitwise_bool,
    clippy::verbose_bit_mask,
    reason = "the innermost loop of a replay, without branches"
)]
pub fn parse(frame: &[u8]) -> Option<V4Packet> {
    let head: &[u8; ETHERNET + IPV4 + SEGMENT] = frame.first_chunk()?;
    let u16 = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let address = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];

    let [kind_high, kind_low, version_and_length, _] = address(12);
    let (protocol, flags) = (head[23], head[FLAGS]);
    let (is_tcp, is_udp) = (protocol == protocol::TCP, protocol == protocol::UDP);
    // Of a plain "or" the compiler makes the very branch that can't be guessed.
    let is_neither = u16::from(protocol ^ protocol::TCP) * u16::from(protocol ^ protocol::UDP) != 0;
    // As much as is read of either: ports, and of TCP its flags.
    let needed = 24 + u16::from(is_tcp) * 10;
    let is_common = (kind_high, kind_low, version_and_length) == (0x08, 0x00, 0x45)
        && !is_neither
        && u16(16) >= needed
        && u16(20) & 0x1fff == 0;
    is_common.then_some(V4Packet {
        source: address(26),
        source_port: u16(34),
        destination: address(30),
        protocol,
        port: u16(36),
        opens: is_udp | (flags & 0x12 == 0x02),
    })
}

/// The flags of `packet`, which [`parse`] found in `frame`.
#[must_use]
#[inline]
pub fn flags(frame: &[u8], packet: &V4Packet) -> Flags {
    match frame.get(FLAGS) {
        Some(flags) if packet.protocol == protocol::TCP => Flags::of(*flags),
        _ => Flags::NONE,
    }
}

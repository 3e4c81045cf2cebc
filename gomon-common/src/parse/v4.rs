//! A branch-free parser for the most common frames: Ethernet, IPv4 without options, TCP or UDP.
//!
//! In a flood, TCP and UDP packets may alternate at random. The branch predictor then mispredicts half of the
//! branches that depend on the protocol, which costs more than the rest of counting a packet. So the values for
//! both protocols are computed and the right one is selected. Addresses stay in the byte order of the frame.

use crate::endpoint::protocol;
use crate::{Address, ContactFlag, Endpoint, Flags, Packet};

const ETHERNET: usize = 14;
const IPV4: usize = 20;
/// The length of a TCP header up to and including its flags.
const SEGMENT: usize = 14;
/// The offset of the TCP flags in the frame.
const FLAGS: usize = ETHERNET + IPV4 + SEGMENT - 1;

/// A TCP or UDP packet over IPv4, in the byte order of the frame where that is cheaper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V4Packet {
    /// The source address.
    pub source: [u8; 4],
    /// The source port.
    pub source_port: u16,
    /// The destination address.
    pub destination: [u8; 4],
    /// TCP or UDP.
    pub protocol: u8,
    /// The destination port.
    pub port: u16,
    /// Whether the packet is a contact attempt ([`ContactFlag::ATTEMPT`]); otherwise it is
    /// [`ContactFlag::ESTABLISHED`].
    pub is_attempt: bool,
}

impl V4Packet {
    /// Parses a frame that starts with an Ethernet header.
    ///
    /// Returns the packet that [`parse()`](super::parse()) returns, or `None` if the frame must be parsed by
    /// [`parse()`](super::parse()). It is `None` for other protocols, for fragments other than the first, and if
    /// the captured bytes end before the offset of the TCP flags, for UDP too.
    #[must_use]
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        clippy::needless_bitwise_bool,
        clippy::verbose_bit_mask,
        reason = "the innermost loop of a replay, without branches"
    )]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let head: &[u8; ETHERNET + IPV4 + SEGMENT] = frame.first_chunk()?;
        let u16 = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let address = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];

        let [type_high, type_low, version_and_length, _] = address(12);
        let (protocol, flags) = (head[23], head[FLAGS]);
        let (is_tcp, is_udp) = (protocol == protocol::TCP, protocol == protocol::UDP);
        // For `is_tcp || is_udp` the compiler emits the branch that can't be predicted.
        let is_neither =
            u16::from(protocol ^ protocol::TCP) * u16::from(protocol ^ protocol::UDP) != 0;
        // The bytes of the IP packet that are read: the ports, and the flags of TCP.
        let needed = 24 + u16::from(is_tcp) * 10;
        let is_common = (type_high, type_low, version_and_length) == (0x08, 0x00, 0x45)
            && !is_neither
            && u16(16) >= needed
            && u16(20) & 0x1fff == 0;
        is_common.then_some(Self {
            source: address(26),
            source_port: u16(34),
            destination: address(30),
            protocol,
            port: u16(36),
            is_attempt: is_udp | (flags & 0x12 == 0x02),
        })
    }

    /// Returns the TCP flags of this packet, which was parsed from `frame`.
    #[must_use]
    #[inline]
    pub fn flags(&self, frame: &[u8]) -> Flags {
        match frame.get(FLAGS) {
            Some(flags) if self.protocol == protocol::TCP => Flags::of(*flags),
            _ => Flags::NONE,
        }
    }

    /// Converts to a [`Packet`] with these flags. They are not stored here, because counting does not need
    /// them.
    #[must_use]
    #[inline]
    pub fn packet(&self, flags: Flags) -> Packet {
        Packet {
            source: Address::v4(self.source),
            destination: Endpoint::new(Address::v4(self.destination), self.protocol, self.port),
            source_port: self.source_port,
            contact: self.contact(),
            flags,
        }
    }

    /// Returns the contact flag of the packet.
    #[must_use]
    #[inline]
    pub fn contact(&self) -> ContactFlag {
        if self.is_attempt { ContactFlag::ATTEMPT } else { ContactFlag::ESTABLISHED }
    }
}

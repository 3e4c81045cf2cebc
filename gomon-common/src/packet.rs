//! A packet, as far as it is looked into.

use crate::{Address, Endpoint};

/// What the parser finds in a frame whose outermost IP header is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// The outermost source address.
    pub source: Address,
    /// The outermost destination. Its port is 0 where the protocol has none, where the packet is a
    /// later fragment, and where the capture or the packet ends before the port.
    pub destination: Endpoint,
    /// The port it comes from, 0 where that of the destination is.
    pub source_port: u16,
    /// What it shows of the contact between the two.
    pub sign: Sign,
}

impl Packet {
    /// Where it comes from, as the destination of an answer.
    #[must_use]
    #[inline]
    pub const fn origin(&self) -> Endpoint {
        Endpoint::new(self.source, self.destination.protocol(), self.source_port)
    }
}

/// What a packet shows of the contact between its sender and its receiver.
///
/// A number and no `enum`: where a type has values to spare, the compiler keeps there whether a `Result`
/// is an error, and the kernel (6.18) refuses the description of a type that does so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Sign(u8);

impl Sign {
    /// Nothing: its protocol has no contacts, or what would tell is cut off or in another fragment.
    pub const NOTHING: Self = Self(0);
    /// The sender may hope for an answer: a TCP SYN without ACK, or a UDP datagram.
    pub const OPENING: Self = Self(1);
    /// The sender got an answer to its SYN, or gives one: any other TCP segment.
    pub const FOLLOWING: Self = Self(2);

    /// The sign as a number.
    #[must_use]
    #[inline]
    pub const fn number(self) -> u8 {
        self.0
    }
}

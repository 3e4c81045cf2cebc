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
    pub contact: ContactFlag,
    /// The flags of a TCP segment, or the type of an SCTP packet's first chunk.
    pub flags: Flags,
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
pub struct ContactFlag(u8);

impl ContactFlag {
    /// Nothing: its protocol has no contacts, or what would tell is cut off or in another fragment.
    pub const NONE: Self = Self(0);
    /// The sender may hope for an answer: a TCP SYN without ACK, or a UDP datagram.
    pub const ATTEMPT: Self = Self(1);
    /// The sender got an answer to its SYN, or gives one: any other TCP segment.
    pub const ESTABLISHED: Self = Self(2);

    /// The sign as a number.
    #[must_use]
    #[inline]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// A byte of a transport header that says what kind of segment or packet this is: of TCP the flags from CWR
/// to FIN, of SCTP the type of the first chunk. There may be none: other protocols have no such byte, and it
/// may be cut off or in another fragment.
///
/// A number and no `Option`, for the reason above. The kernel program has no use for it: there it takes no
/// room, is always [`Flags::NONE`], and nothing is read for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(#[cfg(not(target_arch = "bpf"))] u16);

impl Flags {
    /// Whether they are told at all.
    pub(crate) const AVAILABLE: bool = !cfg!(target_arch = "bpf");

    /// There is no such byte.
    pub const NONE: Self = Self(
        #[cfg(not(target_arch = "bpf"))]
        0,
    );

    /// This byte, which any may be.
    #[must_use]
    #[inline]
    #[cfg_attr(target_arch = "bpf", expect(unused_variables, reason = "it is not told"))]
    pub const fn of(byte: u8) -> Self {
        Self(
            #[cfg(not(target_arch = "bpf"))]
            {
                0x100 | byte as u16
            },
        )
    }

    /// The byte, if there is one.
    #[cfg(not(target_arch = "bpf"))]
    #[must_use]
    #[inline]
    pub const fn byte(self) -> Option<u8> {
        let [there, byte] = self.0.to_be_bytes();
        if there == 0 { None } else { Some(byte) }
    }
}

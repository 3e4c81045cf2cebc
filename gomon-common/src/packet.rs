//! The parsed headers of a packet.

use crate::{Address, Endpoint};

/// The fields that the parser finds in a frame with a complete outermost IP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// The outermost source address.
    pub source: Address,
    /// The outermost destination. Its port is 0 if the protocol has no ports, if the packet is a fragment
    /// other than the first, and if the capture or the packet ends before the port.
    pub destination: Endpoint,
    /// The source port. It is 0 in the same cases.
    pub source_port: u16,
    /// The packet's part in the contact between source and destination.
    pub contact: ContactFlag,
    /// The flags of a TCP segment, or the type of an SCTP packet's first chunk.
    pub flags: Flags,
}

impl Packet {
    /// Returns the endpoint that the packet was sent from, to which a reply is sent.
    #[must_use]
    #[inline]
    pub const fn source_endpoint(&self) -> Endpoint {
        Endpoint::new(self.source, self.destination.protocol(), self.source_port)
    }
}

/// A packet's part in the contact between its source and its destination.
///
/// A number and not an `enum`: the compiler stores the discriminant of a `Result` in the unused values of a
/// type, and the kernel (6.18) rejects the BTF of a type that does so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct ContactFlag(u8);

impl ContactFlag {
    /// None: the protocol has no contacts, or the transport header is cut off or in another fragment.
    pub const NONE: Self = Self(0);
    /// The source may expect a reply: a TCP SYN without ACK, or a UDP datagram.
    pub const ATTEMPT: Self = Self(1);
    /// The source has received a reply to its SYN, or sends one: any other TCP segment.
    pub const ESTABLISHED: Self = Self(2);

    /// Returns the flag as a number.
    #[must_use]
    #[inline]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// The byte of a transport header that distinguishes kinds of segments or packets: for TCP the flags from CWR
/// to FIN, for SCTP the type of the first chunk. It is absent for other protocols, and if it is cut off or in
/// another fragment.
///
/// A number and not an `Option`, for the same reason as [`ContactFlag`]. The kernel program does not use it:
/// there the type has no size, its value is always [`Flags::NONE`], and nothing is read for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(#[cfg(not(target_arch = "bpf"))] u16);

impl Flags {
    /// Whether the type holds flags on this target.
    pub(crate) const AVAILABLE: bool = !cfg!(target_arch = "bpf");

    /// No flags.
    pub const NONE: Self = Self(
        #[cfg(not(target_arch = "bpf"))]
        0,
    );

    /// Flags with this byte, which may have any value.
    #[must_use]
    #[inline]
    #[cfg_attr(target_arch = "bpf", expect(unused_variables, reason = "not stored"))]
    pub const fn of(byte: u8) -> Self {
        Self(
            #[cfg(not(target_arch = "bpf"))]
            {
                0x100 | byte as u16
            },
        )
    }

    /// Returns the byte, if there is one.
    #[cfg(not(target_arch = "bpf"))]
    #[must_use]
    #[inline]
    pub const fn byte(self) -> Option<u8> {
        let [present, byte] = self.0.to_be_bytes();
        if present == 0 { None } else { Some(byte) }
    }
}

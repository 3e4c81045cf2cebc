//! A packet of the kind that most are, in numbers as they lie in a frame.

use gomon_common::{Address, ContactFlag, Endpoint, Flags, Packet};

use super::endpoint_table::EndpointKey;

/// A packet of TCP or UDP over IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V4Packet {
    /// Its source address.
    pub source: [u8; 4],
    /// Its source port.
    pub source_port: u16,
    /// Its destination address.
    pub destination: [u8; 4],
    /// TCP or UDP.
    pub protocol: u8,
    /// Its destination port.
    pub port: u16,
    /// Whether its sender may hope for an answer: [`ContactFlag::ATTEMPT`], otherwise [`ContactFlag::ESTABLISHED`].
    pub opens: bool,
}

impl V4Packet {
    /// The same packet as any other is described, with these flags: they are no part of it, since nearly all
    /// that becomes of it can do without them.
    #[must_use]
    pub fn packet(&self, flags: Flags) -> Packet {
        Packet {
            source: Address::v4(self.source),
            destination: Endpoint::new(Address::v4(self.destination), self.protocol, self.port),
            source_port: self.source_port,
            contact: self.contact(),
            flags,
        }
    }

    #[inline]
    pub(super) fn contact(&self) -> ContactFlag {
        if self.opens { ContactFlag::ATTEMPT } else { ContactFlag::ESTABLISHED }
    }

    #[inline]
    pub(super) fn key(&self) -> EndpointKey {
        EndpointKey::new(self.destination, self.protocol, self.port)
    }
}

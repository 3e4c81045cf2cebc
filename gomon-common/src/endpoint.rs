//! The destination endpoint, the key of the per-endpoint counts.

use core::fmt;
use core::hash::{Hash, Hasher};

use crate::address::Address;

/// The IP protocol numbers that gomon handles specially (IANA, "Assigned Internet Protocol Numbers").
#[expect(missing_docs, reason = "the names are those of the IANA registry")]
pub mod protocol {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const AUTHENTICATION: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const DESTINATION_OPTIONS: u8 = 60;
    pub const SCTP: u8 = 132;

    /// Returns whether the protocol's header starts with a source and a destination port that gomon reads.
    #[must_use]
    #[inline]
    pub const fn has_ports(protocol: u8) -> bool {
        matches!(protocol, TCP | UDP | SCTP)
    }

    /// Returns whether this is an IPv6 extension header that the parser skips.
    #[must_use]
    #[inline]
    pub const fn is_extension(protocol: u8) -> bool {
        matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS)
    }
}

/// A destination endpoint: address, port and IP protocol.
///
/// The layout is part of the BPF map interface: 16 bytes of address, two bytes of port in network byte
/// order, one byte of protocol, and five bytes of padding that are always 0. `Ord` compares address, then
/// protocol, then port.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Endpoint {
    address: Address,
    /// The last eight bytes as one number, for the same reason as in [`Address`].
    service: u64,
}

const _: () = assert!(size_of::<Endpoint>() == 24 && align_of::<Endpoint>() == 8);

impl Endpoint {
    /// Creates an endpoint. `port` is 0 if the protocol has no ports or the frame does not contain one.
    #[must_use]
    #[inline]
    pub const fn new(address: Address, protocol: u8, port: u16) -> Self {
        Self { address, service: ((port as u64) << 48 | (protocol as u64) << 40).to_be() }
    }

    /// Decodes an endpoint from the map key layout.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 24]) -> Self {
        let [address @ .., high, low, protocol, _, _, _, _, _] = bytes;
        Self::new(Address::v6(address), protocol, u16::from_be_bytes([high, low]))
    }

    /// Encodes the endpoint in the map key layout.
    #[must_use]
    pub fn bytes(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let (address, service) = bytes.split_at_mut(16);
        address.copy_from_slice(&self.address.bytes());
        service.copy_from_slice(&self.service.to_ne_bytes());
        bytes
    }

    /// Returns the destination host.
    #[must_use]
    #[inline]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Returns the destination port, or 0 if there is none.
    #[must_use]
    #[inline]
    pub const fn port(&self) -> u16 {
        (u64::from_be(self.service) >> 48) as u16
    }

    /// Returns the IP protocol number.
    #[must_use]
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "keeps the eight bits of the protocol")]
    pub const fn protocol(&self) -> u8 {
        (u64::from_be(self.service) >> 40) as u8
    }
}

impl Hash for Endpoint {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address.hash(state);
        state.write_u64(self.service);
    }
}

impl Ord for Endpoint {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        let key = |e: &Self| (e.address, e.protocol(), e.port());
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Endpoint {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.address, self.port(), self.protocol())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_host_protocol_port() {
        let low = Address::v4([10, 0, 0, 1]);
        let high = Address::v4([10, 0, 0, 2]);
        let mut endpoints = [
            Endpoint::new(high, protocol::TCP, 1),
            Endpoint::new(low, protocol::UDP, 1),
            Endpoint::new(low, protocol::TCP, 700),
            Endpoint::new(low, protocol::TCP, 80),
        ];
        endpoints.sort();
        let seen: Vec<_> =
            endpoints.iter().map(|e| (e.address(), e.protocol(), e.port())).collect();
        assert_eq!(seen, [(low, 6, 80), (low, 6, 700), (low, 17, 1), (high, 6, 1)]);
    }
}

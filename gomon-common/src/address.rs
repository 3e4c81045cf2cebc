//! The IP address type used as a key in BPF maps and in user space.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The low 64 bits of `::ffff:0:0`, the prefix of IPv4-mapped addresses.
const MAPPED: u64 = 0xffff_0000_0000;

/// An IPv4 or IPv6 address: 16 bytes in network byte order.
///
/// IPv4 addresses are stored IPv4-mapped (`::ffff:a.b.c.d`), so each address has a single
/// representation and `10.0.0.5` equals `::ffff:10.0.0.5`. `Ord` compares the bytes, which within an
/// address family is numeric order.
///
/// The bytes are stored as two `u64`s so that copying, comparing, and hashing take two operations. Done
/// byte by byte, these dominate the cost of the eBPF program.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Address {
    /// Eight bytes each, in network byte order; [`Address::halves`] converts them to host byte order.
    high: u64,
    low: u64,
}

const _: () = assert!(size_of::<Address>() == 16 && align_of::<Address>() == 8);

impl Address {
    /// Creates an IPv4 address from its octets.
    #[must_use]
    #[inline]
    pub const fn v4(octets: [u8; 4]) -> Self {
        Self { high: 0, low: (MAPPED | u32::from_be_bytes(octets) as u64).to_be() }
    }

    /// Creates an IPv6 address from its octets.
    #[must_use]
    #[inline]
    #[expect(clippy::many_single_char_names, reason = "one name for each of sixteen bytes")]
    pub const fn v6(octets: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
        Self::v6_halves([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p])
    }

    /// Creates an IPv6 address from its high and low eight octets.
    #[must_use]
    #[inline]
    pub const fn v6_halves(high: [u8; 8], low: [u8; 8]) -> Self {
        Self { high: u64::from_ne_bytes(high), low: u64::from_ne_bytes(low) }
    }

    /// Returns the 16 bytes in network byte order, with IPv4 addresses in their mapped form.
    #[must_use]
    #[inline]
    #[expect(clippy::many_single_char_names, reason = "one name for each of sixteen bytes")]
    pub const fn bytes(self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h] = self.high.to_ne_bytes();
        let [i, j, k, l, m, n, o, p] = self.low.to_ne_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// Returns the address as two numbers in host byte order, high half first.
    #[must_use]
    #[inline]
    pub const fn halves(self) -> [u64; 2] {
        [u64::from_be(self.high), u64::from_be(self.low)]
    }

    /// Returns whether this is an IPv4 address.
    #[must_use]
    #[inline]
    pub const fn is_v4(self) -> bool {
        let [high, low] = self.halves();
        high == 0 && low >> 32 == MAPPED >> 32
    }

    /// Converts the address to the standard library's type.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        let [.., a, b, c, d] = self.bytes();
        if self.is_v4() {
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        } else {
            IpAddr::V6(Ipv6Addr::from(self.bytes()))
        }
    }
}

impl Hash for Address {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [high, low] = self.halves();
        state.write_u64(high);
        state.write_u64(low);
    }
}

impl Ord for Address {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.halves().cmp(&other.halves())
    }
}

impl PartialOrd for Address {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::v4(v4.octets()),
            IpAddr::V6(v6) => Self::v6(v6.octets()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_and_its_mapped_form_are_equal() {
        let plain: IpAddr = "10.0.0.5".parse().unwrap();
        let mapped: IpAddr = "::ffff:10.0.0.5".parse().unwrap();
        assert_eq!(Address::from(plain), Address::from(mapped));
        assert_eq!(Address::from(mapped).to_string(), "10.0.0.5");
        assert_eq!(Address::from(plain), Address::v4([10, 0, 0, 5]));
    }

    #[test]
    fn ipv6_addresses_are_not_ipv4() {
        let ip: IpAddr = "2001:DB8::0001".parse().unwrap();
        assert_eq!(Address::from(ip).to_string(), "2001:db8::1");
        assert!(!Address::from(ip).is_v4());
    }
}

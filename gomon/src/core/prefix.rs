//! An address prefix, as ranges for user space and as a key of the kernel's LPM trie.

use gomon_common::Address;

/// The length in bits of an address in the form that both families share.
const ADDRESS_BITS: u32 = u128::BITS;

/// An address prefix (CIDR).
///
/// Lengths count bits of the 128-bit form, in which an IPv4 address is IPv4-mapped (`::ffff:a.b.c.d`),
/// so those of IPv4 prefixes are 96 more than in their usual notation. An IPv6 prefix shorter than
/// that does not match IPv4 addresses, even where it covers the IPv4-mapped block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    address: Address,
    bits: u32,
}

impl Prefix {
    /// All IPv4 addresses: `::ffff:0:0/96`.
    pub const IPV4: Self = Self { address: Address::v4([0; 4]), bits: 96 };

    /// Returns the prefix of `address` with the first `bits` bits of its 128-bit form, 128 at most. The
    /// other bits are cleared.
    #[must_use]
    pub fn new(address: Address, bits: u32) -> Self {
        let bits = bits.min(ADDRESS_BITS);
        let first = u128::from_be_bytes(address.bytes()) & !host_mask(bits);
        Self { address: Address::v6(first.to_be_bytes()), bits }
    }

    /// Returns the prefix that holds one address.
    #[must_use]
    pub const fn host(address: Address) -> Self {
        Self { address, bits: ADDRESS_BITS }
    }

    /// The first address.
    #[must_use]
    pub const fn address(self) -> Address {
        self.address
    }

    /// The length in bits of the 128-bit form.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.bits
    }

    /// The matching addresses as ranges from a first to a last address: one range, or two around the
    /// IPv4-mapped block. One of two may be empty, that is, end before it starts.
    pub(super) fn ranges(self) -> impl Iterator<Item = (Address, Address)> {
        let (first, last) = self.bounds();
        let (first_v4, last_v4) = Self::IPV4.bounds();
        let skips_v4 = self.bits < Self::IPV4.bits && first <= first_v4 && last_v4 <= last;
        let (end, second) = if skips_v4 {
            (first_v4.saturating_sub(1), Some((last_v4 + 1, last)))
        } else {
            (last, None)
        };
        let address = |number: u128| Address::v6(number.to_be_bytes());
        let ranges = [Some((first, end)), second].into_iter().flatten();
        ranges.map(move |(first, last)| (address(first), address(last)))
    }

    /// The first and the last address as numbers, the IPv4-mapped block included.
    fn bounds(self) -> (u128, u128) {
        let first = u128::from_be_bytes(self.address.bytes());
        (first, first | host_mask(self.bits))
    }
}

/// The bits after the first `bits`.
fn host_mask(bits: u32) -> u128 {
    u128::MAX.checked_shr(bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(address: Address, bits: u32) -> Vec<(String, String)> {
        let text = |(first, last): (Address, Address)| (first.to_string(), last.to_string());
        Prefix::new(address, bits).ranges().map(text).collect()
    }

    fn range(first: &str, last: &str) -> (String, String) {
        (first.to_owned(), last.to_owned())
    }

    #[test]
    fn a_prefix_covers_its_range_in_either_family() {
        let v4 = Address::v4([10, 1, 2, 3]);
        assert_eq!(ranges(v4, 96 + 8), [range("10.0.0.0", "10.255.255.255")]);
        assert_eq!(ranges(v4, 128), [range("10.1.2.3", "10.1.2.3")]);
        assert_eq!(Prefix::new(v4, 128), Prefix::host(v4));
        assert_eq!(Prefix::new(v4, 96), Prefix::IPV4);
        let v6 = Address::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let last = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff";
        assert_eq!(ranges(v6, 32), [range("2001:db8::", last)]);
    }

    #[test]
    fn an_ipv6_prefix_leaves_the_ipv4_mapped_block_out() {
        let all = ranges(Address::v6([0; 16]), 0);
        let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        assert_eq!(all[0], range("::", "::fffe:ffff:ffff"));
        assert_eq!(all[1], range("::1:0:0:0", last));
        assert_eq!(ranges(Address::v4([0; 4]), 96), [range("0.0.0.0", "255.255.255.255")]);
    }
}

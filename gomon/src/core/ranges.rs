//! A set of addresses given as prefixes, asked about on the way of a packet.

use gomon_common::Address;

/// Address ranges, sorted and disjoint, so that a look-up costs the logarithm of their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(Address, Address)>);

impl Ranges {
    /// The set of all addresses that lie in one of `ranges`, each from its first address to its last.
    #[must_use]
    pub fn new(mut ranges: Vec<(Address, Address)>) -> Self {
        ranges.retain(|(first, last)| first <= last);
        ranges.sort_unstable();
        let mut merged: Vec<(Address, Address)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// Whether `address` lies in one of the ranges.
    #[must_use]
    pub fn contains(&self, address: Address) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= address);
        after > 0 && address <= self.0[after - 1].1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(n: u8) -> Address {
        Address::v4([10, 0, 0, n])
    }

    proptest! {
        #[test]
        fn equals_a_walk_over_all_ranges(
            ranges in prop::collection::vec((any::<u8>(), any::<u8>()), 0..12),
            asked in any::<u8>(),
        ) {
            let naive = ranges.iter().any(|&(first, last)| first <= asked && asked <= last);
            let set = Ranges::new(ranges.iter().map(|&(a, b)| (address(a), address(b))).collect());
            prop_assert_eq!(set.contains(address(asked)), naive);
        }
    }
}

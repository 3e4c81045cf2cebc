//! A set of address ranges with fast look-up, since it is queried per packet.

use gomon_common::Address;

/// Sorted, disjoint address ranges; a look-up is a binary search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(Address, Address)>);

impl Ranges {
    /// Builds the set of all addresses in `ranges`, each given by its first and last address. A range that ends
    /// before it starts is empty.
    #[must_use]
    pub fn new(mut ranges: Vec<(Address, Address)>) -> Self {
        ranges.retain(|(first, last)| first <= last);
        ranges.sort_unstable();
        let mut merged: Vec<(Address, Address)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if first <= previous.1 => previous.1 = previous.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// Whether `address` lies in one of the ranges.
    #[must_use]
    pub fn contains(&self, address: Address) -> bool {
        let next = self.0.partition_point(|(first, _)| *first <= address);
        next > 0 && address <= self.0[next - 1].1
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
        fn equals_a_linear_search(
            ranges in prop::collection::vec((any::<u8>(), any::<u8>()), 0..12),
            host in any::<u8>(),
        ) {
            let naive = ranges.iter().any(|&(first, last)| first <= host && host <= last);
            let set = Ranges::new(ranges.iter().map(|&(a, b)| (address(a), address(b))).collect());
            prop_assert_eq!(set.contains(address(host)), naive);
        }
    }
}

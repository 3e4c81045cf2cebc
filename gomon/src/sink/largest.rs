//! The heaviest entries of a stream, in bounded memory.

use std::cmp::Reverse;
use std::hash::Hash;

use hashbrown::HashMap;

/// A value with a weight, by which entries are ranked.
pub(super) trait Weigh {
    /// The weight. It must never decrease.
    fn weight(&self) -> u64;
}

/// Entries by key, up to a capacity. When it is full, the lighter half is evicted.
///
/// If weights are sums, an entry that is added again after its eviction starts from zero. So to choose what to
/// evict, each new entry is ranked as if it also had the weight of the heaviest entry evicted so far. Then every
/// key with more than 2 / capacity of the total weight is kept (the Space-Saving algorithm; Metwally, Agrawal,
/// El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams", ICDT 2005).
#[derive(Debug)]
pub(super) struct Largest<K, V> {
    capacity: usize,
    /// Whether weights are sums. Otherwise they are maxima.
    weights_are_sums: bool,
    kept: HashMap<K, Kept<V>>,
    evicted: Evicted,
    /// If weights are sums, the highest possible weight of an evicted entry.
    heaviest_evicted: u64,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    /// The highest possible weight of evicted entries of the same key.
    evicted_weight: u64,
}

/// Evicted entries. A key that was evicted twice counts twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Evicted {
    /// Their number.
    pub entries: u64,
    /// Their total weight.
    pub weight: u64,
}

impl<V: Weigh> Kept<V> {
    /// The highest possible weight of the key.
    fn max_weight(&self) -> u64 {
        self.value.weight().saturating_add(self.evicted_weight)
    }
}

impl<K: Copy + Hash + Ord, V: Default + Weigh> Largest<K, V> {
    /// Creates a set with room for `capacity` entries, at least two, whose weights are sums.
    pub(super) fn of_sums(capacity: usize) -> Self {
        Self { weights_are_sums: true, ..Self::of_maxima(capacity) }
    }

    /// Creates a set with room for `capacity` entries, at least two, whose weights are maxima.
    pub(super) fn of_maxima(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(2),
            weights_are_sums: false,
            kept: HashMap::new(),
            evicted: Evicted::default(),
            heaviest_evicted: 0,
        }
    }

    /// Returns the entry of a key, and adds it if it does not exist.
    pub(super) fn entry(&mut self, key: K) -> &mut V {
        if self.kept.len() == self.capacity && !self.kept.contains_key(&key) {
            self.evict_lighter_half();
        }
        let evicted_weight = self.heaviest_evicted;
        let kept =
            self.kept.entry(key).or_insert_with(|| Kept { value: V::default(), evicted_weight });
        &mut kept.value
    }

    /// Whether adding another key would evict entries.
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() == self.capacity
    }

    /// The keys of all entries, in no particular order.
    #[expect(clippy::disallowed_methods, reason = "for callers that do not depend on the order")]
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.kept.keys()
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// The evicted entries.
    pub(super) fn evicted(&self) -> Evicted {
        self.evicted
    }

    /// Returns up to `most` of the heaviest entries, sorted by weight, the heaviest first, then by key.
    pub(super) fn heaviest(&self, most: usize) -> Vec<(&K, &V)> {
        #[expect(clippy::disallowed_methods, reason = "sorted below")]
        let mut all: Vec<_> = self.kept.iter().map(|(key, kept)| (key, &kept.value)).collect();
        all.sort_unstable_by_key(|(key, value)| (Reverse(value.weight()), **key));
        all.truncate(most);
        all
    }

    fn evict_lighter_half(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "partitioned below by weight and key")]
        let kept = self.kept.iter();
        let mut all: Vec<_> = kept.map(|(key, kept)| (Reverse(kept.max_weight()), *key)).collect();
        // The entry in the middle is the heaviest of the lighter half.
        let middle = self.capacity / 2;
        all.select_nth_unstable(middle);
        for (Reverse(_), key) in &all[middle..] {
            if let Some(lighter) = self.kept.remove(key) {
                self.evicted.entries += 1;
                self.evicted.weight += lighter.value.weight();
            }
        }
        if self.weights_are_sums {
            let (Reverse(heaviest), _) = all[middle];
            self.heaviest_evicted = heaviest;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl Weigh for u64 {
        fn weight(&self) -> u64 {
            *self
        }
    }

    #[test]
    fn a_heavy_key_that_is_added_in_small_amounts_is_kept() {
        let mut largest: Largest<u64, u64> = Largest::of_sums(8);
        for heavy in 0..4 {
            *largest.entry(heavy) += 1000;
        }
        // A small amount of the heavy key, and then enough other keys to evict the lighter half.
        for round in 1..50 {
            *largest.entry(9) += 900;
            for other in 0..8 {
                *largest.entry(100 * round + other) += 1;
            }
        }
        *largest.entry(9) += 900;
        let (key, weight) = largest.heaviest(1)[0];
        assert!(*key == 9 && *weight > 40_000, "{key} {weight}");
    }

    /// Keys and weights; a few keys are frequent.
    fn entries() -> impl Strategy<Value = Vec<(u8, u64)>> {
        let key = prop_oneof![0u8..4, 0u8..200];
        prop::collection::vec((key, prop_oneof![1u64..3, 1u64..50]), 0..600)
    }

    proptest! {
        #[test]
        fn sums_are_conserved_and_keys_above_the_share_are_kept(
            stream in entries(),
            capacity in 2usize..120,
        ) {
            let mut largest: Largest<u8, u64> = Largest::of_sums(capacity);
            let mut naive: BTreeMap<u8, u64> = BTreeMap::new();
            for (key, weight) in &stream {
                *largest.entry(*key) += weight;
                *naive.entry(*key).or_default() += weight;
                prop_assert!(largest.len() <= capacity);
            }
            let heaviest = largest.heaviest(usize::MAX);
            prop_assert!(heaviest.is_sorted_by_key(|(key, value)| (Reverse(**value), **key)));
            prop_assert!(heaviest.iter().all(|(key, value)| **value <= naive[*key]));
            let kept: u64 = heaviest.iter().map(|(_, value)| **value).sum();
            let all: u64 = naive.values().sum();
            prop_assert_eq!(kept + largest.evicted().weight, all);
            if naive.len() <= capacity {
                prop_assert_eq!(largest.evicted(), Evicted::default());
            }
            let share = all / (capacity / 2) as u64;
            for (key, _) in naive.iter().filter(|(_, weight)| **weight > share) {
                prop_assert!(heaviest.iter().any(|(kept, _)| *kept == key), "{}", key);
            }
        }

        #[test]
        fn the_largest_maxima_are_kept_unchanged(stream in entries(), capacity in 2usize..120) {
            let mut largest: Largest<u8, u64> = Largest::of_maxima(capacity);
            let mut naive: BTreeMap<u8, u64> = BTreeMap::new();
            for (key, size) in &stream {
                for entry in [largest.entry(*key), naive.entry(*key).or_default()] {
                    *entry = (*entry).max(*size);
                }
            }
            let mut expected: Vec<_> = naive.iter().collect();
            expected.sort_by_key(|(_, size)| Reverse(**size));
            let sizes = |entries: &[(&u8, &u64)]| -> Vec<u64> {
                entries.iter().take(capacity / 2).map(|(_, size)| **size).collect()
            };
            prop_assert_eq!(sizes(&largest.heaviest(usize::MAX)), sizes(&expected));
        }
    }
}

//! The largest of what there is no room for all of.

use std::cmp::Reverse;
use std::hash::Hash;

use hashbrown::HashMap;

/// What says which of two matters more.
pub(super) trait Weigh {
    /// The more, the more it matters. Never less than it was.
    fn weight(&self) -> u64;
}

/// Entries by key, so many at most. Where there is no room for another one, the lighter half goes.
///
/// Of weights that are sums, an entry that went and comes again starts with less than it had. So for the
/// choice of what goes next every new one counts as if it had the weight of the heaviest that ever went:
/// whatever had more than 2 / capacity of all that was entered is kept (space saving; Metwally, Agrawal,
/// El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams", ICDT 2005).
#[derive(Debug)]
pub(super) struct Largest<K, V> {
    capacity: usize,
    /// Whether an entry's weight is a sum of what was entered.
    sums: bool,
    kept: HashMap<K, Kept<V>>,
    dropped: Dropped,
    /// The most that an entry counted as when it went, of weights that are sums.
    heaviest_dropped: u64,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    /// What its key may have weighed before, at most.
    before: u64,
}

/// Entries that had to go. One that comes again, and goes again, is two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// How many.
    pub entries: u64,
    /// What they weighed together.
    pub weight: u64,
}

impl<V: Weigh> Kept<V> {
    fn may_weigh(&self) -> u64 {
        self.value.weight().saturating_add(self.before)
    }
}

impl<K: Copy + Hash + Ord, V: Default + Weigh> Largest<K, V> {
    /// Room for so many, two at least, whose weights are sums.
    pub(super) fn of_sums(capacity: usize) -> Self {
        Self { sums: true, ..Self::of_maxima(capacity) }
    }

    /// Room for so many, two at least, whose weights are the largest of what was entered.
    pub(super) fn of_maxima(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(2),
            sums: false,
            kept: HashMap::new(),
            dropped: Dropped::default(),
            heaviest_dropped: 0,
        }
    }

    /// The entry of a key, a new one where there is none.
    pub(super) fn entry(&mut self, key: K) -> &mut V {
        if self.kept.len() == self.capacity && !self.kept.contains_key(&key) {
            self.drop_the_lighter_half();
        }
        let before = self.heaviest_dropped;
        let kept = self.kept.entry(key).or_insert_with(|| Kept { value: V::default(), before });
        &mut kept.value
    }

    /// Whether the next entry of another key drops some.
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() == self.capacity
    }

    /// The keys that are kept, in no order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.kept.keys()
    }

    /// Entries that are kept.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Entries that are not.
    pub(super) fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// So many of the heaviest, the heaviest first, among equals the lowest key.
    pub(super) fn heaviest(&self, most: usize) -> Vec<(&K, &V)> {
        let mut all: Vec<_> = self.kept.iter().map(|(key, kept)| (key, &kept.value)).collect();
        all.sort_unstable_by_key(|(key, value)| (Reverse(value.weight()), **key));
        all.truncate(most);
        all
    }

    fn drop_the_lighter_half(&mut self) {
        let kept = self.kept.iter();
        let mut all: Vec<_> = kept.map(|(key, kept)| (Reverse(kept.may_weigh()), *key)).collect();
        // From the middle on they are lighter, the heaviest of them first.
        let middle = self.capacity / 2;
        all.select_nth_unstable(middle);
        for (Reverse(_), key) in &all[middle..] {
            if let Some(lighter) = self.kept.remove(key) {
                self.dropped.entries += 1;
                self.dropped.weight += lighter.value.weight();
            }
        }
        if self.sums {
            let (Reverse(heaviest), _) = all[middle];
            self.heaviest_dropped = heaviest;
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
    fn what_comes_in_pieces_that_are_light_each_is_not_lost() {
        let mut largest: Largest<u64, u64> = Largest::of_sums(8);
        for heavy in 0..4 {
            *largest.entry(heavy) += 1000;
        }
        // A piece of the heaviest, and then enough others for the lighter half to go.
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

    /// Keys, few of them often, and what is entered.
    fn entries() -> impl Strategy<Value = Vec<(u8, u64)>> {
        let key = prop_oneof![0u8..4, 0u8..200];
        prop::collection::vec((key, prop_oneof![1u64..3, 1u64..50]), 0..600)
    }

    proptest! {
        #[test]
        fn sums_add_up_and_what_has_more_than_its_share_is_kept(
            entered in entries(),
            capacity in 2usize..120,
        ) {
            let mut largest: Largest<u8, u64> = Largest::of_sums(capacity);
            let mut naive: BTreeMap<u8, u64> = BTreeMap::new();
            for (key, weight) in &entered {
                *largest.entry(*key) += weight;
                *naive.entry(*key).or_default() += weight;
                prop_assert!(largest.len() <= capacity);
            }
            let heaviest = largest.heaviest(usize::MAX);
            prop_assert!(heaviest.is_sorted_by_key(|(key, value)| (Reverse(**value), **key)));
            prop_assert!(heaviest.iter().all(|(key, value)| **value <= naive[*key]));
            let kept: u64 = heaviest.iter().map(|(_, value)| **value).sum();
            let all: u64 = naive.values().sum();
            prop_assert_eq!(kept + largest.dropped().weight, all);
            if naive.len() <= capacity {
                prop_assert_eq!(largest.dropped(), Dropped::default());
            }
            let share = all / (capacity / 2) as u64;
            for (key, _) in naive.iter().filter(|(_, weight)| **weight > share) {
                prop_assert!(heaviest.iter().any(|(kept, _)| *kept == key), "{}", key);
            }
        }

        #[test]
        fn the_largest_maxima_are_kept_as_they_are(entered in entries(), capacity in 2usize..120) {
            let mut largest: Largest<u8, u64> = Largest::of_maxima(capacity);
            let mut naive: BTreeMap<u8, u64> = BTreeMap::new();
            for (key, size) in &entered {
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

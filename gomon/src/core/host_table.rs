//! The listed hosts of a pane.
//!
//! Once the table is full, nearly every packet of a flood to random hosts is to an unlisted one. A Bloom filter
//! of the listed hosts rejects most of these without a look-up in the hash map, as in the kernel.

use gomon_common::Address;
use gomon_common::bloom::{FilterSlot, PART_SLOTS, parts};
use gomon_common::hash::hash;
use hashbrown::HashMap;

use super::Counts;

/// Listed hosts, each with the counts of its unlisted endpoints.
#[derive(Debug)]
pub(super) struct HostTable {
    capacity: usize,
    unlisted_endpoints: HashMap<Address, Counts>,
    /// The Bloom filter of listed hosts, one bit per slot; empty until the table is full.
    bloom: Vec<u64>,
    parts: u32,
}

impl HostTable {
    /// Creates a table with room for `capacity` hosts.
    pub(super) fn new(capacity: usize) -> Self {
        let parts = parts(u32::try_from(capacity).unwrap_or(u32::MAX));
        Self { capacity, unlisted_endpoints: HashMap::new(), bloom: Vec::new(), parts }
    }

    /// Whether `host` is listed.
    pub(super) fn contains(&self, host: Address) -> bool {
        self.unlisted_endpoints.contains_key(&host)
    }

    /// Returns the [`hash`] of `host` if the table is full and `host` is certainly unlisted.
    #[inline]
    pub(super) fn rejected_hash(&self, host: Address) -> Option<u64> {
        if self.bloom.is_empty() {
            return None;
        }
        let hash = hash(host.halves());
        let (word, bit) = self.slot(hash);
        (self.bloom.get(word)? & bit == 0).then_some(hash)
    }

    /// Returns the counts of a host's unlisted endpoints. An unlisted host is added if there is room.
    pub(super) fn entry(&mut self, host: Address) -> Option<&mut Counts> {
        if self.unlisted_endpoints.len() < self.capacity {
            // Not returned from here: the borrow checker rejects a conditional return of this borrow, so the
            // entry is looked up again below.
            self.unlisted_endpoints.entry(host).or_default();
            if self.unlisted_endpoints.len() == self.capacity {
                self.fill_bloom();
            }
        }
        self.unlisted_endpoints.get_mut(&host)
    }

    /// Removes all hosts, and returns the counts of their unlisted endpoints.
    #[expect(clippy::disallowed_methods, reason = "the counts of a pane are sorted")]
    pub(super) fn drain(&mut self) -> Vec<(Address, Counts)> {
        self.bloom.clear();
        self.unlisted_endpoints.drain().collect()
    }

    /// Fills the Bloom filter, now that the table is full.
    #[cold]
    fn fill_bloom(&mut self) {
        self.bloom.resize(self.parts as usize * PART_SLOTS / 64, 0);
        #[expect(clippy::disallowed_methods, reason = "independent of the order")]
        for host in self.unlisted_endpoints.keys() {
            let (word, bit) = self.slot(hash(host.halves()));
            self.bloom[word] |= bit;
        }
    }

    /// Returns the index of the word that holds the bit of a hash's slot, and the bit's mask.
    #[inline]
    fn slot(&self, hash: u64) -> (usize, u64) {
        let FilterSlot { part, offset } = FilterSlot::of(hash, 0, self.parts);
        let slot = part as usize * PART_SLOTS + offset;
        (slot / 64, 1 << (slot % 64))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lists_hosts_until_it_is_full(
            lookups in prop::collection::vec((0u8..40, 0u8..30), 0..300),
            capacity in 1usize..20,
        ) {
            let mut hosts = HostTable::new(capacity);
            let mut naive: BTreeMap<Address, u64> = BTreeMap::new();
            for (n, pane_ends) in lookups {
                let host = Address::v4([192, 0, 2, n]);
                let is_listed = naive.contains_key(&host);
                prop_assert_eq!(hosts.contains(host), is_listed);
                if let Some(rejected) = hosts.rejected_hash(host) {
                    prop_assert_eq!(rejected, hash(host.halves()));
                    prop_assert!(!is_listed && naive.len() == capacity);
                }
                let found = hosts.entry(host).map(|counts| counts.packets += 1).is_some();
                prop_assert_eq!(found, is_listed || naive.len() < capacity);
                if found {
                    *naive.entry(host).or_default() += 1;
                }
                if pane_ends == 0 {
                    let drained = hosts.drain().into_iter();
                    let drained: BTreeMap<_, _> = drained.map(|(host, counts)| (host, counts.packets)).collect();
                    prop_assert_eq!(drained, std::mem::take(&mut naive));
                }
            }
        }
    }

    #[test]
    fn the_bloom_filter_rejects_nearly_all_unlisted_hosts() {
        let host = |n: u32| Address::v4(n.to_be_bytes());
        let mut hosts = HostTable::new(1024);
        assert!((0..1024).all(|n| hosts.entry(host(n)).is_some()));
        assert!((0..1024).all(|n| hosts.rejected_hash(host(n)).is_none()));
        let accepted = (1024..101_024).filter(|n| hosts.rejected_hash(host(*n)).is_none()).count();
        assert!(accepted < 5000, "{accepted} of 100000");
    }
}

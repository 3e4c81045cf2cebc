//! The hosts of a pane that are counted each on their own.
//!
//! Once there are as many as there may be, nearly every packet of a flood to random hosts is to one that
//! can't be known any more. A bloom tells most of these without a look into the hash map, as it does in
//! the kernel.

use gomon_common::Address;
use gomon_common::bloom::{FilterSlot, PART_SLOTS, parts};
use gomon_common::hash::hash;
use hashbrown::HashMap;

use super::Counts;

/// HostTable, each with what went to endpoints of it that are not listed.
#[derive(Debug)]
pub(super) struct HostTable {
    capacity: usize,
    beside: HashMap<Address, Counts>,
    /// A bit for every slot, set where it is open; empty as long as there is room for hosts.
    bloom: Vec<u64>,
    parts: u32,
}

impl HostTable {
    /// Room for so many hosts.
    pub(super) fn new(capacity: usize) -> Self {
        let parts = parts(u32::try_from(capacity).unwrap_or(u32::MAX));
        Self { capacity, beside: HashMap::new(), bloom: Vec::new(), parts }
    }

    /// Whether `host` is one of them.
    pub(super) fn contains(&self, host: Address) -> bool {
        self.beside.contains_key(&host)
    }

    /// The [`hash`] of a host for which it is certain that it is none of them, nor finds room.
    #[inline]
    pub(super) fn rejects(&self, host: Address) -> Option<u64> {
        if self.bloom.is_empty() {
            return None;
        }
        let hash = hash(host.halves());
        let (word, bit) = self.slot(hash);
        (self.bloom.get(word)? & bit == 0).then_some(hash)
    }

    /// The entry of a host, which is added while there is room.
    pub(super) fn entry(&mut self, host: Address) -> Option<&mut Counts> {
        if self.beside.len() < self.capacity {
            // Once more: the borrow checker does not see that what is found is handed out.
            self.beside.entry(host).or_default();
            if self.beside.len() == self.capacity {
                self.close();
            }
        }
        self.beside.get_mut(&host)
    }

    /// Takes all of them out.
    pub(super) fn take(&mut self) -> Vec<(Address, Counts)> {
        self.bloom.clear();
        self.beside.drain().collect()
    }

    /// From now on there is no room: nobody gets through but whoever is there.
    #[cold]
    fn close(&mut self) {
        self.bloom.resize(self.parts as usize * PART_SLOTS / 64, 0);
        for host in self.beside.keys() {
            let (word, bit) = self.slot(hash(host.halves()));
            self.bloom[word] |= bit;
        }
    }

    /// The word that has the bit of a slot, and the bit.
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
        fn knows_what_came_while_there_was_room(
            asked in prop::collection::vec((0u8..40, 0u8..30), 0..300),
            capacity in 1usize..20,
        ) {
            let mut hosts = HostTable::new(capacity);
            let mut naive: BTreeMap<Address, u64> = BTreeMap::new();
            for (n, pane_ends) in asked {
                let host = Address::v4([192, 0, 2, n]);
                let known = naive.contains_key(&host);
                prop_assert_eq!(hosts.contains(host), known);
                if let Some(rejected) = hosts.rejects(host) {
                    prop_assert_eq!(rejected, hash(host.halves()));
                    prop_assert!(!known && naive.len() == capacity);
                }
                let found = hosts.entry(host).map(|counts| counts.packets += 1).is_some();
                prop_assert_eq!(found, known || naive.len() < capacity);
                if found {
                    *naive.entry(host).or_default() += 1;
                }
                if pane_ends == 0 {
                    let taken = hosts.take().into_iter();
                    let taken: BTreeMap<_, _> = taken.map(|(host, counts)| (host, counts.packets)).collect();
                    prop_assert_eq!(taken, std::mem::take(&mut naive));
                }
            }
        }
    }

    #[test]
    fn the_sieve_keeps_nearly_all_out_that_have_no_place() {
        let host = |n: u32| Address::v4(n.to_be_bytes());
        let mut hosts = HostTable::new(1024);
        assert!((0..1024).all(|n| hosts.entry(host(n)).is_some()));
        assert!((0..1024).all(|n| hosts.rejects(host(n)).is_none()));
        let let_through = (1024..101_024).filter(|n| hosts.rejects(host(*n)).is_none()).count();
        assert!(let_through < 5000, "{let_through} of 100000");
    }
}

//! The listed endpoints of a pane with their counts, with fast look-up.
//!
//! Most packets of a flood are sent to the same few endpoints. A direct-mapped cache maps a very cheap hash of an
//! endpoint to the index of its entry. The key in the entry is compared, so a stale or colliding slot is only a
//! miss, which falls back to the hash map; the randomly seeded hash of the map resists crafted collisions. The cache
//! therefore does not affect results and is never cleared.

use gomon_common::hash::multiplicative;
use gomon_common::{Endpoint, protocol};
use hashbrown::HashMap;

use super::{ContactTimes, Counts};

/// Slots of the cache: enough that few of a thousand endpoints collide, and few enough (16 KiB) to fit into the
/// CPU's L1 data cache.
const CACHE_SLOTS: usize = 1 << CACHE_BITS;
const CACHE_BITS: u32 = 13;

/// A TCP or UDP endpoint over IPv4 packed into one integer, for a single comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndpointKey(u64);

impl EndpointKey {
    /// The key of all other endpoints. No endpoint over TCP or UDP has it, since their protocol is not 0.
    const NONE: Self = Self(0);

    /// Returns the key of an endpoint at `address`. `protocol` must be TCP or UDP.
    #[inline]
    #[must_use]
    pub(super) const fn new(address: [u8; 4], protocol: u8, port: u16) -> Self {
        let address = u32::from_ne_bytes(address) as u64;
        Self(address | (port as u64) << 32 | (protocol as u64) << 48)
    }

    fn of(endpoint: &Endpoint) -> Self {
        let [.., a, b, c, d] = endpoint.address().bytes();
        if endpoint.address().is_v4()
            && matches!(endpoint.protocol(), protocol::TCP | protocol::UDP)
        {
            Self::new([a, b, c, d], endpoint.protocol(), endpoint.port())
        } else {
            Self::NONE
        }
    }

    /// The cache slot of this key.
    #[inline]
    const fn slot(self) -> usize {
        multiplicative(self.0, CACHE_BITS) as usize
    }
}

/// An endpoint with its counts, in one CPU cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct EndpointEntry {
    key: EndpointKey,
    pub(super) endpoint: Endpoint,
    pub(super) counts: Counts,
    pub(super) contacts: ContactTimes,
}

const _: () = assert!(size_of::<EndpointEntry>() == 64);

/// The listed endpoints of a pane.
#[derive(Debug)]
pub(super) struct EndpointTable {
    entries: Vec<EndpointEntry>,
    /// Indices into `entries`.
    indices: HashMap<Endpoint, u32>,
    /// Indices into `entries` by [`EndpointKey::slot`], possibly stale.
    cache: Box<[u16; CACHE_SLOTS]>,
}

impl Default for EndpointTable {
    fn default() -> Self {
        Self { entries: Vec::new(), indices: HashMap::new(), cache: Box::new([0; CACHE_SLOTS]) }
    }
}

impl EndpointTable {
    /// The number of endpoints.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All entries, in order of insertion.
    pub(super) fn iter(&self) -> impl Iterator<Item = &EndpointEntry> {
        self.entries.iter()
    }

    /// Returns the entry of an endpoint if it is cached.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call costs as much as what it does")]
    pub(super) fn cached_mut(&mut self, key: EndpointKey) -> Option<&mut EndpointEntry> {
        let entry = self.entries.get_mut(self.cache[key.slot()] as usize)?;
        (entry.key == key).then_some(entry)
    }

    /// Returns the entry of an endpoint if it exists, and caches it.
    pub(super) fn get_mut(&mut self, endpoint: &Endpoint) -> Option<&mut EndpointEntry> {
        let index = *self.indices.get(endpoint)?;
        let entry = self.entries.get_mut(index as usize)?;
        // Indices of more than 16 bits are not cached: with that many endpoints, none recurs soon enough.
        if entry.key != EndpointKey::NONE
            && let Ok(index) = index.try_into()
        {
            self.cache[entry.key.slot()] = index;
        }
        Some(entry)
    }

    /// Adds an endpoint, which must not be present.
    pub(super) fn insert(&mut self, endpoint: Endpoint, counts: Counts, contacts: ContactTimes) {
        // 2^32 entries exceed any memory.
        let index = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let key = EndpointKey::of(&endpoint);
        self.indices.insert(endpoint, index);
        self.entries.push(EndpointEntry { key, endpoint, counts, contacts });
    }

    /// Removes all endpoints, and returns them.
    pub(super) fn drain(&mut self) -> Vec<(Endpoint, Counts)> {
        self.indices.clear();
        self.entries.drain(..).map(|entry| (entry.endpoint, entry.counts)).collect()
    }
}

#[cfg(test)]
mod tests {
    use gomon_common::Address;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn look_ups_equal_those_of_a_hash_map(
            lookups in prop::collection::vec((any::<u16>(), 0u8..4, 0u8..20, any::<bool>()), 0..400),
            ports in 1u16..10_000,
        ) {
            let mut table = EndpointTable::default();
            let mut naive: HashMap<Endpoint, u64> = HashMap::new();
            for (port, host, pane_ends, is_v4) in lookups {
                let address = if is_v4 {
                    Address::v4([192, 0, 2, host])
                } else {
                    Address::v6([host, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, host])
                };
                let endpoint = Endpoint::new(address, [6, 17, 132, 1][usize::from(host)], port % ports);
                if pane_ends == 0 {
                    let drained = table.drain().into_iter();
                    let drained: HashMap<_, _> = drained.map(|(e, counts)| (e, counts.packets)).collect();
                    prop_assert_eq!(drained, std::mem::take(&mut naive));
                }
                let expected = naive.get(&endpoint).copied();
                let key = EndpointKey::of(&endpoint);
                let cached = table.cached_mut(key).filter(|_| key != EndpointKey::NONE);
                if let Some(cached) = cached {
                    prop_assert_eq!(cached.endpoint, endpoint);
                    prop_assert_eq!(Some(cached.counts.packets), expected);
                }
                if let Some(found) = table.get_mut(&endpoint) {
                    prop_assert_eq!(found.endpoint, endpoint);
                    prop_assert_eq!(Some(found.counts.packets), expected);
                    found.counts.packets += 1;
                } else {
                    prop_assert_eq!(expected, None);
                    table.insert(endpoint, Counts::frame(60), ContactTimes::default());
                }
                if expected.is_some() && key != EndpointKey::NONE {
                    let cached = table.cached_mut(key).map(|entry| entry.endpoint);
                    prop_assert_eq!(cached, Some(endpoint), "the last look-up is cached");
                }
                *naive.entry(endpoint).or_default() += 1;
                prop_assert_eq!(table.len(), naive.len());
            }
        }
    }
}

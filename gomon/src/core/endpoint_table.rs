//! The endpoints of a pane, each with what was counted of it, found fast.
//!
//! A flood goes to the same endpoints over and over. A small table tells for each where it was found
//! last, by a hash that costs next to nothing. It may be wrong, for what it points to is compared; then
//! the hash map is asked, whose hash nobody can play tricks on. So the table is never cleared, and makes
//! no difference to what is found.

use gomon_common::hash::multiplicative;
use gomon_common::{Endpoint, protocol};
use hashbrown::HashMap;

use super::{ContactTimes, Counts};

/// Places in the small table: so many that few of a thousand endpoints share one, and so small that they
/// fit into the nearest cache.
const RECENT: usize = 1 << RECENT_BITS;
const RECENT_BITS: u32 = 13;

/// An endpoint of TCP or UDP over IPv4 as one number, which is compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndpointKey(u64);

impl EndpointKey {
    /// What an endpoint of another kind has: no protocol is 0.
    const NONE: Self = Self(0);

    /// The key of the endpoint at `address`; `protocol` is TCP or UDP.
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

    /// Its place in the small table.
    #[inline]
    const fn place(self) -> usize {
        multiplicative(self.0, RECENT_BITS) as usize
    }
}

/// One endpoint, in one line of the cache.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct EndpointEntry {
    key: EndpointKey,
    pub(super) endpoint: Endpoint,
    pub(super) counts: Counts,
    pub(super) contacts: ContactTimes,
}

const _: () = assert!(size_of::<EndpointEntry>() == 64);

/// The endpoints of a pane.
#[derive(Debug)]
pub(super) struct EndpointTable {
    list: Vec<EndpointEntry>,
    places: HashMap<Endpoint, u32>,
    recent: Box<[u16; RECENT]>,
}

impl Default for EndpointTable {
    fn default() -> Self {
        Self { list: Vec::new(), places: HashMap::new(), recent: Box::new([0; RECENT]) }
    }
}

impl EndpointTable {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// All of them, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = &EndpointEntry> {
        self.list.iter()
    }

    /// The entry of an endpoint where the small table has it.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call costs as much as what it does")]
    pub(super) fn recent_mut(&mut self, key: EndpointKey) -> Option<&mut EndpointEntry> {
        let entry = self.list.get_mut(self.recent[key.place()] as usize)?;
        (entry.key == key).then_some(entry)
    }

    /// The entry of an endpoint, which the small table has from now on.
    pub(super) fn get_mut(&mut self, endpoint: &Endpoint) -> Option<&mut EndpointEntry> {
        let place = *self.places.get(endpoint)?;
        let entry = self.list.get_mut(place as usize)?;
        // Of very many none is found again soon enough for this to pay.
        if entry.key != EndpointKey::NONE
            && let Ok(place) = place.try_into()
        {
            self.recent[entry.key.place()] = place;
        }
        Some(entry)
    }

    /// Adds an endpoint that is not there yet.
    pub(super) fn insert(&mut self, endpoint: Endpoint, counts: Counts, contacts: ContactTimes) {
        // More than can be numbered don't fit into any memory.
        let place = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let key = EndpointKey::of(&endpoint);
        self.places.insert(endpoint, place);
        self.list.push(EndpointEntry { key, endpoint, counts, contacts });
    }

    /// Takes all of them out.
    pub(super) fn take(&mut self) -> Vec<(Endpoint, Counts)> {
        self.places.clear();
        self.list.drain(..).map(|entry| (entry.endpoint, entry.counts)).collect()
    }
}

#[cfg(test)]
mod tests {
    use gomon_common::Address;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_hash_map_finds(
            asked in prop::collection::vec((any::<u16>(), 0u8..4, 0u8..20, any::<bool>()), 0..400),
            ports in 1u16..10_000,
        ) {
            let mut destinations = EndpointTable::default();
            let mut naive: HashMap<Endpoint, u64> = HashMap::new();
            for (port, host, pane_ends, is_v4) in asked {
                let address = if is_v4 {
                    Address::v4([192, 0, 2, host])
                } else {
                    Address::v6([host, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, host])
                };
                let endpoint = Endpoint::new(address, [6, 17, 132, 1][usize::from(host)], port % ports);
                if pane_ends == 0 {
                    let taken = destinations.take().into_iter();
                    let taken: HashMap<_, _> = taken.map(|(e, counts)| (e, counts.packets)).collect();
                    prop_assert_eq!(taken, std::mem::take(&mut naive));
                }
                let known = naive.get(&endpoint).copied();
                let key = EndpointKey::of(&endpoint);
                let recent = destinations.recent_mut(key).filter(|_| key != EndpointKey::NONE);
                if let Some(recent) = recent {
                    prop_assert_eq!(recent.endpoint, endpoint);
                    prop_assert_eq!(Some(recent.counts.packets), known);
                }
                if let Some(found) = destinations.get_mut(&endpoint) {
                    prop_assert_eq!(found.endpoint, endpoint);
                    prop_assert_eq!(Some(found.counts.packets), known);
                    found.counts.packets += 1;
                } else {
                    prop_assert_eq!(known, None);
                    destinations.insert(endpoint, Counts::frame(60), ContactTimes::default());
                }
                if known.is_some() && key != EndpointKey::NONE {
                    let recent = destinations.recent_mut(key).map(|entry| entry.endpoint);
                    prop_assert_eq!(recent, Some(endpoint), "what was asked for last is remembered");
                }
                *naive.entry(endpoint).or_default() += 1;
                prop_assert_eq!(destinations.len(), naive.len());
            }
        }
    }
}

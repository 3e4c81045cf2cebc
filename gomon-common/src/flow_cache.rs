//! The layout of the per-CPU flow cache, in which each CPU counts packets to listed IPv4 endpoints without
//! a lookup in the endpoint map that all CPUs share.
//!
//! A packet whose endpoint is in the map claims the cache slot its key maps to, if that slot is free. Later
//! packets with the same key are counted in the slot: no hash over 24 bytes, no walk of a hash bucket, and
//! no atomic addition. User space adds the counts in the slots to those in the map. A packet's contact flag
//! is part of the key, so the contact times in the map already include the flag of every packet counted
//! here.
//!
//! The caches of all bots and generations are ranges of *parts* in one array map: their sizes vary, but the
//! value size of a map is fixed when the object is compiled.

use crate::address::Address;
use crate::bot::CacheRange;
use crate::endpoint::Endpoint;
use crate::hash::multiplicative;
use crate::kernel::GENERATIONS;
use crate::packet::Packet;

/// The slots in a part. On each CPU, a cache has a power of two of parts.
pub const SLOTS: usize = 1 << OFFSET_BITS;
const OFFSET_BITS: u32 = 6;
/// The maximum number of parts in a cache.
const MAX_PARTS: u32 = 64;
/// The memory limit for a bot's parts of all CPUs and generations, in bytes. There is always at least one
/// part per CPU and generation, even above the limit.
const MEMORY_LIMIT: usize = 1 << 20;

/// The `u64` words in a part. Each slot has the key (0 if the slot is free), packets, and bytes.
pub const PART_WORDS: usize = SLOTS * SLOT_WORDS;
/// The `u64` words in a slot.
pub const SLOT_WORDS: usize = 3;

/// Returns the number of parts a generation has on each CPU: enough for two slots per listed endpoint, but
/// at most 4096 slots, and within the memory limit.
#[must_use]
pub fn parts(endpoints: u32, cpus: usize) -> u32 {
    let wanted = endpoints.div_ceil(1 << (OFFSET_BITS - 1)).clamp(1, MAX_PARTS).next_power_of_two();
    let size =
        size_of::<[u64; PART_WORDS]>().saturating_mul(cpus).saturating_mul(GENERATIONS as usize);
    let affordable = u32::try_from(MEMORY_LIMIT / size.max(1)).unwrap_or(MAX_PARTS).max(1);
    wanted.min(1 << affordable.ilog2())
}

/// Returns the cache key of a packet: its endpoint and contact flag. Never 0. `None` for IPv6, which is not
/// cached.
#[must_use]
#[inline]
pub const fn key(packet: &Packet) -> Option<u64> {
    let endpoint = &packet.destination;
    if !endpoint.address().is_v4() {
        return None;
    }
    let [_, low] = endpoint.address().halves();
    let service = (endpoint.port() as u64) << 48 | (endpoint.protocol() as u64) << 40;
    let contact = packet.contact.number() as u64 + 1;
    Some(service | contact << 32 | low & 0xffff_ffff)
}

/// Returns the endpoint in a cache key.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "keeps the bits of each field")]
pub const fn endpoint(key: u64) -> Endpoint {
    Endpoint::new(Address::v4((key as u32).to_be_bytes()), (key >> 40) as u8, (key >> 48) as u16)
}

/// The bits of a slot index in a cache with the maximum number of parts.
const SLOT_BITS: u32 = 12;

const _: () = assert!(1 << SLOT_BITS == MAX_PARTS as usize * SLOTS);

/// The slot that a key maps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSlot {
    /// The index of the part among the parts of all caches.
    pub part: u32,
    /// The index of the slot's first word in the part: the key. Packets and bytes follow.
    pub offset: usize,
}

impl CacheSlot {
    /// Returns the slot for a key in a cache of at least one part.
    #[must_use]
    #[inline]
    pub const fn of(key: u64, cache: CacheRange) -> Self {
        let slot = multiplicative(key, SLOT_BITS);
        let part = cache.first + ((slot >> OFFSET_BITS) & (cache.parts - 1));
        Self { part, offset: slot as usize % SLOTS * SLOT_WORDS }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::packet::ContactFlag;

    fn packet(address: Address, protocol: u8, port: u16, contact: ContactFlag) -> Packet {
        let destination = Endpoint::new(address, protocol, port);
        Packet { source: Address::v4([10, 0, 0, 5]), destination, contact, ..Packet::default() }
    }

    const FLAGS: [ContactFlag; 3] =
        [ContactFlag::NONE, ContactFlag::ATTEMPT, ContactFlag::ESTABLISHED];

    #[test]
    fn keys_are_unique_and_contain_the_endpoint() {
        let mut keys = HashMap::new();
        for octets in [[0; 4], [0, 0, 0, 1], [1, 0, 0, 0], [198, 18, 0, 5], [255; 4]] {
            for (protocol, port) in [(0, 0), (1, 0), (6, 80), (17, 80), (17, 0x5000), (255, 0xffff)]
            {
                for contact in FLAGS {
                    let packet = packet(Address::v4(octets), protocol, port, contact);
                    let key = key(&packet).unwrap();
                    assert_ne!(key, 0, "0 marks a free slot");
                    assert_eq!(endpoint(key), packet.destination);
                    assert_eq!(keys.insert(key, packet), None);
                }
            }
        }
    }

    #[test]
    fn ipv6_has_no_key() {
        let mapped = Address::v4([192, 0, 2, 1]).bytes();
        assert!(key(&packet(Address::v6(mapped), 17, 53, ContactFlag::ATTEMPT)).is_some());
        for changed in 0..12 {
            let mut octets = mapped;
            octets[changed] ^= 0x40;
            assert_eq!(key(&packet(Address::v6(octets), 17, 53, ContactFlag::ATTEMPT)), None);
        }
    }

    #[test]
    fn slots_stay_within_their_cache_and_are_evenly_used() {
        for parts in [1, 8, 64] {
            let mut used = vec![[0u32; PART_WORDS]; (GENERATIONS * parts) as usize];
            for n in 0..50_000u32 {
                for generation in 0..GENERATIONS {
                    // As in a flood, only a few bits differ between endpoints.
                    let address = Address::v4((0xc612_0000 + n / 8).to_be_bytes());
                    let key =
                        key(&packet(address, 17, (n % 8) as u16, ContactFlag::ATTEMPT)).unwrap();
                    let cache = CacheRange { first: generation * parts, parts };
                    let slot = CacheSlot::of(key, cache);
                    assert_eq!(slot.part / parts, generation);
                    used[slot.part as usize][slot.offset] += 1;
                }
            }
            let fair = 50_000 / parts / u32::try_from(SLOTS).unwrap();
            for part in used {
                let slots: Vec<_> = part.chunks(SLOT_WORDS).map(|slot| slot[0]).collect();
                assert!(slots.iter().all(|&n| n > fair / 3 && n < fair * 3), "{slots:?}");
            }
        }
    }

    #[test]
    fn there_are_two_slots_per_endpoint_within_the_memory_limit() {
        let expected = [
            (1, 2, 1),
            (1024, 2, 32),
            (1_000_000, 2, 64),
            (1024, 16, 16),
            (1024, 128, 2),
            (1024, 8192, 1),
        ];
        for (endpoints, cpus, number) in expected {
            assert_eq!(parts(endpoints, cpus), number, "{endpoints}, {cpus} CPUs");
        }
    }
}

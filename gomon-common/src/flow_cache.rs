//! Places near at hand, where a CPU counts packets to known endpoints of IPv4 without looking for them
//! in the map that all CPUs share.
//!
//! A packet that is found in the map takes the place its key falls on, if that is free, and the packets
//! of the same kind that follow are counted there: no hash over 24 bytes, no list, and no addition that
//! others have to see. What lies in the places belongs to the counts in the map. The sign of a packet is
//! a part of its key, so whatever is counted here has shown its sign in the map before.

use crate::hash::multiplicative;
use crate::kernel::GENERATIONS;
use crate::{Address, Endpoint, Packet};

/// Places in a part. A generation has a power of two of parts on each CPU.
pub const SLOTS: usize = 1 << OFFSET_BITS;
const OFFSET_BITS: u32 = 6;
/// The most parts there can be.
const MAX_PARTS: u32 = 64;
/// Bytes that all parts together are to take, as far as there is one on each CPU.
const MEMORY: usize = 1 << 20;

/// Numbers in a part: each place has a key, or 0 where it is free, packets, and their bytes.
pub const PART_WORDS: usize = SLOTS * SLOT_WORDS;
/// Numbers in a place.
pub const SLOT_WORDS: usize = 3;

/// How many parts a generation has on a CPU, for so many endpoints and CPUs: two places an endpoint, up to
/// 4096 and as far as there is memory.
#[must_use]
pub fn parts(endpoints: u32, cpus: usize) -> u32 {
    let wanted = endpoints.div_ceil(1 << (OFFSET_BITS - 1)).clamp(1, MAX_PARTS).next_power_of_two();
    let size =
        size_of::<[u64; PART_WORDS]>().saturating_mul(cpus).saturating_mul(GENERATIONS as usize);
    let affordable = u32::try_from(MEMORY / size.max(1)).unwrap_or(MAX_PARTS).max(1);
    wanted.min(1 << affordable.ilog2())
}

/// What is counted in one place: packets to an endpoint that show the same of the contact. Never 0.
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

/// The endpoint that packets with this key go to.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the bits of each field are meant")]
pub const fn endpoint(key: u64) -> Endpoint {
    Endpoint::new(Address::v4((key as u32).to_be_bytes()), (key >> 40) as u8, (key >> 48) as u16)
}

/// Bits that tell a place in a generation of the most parts.
const SLOT_BITS: u32 = 12;

const _: () = assert!(1 << SLOT_BITS == MAX_PARTS as usize * SLOTS);

/// Where a key falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSlot {
    /// The part, of those of all generations.
    pub part: u32,
    /// The number of its key in the part. Packets and bytes stand behind it.
    pub offset: usize,
}

impl CacheSlot {
    /// The place of a key, where every generation has so many parts.
    #[must_use]
    #[inline]
    pub const fn of(key: u64, generation: u32, parts: u32) -> Self {
        let place = multiplicative(key, SLOT_BITS);
        let part = generation * parts + ((place >> OFFSET_BITS) & (parts - 1));
        Self { part, offset: place as usize % SLOTS * SLOT_WORDS }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::ContactFlag;

    fn packet(address: Address, protocol: u8, port: u16, contact: ContactFlag) -> Packet {
        let destination = Endpoint::new(address, protocol, port);
        Packet { source: Address::v4([10, 0, 0, 5]), destination, contact, ..Packet::default() }
    }

    const SIGNS: [ContactFlag; 3] =
        [ContactFlag::NONE, ContactFlag::ATTEMPT, ContactFlag::ESTABLISHED];

    #[test]
    fn a_key_tells_the_endpoint_and_the_sign() {
        let mut keys = HashMap::new();
        for octets in [[0; 4], [0, 0, 0, 1], [1, 0, 0, 0], [198, 18, 0, 5], [255; 4]] {
            for (protocol, port) in [(0, 0), (1, 0), (6, 80), (17, 80), (17, 0x5000), (255, 0xffff)]
            {
                for contact in SIGNS {
                    let packet = packet(Address::v4(octets), protocol, port, contact);
                    let key = key(&packet).unwrap();
                    assert_ne!(key, 0, "that is a free place");
                    assert_eq!(endpoint(key), packet.destination);
                    assert_eq!(keys.insert(key, packet), None);
                }
            }
        }
    }

    #[test]
    fn of_ipv6_there_is_none() {
        let mapped = Address::v4([192, 0, 2, 1]).bytes();
        assert!(key(&packet(Address::v6(mapped), 17, 53, ContactFlag::ATTEMPT)).is_some());
        for changed in 0..12 {
            let mut octets = mapped;
            octets[changed] ^= 0x40;
            assert_eq!(key(&packet(Address::v6(octets), 17, 53, ContactFlag::ATTEMPT)), None);
        }
    }

    #[test]
    fn places_are_within_their_generation_and_all_are_used() {
        for parts in [1, 8, 64] {
            let mut used = vec![[0u32; PART_WORDS]; (GENERATIONS * parts) as usize];
            for n in 0..50_000u32 {
                for generation in 0..GENERATIONS {
                    // In a flood only some bits differ from one endpoint to the next.
                    let address = Address::v4((0xc612_0000 + n / 8).to_be_bytes());
                    let key =
                        key(&packet(address, 17, (n % 8) as u16, ContactFlag::ATTEMPT)).unwrap();
                    let place = CacheSlot::of(key, generation, parts);
                    assert_eq!(place.part / parts, generation);
                    used[place.part as usize][place.offset] += 1;
                }
            }
            let fair = 50_000 / parts / u32::try_from(SLOTS).unwrap();
            for part in used {
                let places: Vec<_> = part.chunks(SLOT_WORDS).map(|place| place[0]).collect();
                assert!(places.iter().all(|&n| n > fair / 3 && n < fair * 3), "{places:?}");
            }
        }
    }

    #[test]
    fn there_are_two_places_an_endpoint_within_the_memory() {
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

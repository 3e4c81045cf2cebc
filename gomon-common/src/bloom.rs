//! Where a host falls in the sieve that tells hosts which can't be known from those that may be.
//!
//! A sieve is made of holes; the slot of a host is opened before the host becomes
//! known. Once no host has room any more, whoever finds a slot closed needs no look into a hash.

/// Holes of a part. A sieve has a power of two of parts.
pub const PART_SLOTS: usize = 1 << OFFSET_BITS;
const OFFSET_BITS: u32 = 12;

/// Hosts that can be known, for each part: 32 holes a host, so that one in 32 unknown hosts gets through
/// by chance.
const HOSTS_PER_PART: u32 = 1 << (OFFSET_BITS - 5);
/// The largest sieve has 16 million holes.
const MAX_PARTS: u32 = 4096;

/// How many parts a generation's sieve has, for so many hosts.
#[must_use]
pub fn parts(hosts: u32) -> u32 {
    hosts.div_ceil(HOSTS_PER_PART).clamp(1, MAX_PARTS).next_power_of_two()
}

/// The place of a host in the sieve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterSlot {
    /// The part, of those of all generations.
    pub part: u32,
    /// The byte in it.
    pub offset: usize,
}

impl FilterSlot {
    /// The slot of the host with this [`hash`](crate::hash::hash), where the sieve of every
    /// generation has so many parts.
    #[must_use]
    #[inline]
    pub const fn of(hash: u64, generation: u32, parts: u32) -> Self {
        // The registers go by the high bits.
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
        let low = hash as u32;
        let part = (low >> OFFSET_BITS) & (parts - 1);
        Self { part: generation * parts + part, offset: low as usize % PART_SLOTS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash;
    use crate::kernel::GENERATIONS;

    #[test]
    fn parts_grow_with_the_hosts_up_to_a_bound() {
        let expected = [(1, 1), (128, 1), (129, 2), (1024, 8), (1_000_000, 4096), (u32::MAX, 4096)];
        for (hosts, number) in expected {
            assert_eq!(parts(hosts), number, "{hosts} hosts");
        }
    }

    #[test]
    fn generations_have_parts_of_their_own_and_every_part_is_used() {
        for parts in [1, 8] {
            let mut used = vec![0u32; (GENERATIONS * parts) as usize];
            for n in 0..10_000 {
                for generation in 0..GENERATIONS {
                    let slot = FilterSlot::of(hash([0, n]), generation, parts);
                    assert!(slot.offset < PART_SLOTS);
                    assert_eq!(slot.part / parts, generation);
                    used[slot.part as usize] += 1;
                }
            }
            assert!(used.iter().all(|&n| n > 1000), "{used:?}");
        }
    }
}

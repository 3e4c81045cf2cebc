//! The layout of the Bloom filter of hosts that may be listed.
//!
//! The filter has one hash function. A host's slot is set before the host is added to the map of listed
//! hosts. Once that map is full, a clear slot proves that a host is not listed, which saves the map lookup
//! for most packets of a flood that sends each packet to a new host.
//!
//! The filter is stored as an array map of *parts*: its size varies with the number of hosts, but the
//! value size of a map is fixed when the object is compiled.

/// The slots in a part. The number of parts is a power of two.
pub const PART_SLOTS: usize = 1 << OFFSET_BITS;
const OFFSET_BITS: u32 = 12;

/// The listed hosts per part: with 32 slots per listed host, the false positive rate of unlisted hosts is
/// at most 1 in 32.
const HOSTS_PER_PART: u32 = 1 << (OFFSET_BITS - 5);
/// The maximum number of parts in a generation: 16 million slots.
const MAX_PARTS: u32 = 4096;

/// Returns the number of parts that the filter of a generation needs for this many listed hosts.
#[must_use]
pub fn parts(hosts: u32) -> u32 {
    hosts.div_ceil(HOSTS_PER_PART).clamp(1, MAX_PARTS).next_power_of_two()
}

/// The slot of a host in the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterSlot {
    /// The index of the part among the parts of all generations.
    pub part: u32,
    /// The index of the slot in the part. A slot is one byte.
    pub offset: usize,
}

impl FilterSlot {
    /// Returns the slot for a host with this [`hash`](crate::hash::hash), if the filter of each generation
    /// has this many `parts`.
    #[must_use]
    #[inline]
    pub const fn of(hash: u64, generation: u32, parts: u32) -> Self {
        // The HyperLogLog register index uses the high bits.
        #[expect(clippy::cast_possible_truncation, reason = "keeps the low bits")]
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
    fn parts_grow_with_the_hosts_up_to_the_maximum() {
        let expected = [(1, 1), (128, 1), (129, 2), (1024, 8), (1_000_000, 4096), (u32::MAX, 4096)];
        for (hosts, number) in expected {
            assert_eq!(parts(hosts), number, "{hosts} hosts");
        }
    }

    #[test]
    fn generations_use_separate_parts_and_every_part_is_used() {
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

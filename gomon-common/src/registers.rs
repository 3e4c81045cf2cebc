//! Where a host goes in the registers from which distinct hosts are estimated (`HyperLogLog`;
//! Flajolet, Fusy, Gandouet, Meunier, 2007).
//!
//! Kernel and user space fill registers with the same function, so their registers can be merged.

use crate::Address;

/// Number of registers: 2^12, for a standard error of 1.04 / 2^6 = 1.6 %.
pub const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 12;

/// The register a host falls into, and the rank that register must hold at least.
///
/// The rank is the position of the first set bit in the rest of the hash, 1 to 53.
#[must_use]
#[inline]
pub fn place(host: Address) -> (usize, u8) {
    let hash = hash(host.halves());
    let index = (hash >> (64 - INDEX_BITS)) as usize;
    // The low bit is set to bound the rank when all bits left are zero.
    let rest = (hash << INDEX_BITS) | (1 << (INDEX_BITS - 1));
    #[expect(clippy::cast_possible_truncation, reason = "at most 53")]
    let rank = (rest.leading_zeros() + 1) as u8;
    (index, rank)
}

/// A hash of two numbers that spreads over all 64 bits, in operations the kernel's virtual machine
/// has (it lacks the 128-bit product that newer hashes build on).
#[must_use]
#[inline]
pub const fn hash([high, low]: [u64; 2]) -> u64 {
    mix(high ^ mix(low ^ 0x9e37_79b9_7f4a_7c15))
}

/// The finaliser of `MurmurHash3` (Austin Appleby, public domain).
#[inline]
const fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_register_is_reached_and_ranks_are_in_range() {
        let mut seen = vec![0u8; REGISTERS];
        for n in 0..200_000u32 {
            let (index, rank) = place(Address::v4(n.to_be_bytes()));
            assert!((1..=53).contains(&rank));
            seen[index] = seen[index].max(rank);
        }
        assert!(seen.iter().all(|&rank| rank > 0));
    }
}

//! The registers of the `HyperLogLog` sketch that estimates the number of distinct hosts (Flajolet,
//! Fusy, Gandouet, Meunier, 2007).
//!
//! The eBPF programs and user space update registers with the same function, so that their sketches can
//! be merged.

/// The number of registers: 2^12, for a standard error of 1.04 / 2^6 = 1.6 %.
pub const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 12;

/// The register that a host maps to, and the rank that it contributes.
#[derive(Clone, Copy, Debug)]
pub struct Register {
    index: usize,
    rest: u64,
}

impl Register {
    /// Returns the register for a host with this [`hash`](crate::hash::hash).
    #[must_use]
    #[inline]
    pub const fn of(hash: u64) -> Self {
        let index = (hash >> (64 - INDEX_BITS)) as usize;
        // The set bit bounds the rank if all remaining bits are zero.
        Self { index, rest: (hash << INDEX_BITS) | (1 << (INDEX_BITS - 1)) }
    }

    /// Returns the index of the register.
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        self.index
    }

    /// Returns whether [`Register::rank`] is greater than `value`, the current value of the register, which
    /// is at most 53. A shift decides this, because eBPF has no instruction to count leading zeros.
    #[must_use]
    #[inline]
    pub const fn exceeds(self, value: u8) -> bool {
        self.rest >> (63 - (value & 63)) >> 1 == 0
    }

    /// Returns the rank: the position of the first set bit in the remaining bits of the hash, 1 to 53. The
    /// register keeps the maximum rank.
    #[must_use]
    #[inline]
    pub const fn rank(self) -> u8 {
        #[expect(clippy::cast_possible_truncation, reason = "at most 53")]
        let rank = (self.rest.leading_zeros() + 1) as u8;
        rank
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;
    use crate::hash::hash;

    #[test]
    fn every_register_is_used_and_ranks_are_in_range() {
        let mut seen = vec![0u8; REGISTERS];
        for n in 0..200_000u32 {
            let register = Register::of(hash(Address::v4(n.to_be_bytes()).halves()));
            let (index, rank) = (register.index(), register.rank());
            assert!((1..=53).contains(&rank));
            seen[index] = seen[index].max(rank);
        }
        assert!(seen.iter().all(|&rank| rank > 0));
    }

    #[test]
    fn exceeds_agrees_with_rank() {
        for zeros in 0..=64 - INDEX_BITS {
            let register = Register::of((u64::MAX >> INDEX_BITS).checked_shr(zeros).unwrap_or(0));
            assert_eq!(u32::from(register.rank()), zeros + 1);
            for value in 0..=53 {
                assert_eq!(
                    register.exceeds(value),
                    register.rank() > value,
                    "{zeros} zeros, value {value}"
                );
            }
        }
    }
}

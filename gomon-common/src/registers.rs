//! Where a host goes in the registers from which distinct hosts are estimated (`HyperLogLog`;
//! Flajolet, Fusy, Gandouet, Meunier, 2007).
//!
//! Kernel and user space fill registers with the same function, so their registers can be merged.

/// Number of registers: 2^12, for a standard error of 1.04 / 2^6 = 1.6 %.
pub const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 12;

/// The register a host falls into, and how high it reaches there.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    index: usize,
    rest: u64,
}

impl Place {
    /// The place of the host whose halves have this [`hash`].
    #[must_use]
    #[inline]
    pub const fn of(hash: u64) -> Self {
        let index = (hash >> (64 - INDEX_BITS)) as usize;
        // The low bit is set to bound the rank when all bits left are zero.
        Self { index, rest: (hash << INDEX_BITS) | (1 << (INDEX_BITS - 1)) }
    }

    /// The number of the register.
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        self.index
    }

    /// Whether [`Place::rank`] is above what the register holds, which is 53 at most: a shift, where
    /// the kernel's virtual machine has no instruction that counts zeros.
    #[must_use]
    #[inline]
    pub const fn is_above(self, held: u8) -> bool {
        self.rest >> (63 - (held & 63)) >> 1 == 0
    }

    /// The rank the register must hold at least: the position of the first set bit in the rest of the
    /// hash, 1 to 53.
    #[must_use]
    #[inline]
    pub const fn rank(self) -> u8 {
        #[expect(clippy::cast_possible_truncation, reason = "at most 53")]
        let rank = (self.rest.leading_zeros() + 1) as u8;
        rank
    }
}

/// A hash of two numbers that spreads over all 64 bits, in operations the kernel's virtual machine
/// has (it lacks the 128-bit product that newer hashes build on).
#[must_use]
#[inline]
pub const fn hash([high, low]: [u64; 2]) -> u64 {
    mix(low ^ high.wrapping_mul(GOLDEN) ^ GOLDEN)
}

/// The 64 bits of the golden ratio's fraction, made odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A cheaper hash, of so many bits: the top ones of a product, which hang on all bits of the key (Knuth,
/// "The Art of Computer Programming", volume 3, 6.4). For places that may be wrong, since it is easy to
/// find keys that fall on one.
#[must_use]
#[inline]
pub const fn multiplicative(key: u64, bits: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "nobody asks for more than 32")]
    let top = (key.wrapping_mul(GOLDEN) >> (u64::BITS - bits)) as u32;
    top
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
    use crate::Address;

    #[test]
    fn every_register_is_reached_and_ranks_are_in_range() {
        let mut seen = vec![0u8; REGISTERS];
        for n in 0..200_000u32 {
            let place = Place::of(hash(Address::v4(n.to_be_bytes()).halves()));
            let (index, rank) = (place.index(), place.rank());
            assert!((1..=53).contains(&rank));
            seen[index] = seen[index].max(rank);
        }
        assert!(seen.iter().all(|&rank| rank > 0));
    }

    #[test]
    fn a_place_is_above_a_register_as_its_rank_is() {
        for zeros in 0..=64 - INDEX_BITS {
            let place = Place::of((u64::MAX >> INDEX_BITS).checked_shr(zeros).unwrap_or(0));
            assert_eq!(u32::from(place.rank()), zeros + 1);
            for held in 0..=53 {
                assert_eq!(place.is_above(held), place.rank() > held, "{zeros} zeros, {held} held");
            }
        }
    }
}

//! The hash functions that the kernel program and user space share.

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
/// "The Art of Computer Programming", volume 3, 6.4). For caches, whose
/// entries are compared with the key: it is easy to find keys that collide.
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

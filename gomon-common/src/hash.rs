//! Hash functions shared by the eBPF programs and user space.

/// Hashes two numbers into 64 well-mixed bits, using only operations that eBPF has. (eBPF lacks the
/// 128-bit multiplication on which newer hash functions are built.)
#[must_use]
#[inline]
pub const fn hash([high, low]: [u64; 2]) -> u64 {
    mix(low ^ high.wrapping_mul(GOLDEN) ^ GOLDEN)
}

/// The first 64 bits of the fractional part of the golden ratio, made odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Multiplicative hashing: returns the top `bits` bits of a product, which depend on all bits of the key
/// (Knuth, "The Art of Computer Programming", volume 3, section 6.4).
///
/// Cheaper than [`hash`], but colliding keys are easy to construct. It is meant for caches, which compare
/// the stored key.
#[must_use]
#[inline]
pub const fn multiplicative(key: u64, bits: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "`bits` is at most 32")]
    let top = (key.wrapping_mul(GOLDEN) >> (u64::BITS - bits)) as u32;
    top
}

/// The 64-bit finalizer of `MurmurHash3` (Austin Appleby, public domain).
#[inline]
const fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

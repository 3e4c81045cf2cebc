//! Pseudo-random numbers that are the same on every machine, so that generated captures are identical everywhere.

/// `SplitMix64` (Steele, Lea, Flood; OOPSLA 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: u16) -> u16 {
        let [high, low, ..] = self.number().to_be_bytes();
        u16::from_be_bytes([high, low]) % bound
    }

    /// Returns an index into `length` items, which must not be 0.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.number() >> 1).unwrap_or_default() % length
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

//! Numbers that look random and are the same on every machine, so that a generated capture is one
//! and the same file everywhere.

/// `SplitMix64` (Steele, Lea, Flood; OOPSLA 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, which is above 0.
    pub(crate) fn below(&mut self, bound: u16) -> u16 {
        let [high, low, ..] = self.number().to_be_bytes();
        u16::from_be_bytes([high, low]) % bound
    }

    /// One of so many things, of which there is at least one.
    pub(crate) fn index(&mut self, things: usize) -> usize {
        usize::try_from(self.number() >> 1).unwrap_or_default() % things
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

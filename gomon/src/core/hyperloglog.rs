//! An estimate of the number of distinct hosts in constant memory.

use gomon_common::Address;
use gomon_common::hash::hash;
use gomon_common::hyperloglog::{REGISTERS, Register};

/// A `HyperLogLog` sketch of a set of hosts: 4096 one-byte registers, independent of the set's size.
///
/// Hosts may be added in any order and any number of times, and sketches can be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HyperLogLog {
    registers: Box<[u8; REGISTERS]>,
}

impl Default for HyperLogLog {
    fn default() -> Self {
        Self { registers: Box::new([0; REGISTERS]) }
    }
}

impl HyperLogLog {
    /// Adds a host.
    #[inline]
    pub fn insert(&mut self, host: Address) {
        self.insert_hash(hash(host.halves()));
    }

    /// Adds the host with this [`hash`].
    #[inline]
    pub(super) fn insert_hash(&mut self, hash: u64) {
        let register = Register::of(hash);
        let value = &mut self.registers[register.index()];
        *value = register.rank().max(*value);
    }

    /// Adds all hosts of another sketch.
    pub fn merge(&mut self, other: &Self) {
        self.merge_registers(&other.registers);
    }

    /// Adds the hosts of a sketch given by its registers, such as one filled in the kernel.
    pub fn merge_registers(&mut self, registers: &[u8; REGISTERS]) {
        for (mine, theirs) in self.registers.iter_mut().zip(registers) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// Estimates the number of distinct hosts added, with a standard error of 1.6 %.
    ///
    /// The estimator is the one of Otmar Ertl, "New cardinality estimation algorithms for
    /// `HyperLogLog` sketches" (2017), algorithm 6: unbiased from 0 up, without tables.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        const BITS: usize = 52; // of the hash, without those of the register's index
        let mut histogram = [0u32; BITS + 2];
        for &rank in self.registers.iter() {
            histogram[usize::from(rank).min(BITS + 1)] += 1;
        }
        let m = f64::from(u32::try_from(REGISTERS).unwrap_or(u32::MAX));
        let mut z = m * tau(1.0 - f64::from(histogram[BITS + 1]) / m);
        for &count in histogram[1..=BITS].iter().rev() {
            z = 0.5 * (z + f64::from(count));
        }
        z += m * sigma(f64::from(histogram[0]) / m);
        let estimate = m * m / (2.0 * std::f64::consts::LN_2 * z);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the estimate is not negative, and the cast saturates"
        )]
        let rounded = estimate.round() as u64;
        rounded
    }
}

/// Ertl's correction for registers that are zero: the sum of `x^(2^k) * 2^(k-1)`.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let previous = z;
        z += x * y;
        y += y;
        if z <= previous {
            return z;
        }
    }
}

/// Ertl's correction for registers at the highest rank.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let previous = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z >= previous {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(n: u32) -> Address {
        Address::v4(n.to_be_bytes())
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn error_stays_within_four_standard_errors_over_many_sizes() {
        let mut squared = 0.0;
        let sizes = [1u32, 10, 100, 1000, 1025, 5000, 20_000, 100_000, 1_000_000];
        for (round, &size) in sizes.iter().enumerate() {
            let mut sketch = HyperLogLog::default();
            let base = u32::try_from(round).unwrap() * 0x0700_0000;
            (0..size).for_each(|n| sketch.insert(host(base + n)));
            let error = sketch.estimate() as f64 / f64::from(size) - 1.0;
            assert!(error.abs() < 0.065, "{size} hosts: off by {error}");
            squared += error * error;
        }
        let root_mean_square = (squared / sizes.len() as f64).sqrt();
        assert!(root_mean_square < 0.02, "root mean square error {root_mean_square}");
    }

    #[test]
    fn empty_is_zero() {
        assert_eq!(HyperLogLog::default().estimate(), 0);
    }

    proptest! {
        #[test]
        fn merging_equals_adding_all(a in prop::collection::vec(any::<u32>(), 0..200), b in prop::collection::vec(any::<u32>(), 0..200)) {
            let sketch = |hosts: &[u32]| {
                let mut sketch = HyperLogLog::default();
                for &n in hosts {
                    sketch.insert(host(n));
                }
                sketch
            };
            let mut merged = sketch(&a);
            merged.merge(&sketch(&b));
            prop_assert_eq!(merged, sketch(&[b, a].concat()));
        }
    }
}

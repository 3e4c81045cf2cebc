//! The measurements of one growing quantity.

/// The factors by which a quantity grows.
pub(in crate::bench) const STEPS: [u32; 3] = [1, 10, 100];

/// Time and memory of a replay at each of [`STEPS`].
pub(in crate::bench) struct Series {
    /// The growing quantity.
    pub(in crate::bench) quantity: &'static str,
    pub(in crate::bench) seconds: [f64; 3],
    pub(in crate::bench) mib: [f64; 3],
}

//! The measurements of one growing quantity.

/// The factors by which a quantity grows.
pub(super) const STEPS: [u32; 3] = [1, 10, 100];

/// Time and memory of a replay at each of [`STEPS`].
pub(super) struct Series {
    /// The growing quantity.
    pub(super) quantity: &'static str,
    pub(super) seconds: [f64; 3],
    pub(super) mib: [f64; 3],
}

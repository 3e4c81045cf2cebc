//! Access to the bytes of a frame, in user space and in the kernel program.

/// The captured bytes of one frame, with every access bounds-checked.
///
/// Byte slices implement it in user space, and the packet contexts of XDP and TC in the kernel program, so that
/// both run the same parsers.
pub trait Frame {
    /// Returns the `N` bytes that start at `offset`, or `None` when the captured bytes end before them.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// Returns `offset` unchanged. The kernel's verifier tracks each possible value of an offset as a separate
    /// state; a packet context hides the value from it here, except for its bounds, so that the states merge.
    #[inline]
    fn forget_value(&self, offset: usize) -> usize {
        offset
    }
}

impl Frame for [u8] {
    #[inline]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Frame;

    #[test]
    fn reads_are_bounds_checked() {
        let bytes = [1u8, 2, 3];
        assert_eq!(bytes.read::<2>(1), Some([2, 3]));
        assert_eq!(bytes.read::<2>(2), None);
        assert_eq!(bytes.read::<1>(usize::MAX), None);
        assert_eq!(bytes.read::<0>(3), Some([]));
    }
}

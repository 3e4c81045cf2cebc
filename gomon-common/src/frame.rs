//! How the parser gets at the bytes of a frame, wherever they are.

/// The captured bytes of one frame, read with bounds checked on every access.
///
/// A byte slice implements it in user space, and the kernel's packet contexts in the kernel program,
/// so that one parser serves both.
pub trait Frame {
    /// The `N` bytes that start at `offset`, or `None` when the capture ends before them.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// `offset` as it is. The kernel's verifier follows every value that an offset can have as a path of
    /// its own; here a context can make it forget all but the bounds, so that paths join.
    #[inline]
    fn anywhere(&self, offset: usize) -> usize {
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
    fn reads_inside_and_refuses_outside() {
        let bytes = [1u8, 2, 3];
        assert_eq!(bytes.read::<2>(1), Some([2, 3]));
        assert_eq!(bytes.read::<2>(2), None);
        assert_eq!(bytes.read::<1>(usize::MAX), None);
        assert_eq!(bytes.read::<0>(3), Some([]));
    }
}

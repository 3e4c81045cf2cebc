//! The latest bytes of a stream, kept for rereading.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use super::pcapng::section::MAX_BLOCK;

/// The number of bytes from which [`RecentBytes::is_full`].
const FULL: usize = 30 << 20;
/// The most bytes that are kept: a batch of frames may exceed the number above by the longest packet block.
const MAX: usize = FULL + MAX_BLOCK + (2 << 20);

/// The bytes of a stream from a position on. Clones share them: the reader appends bytes, the replay drops those before
/// the open pane.
#[derive(Clone, Debug)]
pub(super) struct RecentBytes(Rc<RefCell<KeptBytes>>);

#[derive(Debug)]
struct KeptBytes {
    bytes: Vec<u8>,
    /// The position of the first byte.
    start: u64,
    /// The number of bytes at the start that were dropped, and are not removed yet.
    dropped: usize,
}

impl RecentBytes {
    /// Keeps the bytes of a stream from `start` on.
    pub(super) fn new(start: u64) -> Self {
        // Memory that is never written to is not resident.
        let bytes = Vec::with_capacity(MAX);
        Self(Rc::new(RefCell::new(KeptBytes { bytes, start, dropped: 0 })))
    }

    /// Appends the next bytes of the stream.
    pub(super) fn append(&self, bytes: &[u8]) {
        let kept = &mut *self.0.borrow_mut();
        if kept.len() + bytes.len() > MAX {
            // Only a block without a packet, which may have 4 GiB, takes so much.
            kept.dropped = kept.bytes.len();
        }
        // Moving fewer bytes than were dropped makes the cost of all moves linear.
        if kept.dropped >= kept.len() {
            kept.bytes.drain(..kept.dropped);
            kept.start += kept.dropped as u64;
            kept.dropped = 0;
        }
        kept.bytes.extend_from_slice(bytes);
    }

    /// Drops the bytes before `position`.
    pub(super) fn drop_before(&self, position: u64) {
        let kept = &mut *self.0.borrow_mut();
        let before = position.saturating_sub(kept.start + kept.dropped as u64);
        kept.dropped += kept.len().min(usize::try_from(before).unwrap_or(usize::MAX));
    }

    /// Whether so many bytes are kept that packets should be stored instead.
    pub(super) fn is_full(&self) -> bool {
        self.0.borrow().len() >= FULL
    }

    /// Copies the bytes of `range` to `into`. Returns whether they are kept.
    pub(super) fn copy(&self, range: Range<u64>, into: &mut Vec<u8>) -> bool {
        let kept = &*self.0.borrow();
        let offset = |position: u64| usize::try_from(position.checked_sub(kept.start)?).ok();
        let bytes = offset(range.start)
            .filter(|start| *start >= kept.dropped)
            .and_then(|start| kept.bytes.get(start..offset(range.end)?));
        into.clear();
        into.extend_from_slice(bytes.unwrap_or_default());
        bytes.is_some()
    }
}

impl KeptBytes {
    /// Returns the number of bytes that were not dropped.
    fn len(&self) -> usize {
        self.bytes.len() - self.dropped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_not_dropped_is_kept(
            start in 0u64..100,
            steps in prop::collection::vec((0usize..300, 0u64..400), 1..60),
            range in (0u64..2000, 0u64..300),
        ) {
            let recent = RecentBytes::new(start);
            let (mut end, mut first) = (start, start);
            let byte = |position: u64| (position * 31 + position / 251).to_le_bytes()[0];
            for (append, drop) in steps {
                let bytes: Vec<u8> = (end..).take(append).map(byte).collect();
                recent.append(&bytes);
                end += append as u64;
                prop_assert!(recent.0.borrow().bytes.len() as u64 <= 2 * (end - first));
                first = (first + drop).min(end);
                recent.drop_before(first);
                let range = range.0..range.0 + range.1;
                let mut copied = vec![1, 2, 3];
                let is_kept = recent.copy(range.clone(), &mut copied);
                prop_assert_eq!(is_kept, range.start >= first && range.end <= end);
                let expected = range.filter(|_| is_kept).map(byte).collect::<Vec<_>>();
                prop_assert_eq!(copied, expected);
            }
        }
    }

    #[test]
    fn it_becomes_full_and_is_bounded() {
        let recent = RecentBytes::new(0);
        let block = vec![7; 1 << 20];
        for _ in 0..FULL / block.len() {
            assert!(!recent.is_full());
            recent.append(&block);
        }
        assert!(recent.is_full());
        for _ in 0..200 {
            recent.append(&block);
        }
        assert!(recent.0.borrow().bytes.len() <= MAX);
        assert_eq!(recent.0.borrow().bytes.capacity(), MAX, "never reallocated");
    }
}

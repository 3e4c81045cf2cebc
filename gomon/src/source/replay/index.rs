//! Where the records of a capture are, for rereading them.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use anyhow::{Result, ensure};

use super::concatenated::unread_capture;
use super::format::PcapFormat;

/// The most format changes in a file that can be reread: 2 MiB of them.
const MAX_CHANGES: usize = 1 << 16;

/// An index of a plain pcap capture, or of several in one file. Positions are offsets in the capture at which
/// a record starts.
///
/// Clones share the index: the reader adds format changes, the replay adds panes and checkpoints, and the
/// [`Rereader`](super::Rereader) looks them up.
#[derive(Clone, Debug)]
pub(super) struct CaptureIndex(Rc<RefCell<Positions>>);

#[derive(Debug)]
struct Positions {
    /// The formats of the concatenated captures, each with the position from which it applies.
    formats: Vec<(u64, PcapFormat)>,
    /// The closed pane.
    closed: Range<u64>,
    /// The start of the open pane.
    open: u64,
    /// Positions in the closed pane and after it, one for each batch of frames, which divide it into ranges
    /// that are reread one by one: 8 bytes for half a MiB, 16 MiB for a window of 1 TiB.
    checkpoints: Vec<u64>,
}

impl CaptureIndex {
    /// The index of a file that starts with a capture of the format `first`.
    pub(super) fn new(first: PcapFormat) -> Self {
        let formats = vec![(0, first)];
        let positions = Positions { formats, closed: 0..0, open: 0, checkpoints: Vec::new() };
        Self(Rc::new(RefCell::new(positions)))
    }

    /// Returns the format of the record at `position`, if the file has been read up to there.
    pub(super) fn format_at(&self, position: u64) -> Option<PcapFormat> {
        let formats = &self.0.borrow().formats;
        let after = formats.partition_point(|(start, _)| *start <= position);
        formats.get(after.checked_sub(1)?).map(|(_, format)| *format)
    }

    /// Adds that records from `position` on, after all formats added so far, are of `format`.
    ///
    /// # Errors
    ///
    /// When there are too many changes.
    pub(super) fn add_format(&self, position: u64, format: PcapFormat) -> Result<()> {
        let formats = &mut self.0.borrow_mut().formats;
        if formats.last().is_none_or(|(_, last)| *last != format) {
            ensure!(
                formats.len() < MAX_CHANGES,
                unread_capture(
                    "capture",
                    position,
                    &format!(
                        "its format is not that of the one before, for the {MAX_CHANGES}th time"
                    )
                )
            );
            formats.push((position, format));
        }
        Ok(())
    }

    /// Opens the first pane at `position`.
    pub(super) fn open_first_pane(&self, position: u64) {
        self.0.borrow_mut().open = position;
    }

    /// Closes the open pane before `position`, at which the next pane starts.
    pub(super) fn close_pane(&self, position: u64) {
        let positions = &mut *self.0.borrow_mut();
        positions.closed = positions.open..position;
        positions.open = position;
        let start = positions.closed.start;
        let before = positions.checkpoints.partition_point(|checkpoint| *checkpoint <= start);
        positions.checkpoints.drain(..before);
    }

    /// Empties the closed pane, after it was reported: reports of later panes, which are without frames, must
    /// not find its packets.
    pub(super) fn clear_closed_pane(&self) {
        let positions = &mut *self.0.borrow_mut();
        positions.closed.start = positions.closed.end;
    }

    /// Adds a checkpoint at `position`, which is not before any other checkpoint.
    pub(super) fn add_checkpoint(&self, position: u64) {
        let checkpoints = &mut self.0.borrow_mut().checkpoints;
        if checkpoints.last() != Some(&position) {
            checkpoints.push(position);
        }
    }

    /// Returns the range of the closed pane.
    pub(super) fn closed_pane(&self) -> Range<u64> {
        self.0.borrow().closed.clone()
    }

    /// Returns the last checkpoint before `position` in the closed pane, or the start of the pane.
    pub(super) fn checkpoint_before(&self, position: u64) -> u64 {
        let Positions { closed, checkpoints, .. } = &*self.0.borrow();
        let before = checkpoints.partition_point(|checkpoint| *checkpoint < position);
        let last = before.checked_sub(1).and_then(|last| checkpoints.get(last));
        last.map_or(closed.start, |last| closed.start.max(*last))
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::MAGIC;
    use super::*;

    fn format(magic: [u8; 4]) -> PcapFormat {
        PcapFormat::of(&[&magic[..], &[2, 0, 4, 0], &[0; 8], &[0, 0, 4, 0, 1, 0, 0, 0]].concat())
            .unwrap()
    }

    #[test]
    fn formats_apply_from_where_they_change_and_are_bounded() {
        let (micro, nano) = (format(MAGIC[1]), format(MAGIC[3]));
        let index = CaptureIndex::new(micro);
        for (position, format) in [(100, micro), (200, nano), (300, nano), (400, micro)] {
            index.add_format(position, format).unwrap();
        }
        for (position, format) in [(0, micro), (199, micro), (200, nano), (399, nano), (400, micro)]
        {
            assert_eq!(index.format_at(position), Some(format), "{position}");
        }
        let mut changes = (0..).map(|n| (500 + n, if n % 2 == 0 { nano } else { micro }));
        let refused =
            changes.find(|(position, format)| index.add_format(*position, *format).is_err());
        assert_eq!(refused.unwrap().0, 500 + MAX_CHANGES as u64 - 3);
        assert!(index.add_format(1 << 20, nano).is_ok(), "the format does not change");
    }

    #[test]
    fn checkpoints_divide_the_closed_pane_and_those_before_it_are_dropped() {
        let index = CaptureIndex::new(format(MAGIC[1]));
        let ranges = || {
            let Range { start, mut end } = index.closed_pane();
            let mut ranges = Vec::new();
            while end > start {
                let checkpoint = index.checkpoint_before(end);
                ranges.push(checkpoint..end);
                end = checkpoint;
            }
            ranges
        };
        index.open_first_pane(24);
        for position in [100, 200, 200, 300] {
            index.add_checkpoint(position);
        }
        index.close_pane(250);
        assert_eq!(ranges(), [200..250, 100..200, 24..100]);
        index.add_checkpoint(400);
        index.close_pane(400);
        assert_eq!(ranges(), [300..400, 250..300]);
        index.clear_closed_pane();
        assert_eq!(ranges(), []);
        index.close_pane(500);
        assert_eq!(ranges(), [Range { start: 400, end: 500 }]);
        assert!(index.0.borrow().checkpoints.is_empty());
    }
}

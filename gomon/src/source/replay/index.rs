//! Where the records of a capture are, for rereading them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use super::format::PcapFormat;
use super::pcapng::section::{Interface, PcapngSection};
use crate::core::Timestamp;

/// The most formats and interfaces that are indexed in a pane, 8 MiB of them. The largest pcapng section has half as
/// many interfaces.
const MAX_ENTRIES: usize = 1 << 17;

/// An index of a pcap or pcapng capture, or of several in one file. Positions are offsets in the capture at which
/// a record or a block starts.
///
/// Clones share the index: the reader adds formats and interfaces, the replay adds panes and checkpoints, and the
/// [`Rereader`](super::Rereader) looks them up.
#[derive(Clone, Debug)]
pub(super) struct CaptureIndex(Rc<RefCell<Positions>>);

/// What the records from a position on depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecordFormat {
    Pcap(PcapFormat),
    Pcapng(Rc<PcapngSection>),
}

/// A position, and the time of the last packet before it: a pcapng packet can be without a timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) position: u64,
    pub(super) latest: Timestamp,
}

#[derive(Debug)]
struct Positions {
    /// The formats of concatenated captures or sections, each with the position from which it applies.
    formats: VecDeque<(u64, RecordFormat)>,
    /// The number of formats and of their interfaces.
    entries: usize,
    /// The start and the end of the closed pane.
    closed: (Checkpoint, u64),
    /// The start of the open pane.
    open: Checkpoint,
    /// Checkpoints in the closed pane and after it, one for each batch of frames, which divide it into ranges
    /// that are reread one by one: 16 bytes for half a MiB, 32 MiB for a window of 1 TiB.
    checkpoints: Vec<Checkpoint>,
}

impl CaptureIndex {
    /// The index of a capture of which nothing was read.
    pub(super) fn new() -> Self {
        Self(Rc::new(RefCell::new(Positions {
            formats: VecDeque::new(),
            entries: 0,
            closed: (Checkpoint::default(), 0),
            open: Checkpoint::default(),
            checkpoints: Vec::new(),
        })))
    }

    /// Returns the format of the record at `position`, unless there are too many formats in its pane.
    pub(super) fn format_at(&self, position: u64) -> Option<RecordFormat> {
        let formats = &self.0.borrow().formats;
        let after = formats.partition_point(|(start, _)| *start <= position);
        formats.get(after.checked_sub(1)?).map(|(_, format)| format.clone())
    }

    /// Adds that records from `position` on, after all formats added so far, are of `format`.
    pub(super) fn add_format(&self, position: u64, format: RecordFormat) {
        let positions = &mut *self.0.borrow_mut();
        if positions.formats.back().is_none_or(|(_, last)| *last != format) {
            positions.formats.push_back((position, format));
            positions.add_entry();
        }
    }

    /// Adds an interface to the section that was added last.
    pub(super) fn add_interface(&self, interface: Interface) {
        let positions = &mut *self.0.borrow_mut();
        if let Some((_, RecordFormat::Pcapng(section))) = positions.formats.back_mut() {
            Rc::make_mut(section).interfaces.push(interface);
            positions.add_entry();
        }
    }

    /// Opens the first pane at `start`, or lets the open one start there.
    pub(super) fn open_pane_at(&self, start: Checkpoint) {
        self.0.borrow_mut().open = start;
    }

    /// Closes the open pane before `next`, at which the next pane starts.
    pub(super) fn close_pane(&self, next: Checkpoint) {
        let positions = &mut *self.0.borrow_mut();
        positions.closed = (positions.open, next.position);
        positions.open = next;
        let start = positions.closed.0.position;
        let before = positions.checkpoints.partition_point(|c| c.position <= start);
        positions.checkpoints.drain(..before);
        while positions.formats.get(1).is_some_and(|(next, _)| *next <= start) {
            positions.drop_first_format();
        }
    }

    /// Empties the closed pane, after it was reported: reports of later panes, which are without frames, must
    /// not find its packets.
    pub(super) fn clear_closed_pane(&self) {
        let positions = &mut *self.0.borrow_mut();
        positions.closed.0.position = positions.closed.1;
    }

    /// Adds a checkpoint, which is not before any other.
    pub(super) fn add_checkpoint(&self, checkpoint: Checkpoint) {
        let checkpoints = &mut self.0.borrow_mut().checkpoints;
        if checkpoints.last().is_none_or(|last| last.position != checkpoint.position) {
            checkpoints.push(checkpoint);
        }
    }

    /// Returns the range of the closed pane.
    pub(super) fn closed_pane(&self) -> Range<u64> {
        let (start, end) = self.0.borrow().closed;
        start.position..end
    }

    /// Returns the start of the open pane.
    pub(super) fn open_pane(&self) -> Checkpoint {
        self.0.borrow().open
    }

    /// Returns the first checkpoint after `position`.
    pub(super) fn checkpoint_after(&self, position: u64) -> Option<Checkpoint> {
        let checkpoints = &self.0.borrow().checkpoints;
        let after = checkpoints.partition_point(|checkpoint| checkpoint.position <= position);
        checkpoints.get(after).copied()
    }

    /// Returns the last checkpoint before `position` in the closed pane, or the start of the pane.
    pub(super) fn checkpoint_before(&self, position: u64) -> Checkpoint {
        let Positions { closed: (start, _), checkpoints, .. } = &*self.0.borrow();
        let before = checkpoints.partition_point(|checkpoint| checkpoint.position < position);
        let last = before.checked_sub(1).and_then(|last| checkpoints.get(last));
        last.filter(|last| last.position > start.position).unwrap_or(start).to_owned()
    }
}

impl Positions {
    /// Counts an entry that was added, and drops the first formats if there are too many.
    fn add_entry(&mut self) {
        self.entries += 1;
        while self.entries > MAX_ENTRIES && self.formats.len() > 1 {
            self.drop_first_format();
        }
    }

    fn drop_first_format(&mut self) {
        if let Some((_, format)) = self.formats.pop_front() {
            self.entries -= match format {
                RecordFormat::Pcap(_) => 1,
                RecordFormat::Pcapng(section) => 1 + section.interfaces.len(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::MAGIC;
    use super::*;

    fn format(magic: [u8; 4]) -> RecordFormat {
        let header = [&magic[..], &[2, 0, 4, 0], &[0; 8], &[0, 0, 4, 0, 1, 0, 0, 0]].concat();
        RecordFormat::Pcap(PcapFormat::of(&header).unwrap())
    }

    fn at(position: u64) -> Checkpoint {
        let latest = Timestamp::from_nanoseconds(i64::try_from(position).unwrap());
        Checkpoint { position, latest }
    }

    #[test]
    fn formats_apply_from_where_they_change_and_are_bounded() {
        let (micro, nano) = (format(MAGIC[1]), format(MAGIC[3]));
        let index = CaptureIndex::new();
        for (position, format) in
            [(0, &micro), (100, &micro), (200, &nano), (300, &nano), (400, &micro)]
        {
            index.add_format(position, format.clone());
        }
        for (position, format) in
            [(0, &micro), (199, &micro), (200, &nano), (399, &nano), (400, &micro)]
        {
            assert_eq!(index.format_at(position).as_ref(), Some(format), "{position}");
        }
        let max = MAX_ENTRIES as u64;
        for n in 0..max {
            index.add_format(500 + n, if n % 2 == 0 { nano.clone() } else { micro.clone() });
        }
        assert_eq!(index.format_at(499), None, "dropped");
        assert_eq!(index.format_at(500), Some(nano.clone()));
        index.open_pane_at(at(0));
        index.close_pane(at(600));
        index.close_pane(at(700));
        assert_eq!(index.format_at(599), None, "before the closed pane");
        assert_eq!(index.format_at(600), Some(nano));
        assert_eq!(index.0.borrow().entries, MAX_ENTRIES - 100);
    }

    #[test]
    fn interfaces_of_a_section_are_bounded_too() {
        let index = CaptureIndex::new();
        let mut section = PcapngSection::new(false);
        let interface =
            section.add_interface(&[1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0]);
        let interface = interface.unwrap();
        for position in [0, 100, 200] {
            index.add_format(
                position,
                RecordFormat::Pcapng(Rc::new(PcapngSection::new(position == 100))),
            );
            for _ in 0..MAX_ENTRIES / 2 - 1 {
                index.add_interface(interface);
            }
        }
        assert_eq!(index.format_at(99), None, "dropped");
        for position in [100, 200] {
            let Some(RecordFormat::Pcapng(section)) = index.format_at(position) else { panic!() };
            assert_eq!(section.interfaces.len(), MAX_ENTRIES / 2 - 1);
            assert_eq!(section.big_endian, position == 100);
        }
    }

    #[test]
    fn checkpoints_divide_the_closed_pane_and_those_before_it_are_dropped() {
        let index = CaptureIndex::new();
        let ranges = || {
            let Range { start, mut end } = index.closed_pane();
            let mut ranges = Vec::new();
            while end > start {
                let checkpoint = index.checkpoint_before(end);
                assert_eq!(checkpoint, at(checkpoint.position), "with its own time");
                ranges.push(checkpoint.position..end);
                end = checkpoint.position;
            }
            ranges
        };
        index.open_pane_at(at(24));
        for position in [100, 200, 200, 300] {
            index.add_checkpoint(at(position));
        }
        index.close_pane(at(250));
        assert_eq!(ranges(), [200..250, 100..200, 24..100]);
        index.add_checkpoint(at(400));
        index.close_pane(at(400));
        assert_eq!(ranges(), [300..400, 250..300]);
        index.clear_closed_pane();
        assert_eq!(ranges(), []);
        index.close_pane(at(500));
        assert_eq!(ranges(), [Range { start: 400, end: 500 }]);
        assert!(index.0.borrow().checkpoints.is_empty());
    }
}

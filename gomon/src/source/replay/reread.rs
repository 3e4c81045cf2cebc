//! Rereads packets of a capture, which were not stored the first time.
//!
//! Storing the last packets of every host costs ten times as much as counting them, and most windows have no
//! artifact. So only an index of a file is kept, and the packets of a window with an artifact are read a second time.
//! The bytes of a stream are kept for that until there are too many of them; only then are its packets stored.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use gomon_common::{Address, LinkType, Packet};
use hashbrown::HashMap;

use super::concatenated;
use super::format::FILE_HEADER;
use super::index::{CaptureIndex, Checkpoint, RecordFormat};
use super::pcapng::Pcapng;
use super::pcapng::section::{MAX_BLOCK, SIMPLE_PACKET, is_packet};
use super::recent::RecentBytes;
use crate::core::{PacketFilter, Timestamp};
use crate::frame::{Frame, FrameLink, PacketVisitor};
use crate::source::counting::parse_frame;

/// The longest range with packets: a pcapng block that does not fit into the buffer is a range of its own.
const MAX_RANGE: u64 = 2 * MAX_BLOCK as u64;

/// The most hosts whose packets are counted before packets are stored. Those of further hosts are all stored.
const MAX_HOSTS: usize = 1 << 16;

/// Rereads the captures in a file, or the recent bytes of a stream. Clones share the index.
#[derive(Clone, Debug)]
pub struct Rereader {
    source: RereadSource,
    index: CaptureIndex,
    /// The most packets of a host in an artifact.
    packets_per_host: usize,
    /// The bytes of the last range that was read, the formats and the records in them.
    bytes: Vec<u8>,
    formats: Vec<RecordFormat>,
    records: Vec<IndexedRecord>,
    /// For an obsolete pcapng packet block, converted.
    buffer: Vec<u8>,
}

/// Where the bytes of a capture are.
#[derive(Clone, Debug)]
pub(super) enum RereadSource {
    /// A file, and the offset of the capture in it.
    File(Rc<File>, u64),
    /// The bytes that were kept.
    Stream(RecentBytes),
}

/// A record in the bytes of a range.
#[derive(Clone, Copy, Debug)]
struct IndexedRecord {
    offset: usize,
    /// The index of its format.
    format: usize,
    /// The time of its packet, if the record has none: that of the packet before it.
    time: Option<Timestamp>,
}

/// Counts the packets of each host from the last to the first.
struct LastPackets {
    per_host: usize,
    counts: HashMap<Address, usize>,
}

/// What is in a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RecordContent {
    Packet,
    /// A packet without a timestamp.
    UntimedPacket,
    NoPacket,
}

impl Rereader {
    /// A rereader for artifacts of at most `packets_per_host` packets of each host.
    pub(super) fn new(source: RereadSource, index: CaptureIndex, packets_per_host: usize) -> Self {
        let (bytes, formats, records, buffer) = (vec![], vec![], vec![], vec![]);
        Self { source, index, packets_per_host, bytes, formats, records, buffer }
    }

    /// Returns the index that the replay has to maintain.
    pub(super) fn index(&self) -> &CaptureIndex {
        &self.index
    }

    /// Empties the closed pane, and drops the bytes before the open one.
    pub(super) fn clear_closed_pane(&self) {
        self.index.clear_closed_pane();
        if let RereadSource::Stream(recent) = &self.source {
            recent.drop_before(self.index.open_pane().position);
        }
    }

    /// Whether so many bytes are kept that the packets of the open pane should be stored instead.
    pub(super) fn is_full(&self) -> bool {
        match &self.source {
            RereadSource::File(..) => false,
            RereadSource::Stream(recent) => recent.is_full(),
        }
    }

    /// Passes the packets of the closed pane between the bot and its remote hosts to `visitor`, in both
    /// directions, from the last to the first, until it breaks. Each packet is passed once for each of its
    /// remote hosts. The range between two checkpoints is held in memory.
    ///
    /// # Errors
    ///
    /// When the file can't be read, or was changed, and when too much of the pane was dropped or has no index.
    pub fn visit_closed_pane(
        &mut self,
        filter: &PacketFilter,
        visitor: PacketVisitor<'_>,
    ) -> Result<()> {
        let Range { start, mut end } = self.index.closed_pane();
        while end > start {
            let checkpoint = self.index.checkpoint_before(end);
            if self.visit(checkpoint, end, filter, visitor)?.is_break() {
                break;
            }
            end = checkpoint.position;
        }
        Ok(())
    }

    /// Passes the packets of the records from `start` to `end` to `visitor`, from the last to the first.
    fn visit(
        &mut self,
        start: Checkpoint,
        end: u64,
        filter: &PacketFilter,
        visitor: PacketVisitor<'_>,
    ) -> Result<ControlFlow<()>> {
        self.read(start, end).context("rereading the capture")?;
        for record in self.records.iter().rev() {
            if let Some((_, packet, frame)) =
                record.packet(&self.formats, &self.bytes, &mut self.buffer)
            {
                for host in filter.remote_hosts(&packet).into_iter().flatten() {
                    if visitor(start.position + record.offset as u64, host, &frame).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Passes packets of the open pane up to `end` to `visitor`, in their order: at least the last ones of each of their
    /// `hosts`, as many as an artifact has. Drops the bytes of all: the open pane then starts at `end`.
    ///
    /// # Errors
    ///
    /// As [`Rereader::visit_closed_pane`].
    pub(super) fn take_open_pane(
        &mut self,
        end: Checkpoint,
        hosts: impl Fn(LinkType, &Packet, &Frame<'_>) -> [Option<Address>; 2],
        visitor: &mut dyn FnMut(LinkType, &Packet, &Frame<'_>),
    ) -> Result<()> {
        let outcome = self.visit_last_packets(end, hosts, visitor);
        self.index.open_pane_at(end);
        self.clear_closed_pane();
        outcome
    }

    fn visit_last_packets(
        &mut self,
        end: Checkpoint,
        hosts: impl Fn(LinkType, &Packet, &Frame<'_>) -> [Option<Address>; 2],
        visitor: &mut dyn FnMut(LinkType, &Packet, &Frame<'_>),
    ) -> Result<()> {
        let mut ranges = vec![self.index.open_pane()];
        while let Some(next) = ranges.last().and_then(|l| self.index.checkpoint_after(l.position))
            && next.position < end.position
        {
            ranges.push(next);
        }
        let ends: Vec<_> = ranges.iter().skip(1).chain([&end]).map(|end| end.position).collect();
        // From the last packet to the first, the packets to pass on are known after one look-up of each host. Passing
        // all of them on, of which nearly all would be replaced by later ones, takes several times as long.
        let mut wanted = Vec::new();
        let mut last = LastPackets { per_host: self.packets_per_host, counts: HashMap::new() };
        for (&start, &end) in ranges.iter().zip(&ends).rev() {
            self.read(start, end)?;
            for record in self.records.iter().rev() {
                if let Some((link, packet, frame)) =
                    record.packet(&self.formats, &self.bytes, &mut self.buffer)
                {
                    let mut is_wanted = false;
                    for host in hosts(link, &packet, &frame).into_iter().flatten() {
                        is_wanted |= last.contains_next(host);
                    }
                    if is_wanted {
                        wanted.push(start.position + record.offset as u64);
                    }
                }
            }
        }
        for (&start, &end) in ranges.iter().zip(&ends) {
            self.read(start, end)?;
            for record in &self.records {
                if wanted.last() != Some(&(start.position + record.offset as u64)) {
                    continue;
                }
                wanted.pop();
                if let Some((link, packet, frame)) =
                    record.packet(&self.formats, &self.bytes, &mut self.buffer)
                {
                    visitor(link, &packet, &frame);
                }
            }
        }
        Ok(())
    }

    /// Reads the records from `start` to `end`.
    fn read(&mut self, start: Checkpoint, end: u64) -> Result<()> {
        self.records.clear();
        if end - start.position > MAX_RANGE {
            return Ok(()); // a block without a packet
        }
        self.read_bytes(start.position..end)?;
        self.formats.clear();
        self.formats.extend(self.index.format_at(start.position));
        let mut offset = 0;
        while let Some(rest) = self.bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            let position = start.position + offset as u64;
            match self.formats.last() {
                Some(RecordFormat::Pcap(_))
                    if concatenated::starts_pcap(rest) && rest.len() >= FILE_HEADER =>
                {
                    offset += FILE_HEADER;
                    self.formats.extend(self.index.format_at(position + FILE_HEADER as u64));
                    continue;
                }
                Some(RecordFormat::Pcapng(_)) if Pcapng::recognise(rest) => {
                    self.formats.extend(self.index.format_at(position));
                }
                _ => {}
            }
            let Some(format) = self.formats.last() else {
                bail!("its packets in this window are in too many sections of different formats");
            };
            let Some((length, content)) = format.record(rest) else {
                bail!("it was changed meanwhile: no record at byte {position}");
            };
            let time = match content {
                RecordContent::UntimedPacket => Some(self.latest_time().unwrap_or(start.latest)),
                RecordContent::Packet | RecordContent::NoPacket => None,
            };
            if content != RecordContent::NoPacket {
                let format = self.formats.len() - 1;
                self.records.push(IndexedRecord { offset, format, time });
            }
            offset += length;
        }
        Ok(())
    }

    /// Reads the bytes of `range`.
    fn read_bytes(&mut self, range: Range<u64>) -> Result<()> {
        match &self.source {
            RereadSource::File(file, start) => {
                self.bytes.resize(usize::try_from(range.end - range.start)?, 0);
                let read = file.read_exact_at(&mut self.bytes, start + range.start);
                if read.as_ref().is_err_and(|error| error.kind() == ErrorKind::UnexpectedEof) {
                    bail!("it was changed meanwhile: it is shorter");
                }
                read?;
            }
            RereadSource::Stream(recent) => {
                let is_kept = recent.copy(range, &mut self.bytes);
                ensure!(is_kept, "a block of the stream is too long to keep the packets before it");
            }
        }
        Ok(())
    }

    /// Returns the time of the last packet of the records so far, if there is one.
    fn latest_time(&mut self) -> Option<Timestamp> {
        let Self { formats, records, bytes, buffer, .. } = self;
        records.iter().rev().find_map(|record| {
            // A record without a timestamp has that of the last packet before it, whether it has a packet or not.
            record.time.or_else(|| record.packet(formats, bytes, buffer)?.2.time)
        })
    }
}

impl LastPackets {
    /// Counts a packet of `host`, the last one that was not counted. Returns whether it is one of the last.
    fn contains_next(&mut self, host: Address) -> bool {
        if self.counts.len() >= MAX_HOSTS && !self.counts.contains_key(&host) {
            return true;
        }
        let count = self.counts.entry(host).or_default();
        *count += 1;
        *count <= self.per_host
    }
}

impl IndexedRecord {
    /// Returns the frame of the record, which is in `bytes`.
    fn frame<'a>(
        &self,
        formats: &[RecordFormat],
        bytes: &'a [u8],
        buffer: &'a mut Vec<u8>,
    ) -> Option<Frame<'a>> {
        let frame = formats.get(self.format)?.frame(bytes.get(self.offset..)?, buffer)?;
        Some(Frame { time: frame.time.or(self.time), ..frame })
    }
}

impl IndexedRecord {
    /// Returns the packet of the record, its frame, and the link type of that.
    fn packet<'a>(
        &self,
        formats: &[RecordFormat],
        bytes: &'a [u8],
        buffer: &'a mut Vec<u8>,
    ) -> Option<(LinkType, Packet, Frame<'a>)> {
        let frame = self.frame(formats, bytes, buffer)?;
        let FrameLink::Known(link) = frame.link else { return None };
        let packet = parse_frame(link, &frame).ok()?;
        Some((link, packet, frame))
    }
}

impl RecordFormat {
    /// Returns the length of the record that `bytes` start with, and what is in it.
    fn record(&self, bytes: &[u8]) -> Option<(usize, RecordContent)> {
        match self {
            Self::Pcap(format) => {
                let (_, after) = format.any_record(bytes)?;
                Some((bytes.len() - after.len(), RecordContent::Packet))
            }
            Self::Pcapng(section) => {
                let (kind, block) = section.block(bytes)?;
                let content = match kind {
                    SIMPLE_PACKET => RecordContent::UntimedPacket,
                    kind if is_packet(kind) => RecordContent::Packet,
                    _ => RecordContent::NoPacket,
                };
                Some((block.len(), content))
            }
        }
    }

    /// Returns the frame of the record that `bytes` start with.
    fn frame<'a>(&self, bytes: &'a [u8], buffer: &'a mut Vec<u8>) -> Option<Frame<'a>> {
        match self {
            Self::Pcap(format) => format.any_record(bytes).map(|(frame, _)| frame),
            Self::Pcapng(section) => section.any_packet(bytes, buffer),
        }
    }
}

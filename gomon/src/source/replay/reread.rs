//! Rereads packets of a capture file, which were not retained the first time.
//!
//! Retaining the last packets of every host costs twenty times as much as counting them, and most windows have
//! no artifact. So only an index of the file is kept, and the packets of a window with an artifact are read a
//! second time.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, anyhow, bail};

use super::concatenated;
use super::format::{FILE_HEADER, PcapFormat};
use super::index::CaptureIndex;
use crate::core::PacketFilter;
use crate::frame::{FrameLink, PacketVisitor};
use crate::source::counting::parse_frame;

/// Rereads a file of one plain pcap capture, or of several.
#[derive(Debug)]
pub struct Rereader {
    file: File,
    /// The offset of the capture in the file.
    start: u64,
    index: CaptureIndex,
    /// The bytes of the last range that was read, and the offsets of its records in them, each with its format.
    bytes: Vec<u8>,
    records: Vec<(usize, PcapFormat)>,
}

impl Rereader {
    pub(super) fn new(file: File, start: u64, index: CaptureIndex) -> Self {
        Self { file, start, index, bytes: Vec::new(), records: Vec::new() }
    }

    /// Returns the index that the replay has to maintain.
    pub(super) fn index(&self) -> CaptureIndex {
        self.index.clone()
    }

    /// Passes the packets of the closed pane between the bot and its remote hosts to `visitor`, in both
    /// directions, from the last to the first, until it breaks. Each packet is passed once for each of its
    /// remote hosts. The range between two checkpoints is held in memory.
    ///
    /// # Errors
    ///
    /// When the file can't be read, or was changed.
    pub fn visit_closed_pane(
        &mut self,
        filter: &PacketFilter,
        visitor: PacketVisitor<'_>,
    ) -> Result<()> {
        let Range { start, mut end } = self.index.closed_pane();
        while end > start {
            let checkpoint = self.index.checkpoint_before(end);
            if self.visit(checkpoint..end, filter, visitor)?.is_break() {
                break;
            }
            end = checkpoint;
        }
        Ok(())
    }

    /// Passes the packets of the records in `range` to `visitor`, from the last to the first.
    fn visit(
        &mut self,
        range: Range<u64>,
        filter: &PacketFilter,
        visitor: PacketVisitor<'_>,
    ) -> Result<ControlFlow<()>> {
        self.read(range.clone()).context("rereading the capture")?;
        for &(record, format) in self.records.iter().rev() {
            if let Some((frame, _)) = format.any_record(&self.bytes[record..])
                && let FrameLink::Known(link) = frame.link
                && let Ok(packet) = parse_frame(link, &frame)
            {
                for host in filter.remote_hosts(&packet).into_iter().flatten() {
                    if visitor(range.start + record as u64, host, &frame).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads the records of `range`.
    fn read(&mut self, range: Range<u64>) -> Result<()> {
        self.bytes.resize(usize::try_from(range.end - range.start)?, 0);
        let read = self.file.read_exact_at(&mut self.bytes, self.start + range.start);
        if read.as_ref().is_err_and(|error| error.kind() == ErrorKind::UnexpectedEof) {
            bail!("it was changed meanwhile: it is shorter");
        }
        read?;
        self.records.clear();
        let mut format = self.index.format_at(range.start);
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            let offset = self.bytes.len() - rest.len();
            if concatenated::starts_pcap(rest)
                && let Some((header, after)) = rest.split_first_chunk::<FILE_HEADER>()
            {
                (format, rest) = (PcapFormat::read(header), after);
                continue;
            }
            let record = format.and_then(|format| Some((format, format.any_record(rest)?)));
            let (format, (_, after)) = record.ok_or_else(|| {
                let position = range.start + offset as u64;
                anyhow!("it was changed meanwhile: no record at byte {position}")
            })?;
            self.records.push((offset, format));
            rest = after;
        }
        Ok(())
    }
}

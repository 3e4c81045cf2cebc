//! Reads plain pcap captures without libpcap, which is several times as fast.
//!
//! libpcap reads every record with two locked calls into the C library, which cost more than counting it. This
//! reader handles the common case only: version 2.4, microseconds or nanoseconds, either byte order, a supported
//! link type. It reads all buffered records in one loop, and continues with captures concatenated to the first.
//! Everything else is left to libpcap. `tests/replay/plain.rs` checks that both read the same frames.

use std::io::Read;
use std::ops::ControlFlow;

use anyhow::{Context, Error, Result, anyhow, bail};

use super::concatenated;
use super::format::{FILE_HEADER, MAX_RECORD, PcapFormat, RECORD_HEADER};
use super::index::{CaptureIndex, RecordFormat};
use super::pcapng::Pcapng;
use super::read_ahead::{MAX_WAIT_BYTES, ReadAhead};
use super::recent::RecentBytes;
use super::visitor::FrameVisitor;

const _: () = assert!(RECORD_HEADER + MAX_RECORD <= MAX_WAIT_BYTES);

/// A plain pcap capture.
#[derive(Debug)]
pub struct Plain {
    input: ReadAhead,
    format: PcapFormat,
    /// Where to add format changes, for rereading the capture.
    index: Option<CaptureIndex>,
    /// Bytes and frames read so far.
    position: u64,
    frames: u64,
}

impl Plain {
    /// Whether a capture that starts with `header` is plain.
    #[must_use]
    pub fn recognise(header: &[u8]) -> bool {
        PcapFormat::of(header).is_some()
    }

    /// Reads the capture from its start.
    ///
    /// # Errors
    ///
    /// When it can't be read, or is not plain.
    pub fn new(mut input: impl Read + Send + 'static) -> Result<Self> {
        let mut header = [0; FILE_HEADER];
        input.read_exact(&mut header)?;
        let Some(format) = PcapFormat::read(&header) else { bail!("not a plain pcap file") };
        let (input, position) = (ReadAhead::new(input)?, FILE_HEADER as u64);
        Ok(Self { input, format, index: None, position, frames: 0 })
    }

    /// Adds the formats of the captures, of which nothing was read yet, to `index`.
    pub(super) fn set_index(&mut self, index: CaptureIndex) {
        index.add_format(self.position, RecordFormat::Pcap(self.format));
        self.index = Some(index);
    }

    /// Keeps the bytes of the records, of which nothing was read yet.
    pub(super) fn keep_bytes(&mut self) -> RecentBytes {
        self.input.keep_bytes(self.position)
    }

    /// Returns the input.
    pub(super) fn input(&mut self) -> &mut ReadAhead {
        &mut self.input
    }

    /// Returns the number of bytes read so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Passes all buffered frames to `visitor`; if there is none, waits until the next record is buffered instead.
    /// Breaks at the end, or when `visitor` does.
    ///
    /// # Errors
    ///
    /// When the capture is damaged, with the frame's number and the record's offset.
    #[inline]
    pub fn read_batch(&mut self, visitor: &mut impl FrameVisitor) -> Result<ControlFlow<()>> {
        if self.format.big_endian {
            self.read::<true>(visitor)
        } else {
            self.read::<false>(visitor)
        }
    }

    #[inline]
    fn read<const BIG_ENDIAN: bool>(
        &mut self,
        visitor: &mut impl FrameVisitor,
    ) -> Result<ControlFlow<()>> {
        let block = self.input.buffered();
        let end = self.position + block.len() as u64;
        let (mut rest, mut frames, mut flow) = (block, 0, ControlFlow::Continue(()));
        loop {
            while let Some((frame, after)) = self.format.record::<BIG_ENDIAN>(rest)
                && visitor.visit_fast(&frame)
            {
                (rest, frames) = (after, frames + 1);
            }
            // Parsed again: keeping the record from the loop above would make every frame slower.
            let Some((frame, after)) = self.format.record::<BIG_ENDIAN>(rest) else { break };
            if frame.data.is_empty() && concatenated::starts_pcap(rest) {
                break;
            }
            flow = visitor.visit(&frame, end - rest.len() as u64);
            (rest, frames) = (after, frames + 1);
            if flow.is_break() {
                break;
            }
        }
        let read = block.len() - rest.len();
        self.input.advance(read);
        self.position += read as u64;
        self.frames += frames;
        if frames > 0 { Ok(flow) } else { self.wait_for_record::<BIG_ENDIAN>() }
    }

    /// Waits for the next record, which is not completely buffered.
    #[cold]
    fn wait_for_record<const BIG_ENDIAN: bool>(&mut self) -> Result<ControlFlow<()>> {
        if !self.wait_for(RECORD_HEADER)? {
            return Ok(ControlFlow::Continue(()));
        }
        let mut wanted = RECORD_HEADER;
        if let Some(header) = self.input.buffered().first_chunk() {
            if concatenated::starts_pcap(header) {
                return self.next_capture();
            }
            if Pcapng::starts_section(header) {
                return Err(concatenated::unread_capture(
                    "pcapng capture",
                    self.position,
                    concatenated::OTHER_FORMAT,
                )
                .into());
            }
            let [_, _, captured, _] = PcapFormat::numbers::<BIG_ENDIAN>(*header);
            let captured = captured as usize;
            if captured > MAX_RECORD {
                return Err(self.damaged(&format!(
                    "a record of {captured} bytes, more than the {MAX_RECORD} there can be"
                )));
            }
            wanted += captured;
        }
        if !self.wait_for(wanted)? || self.input.buffered().len() >= wanted {
            Ok(ControlFlow::Continue(()))
        } else if self.input.buffered().is_empty() {
            Ok(ControlFlow::Break(()))
        } else {
            Err(self.damaged("the capture ends in the middle of a record"))
        }
    }

    /// Continues with the concatenated capture whose file header is next.
    fn next_capture(&mut self) -> Result<ControlFlow<()>> {
        if !self.wait_for(FILE_HEADER)? {
            return Ok(ControlFlow::Continue(()));
        }
        let Some(header) = self.input.buffered().first_chunk() else {
            return Err(
                self.damaged("the capture ends in the middle of the header of a second one")
            );
        };
        self.format = concatenated::format(header, self.position)?;
        self.input.advance(FILE_HEADER);
        self.position += FILE_HEADER as u64;
        if let Some(index) = &self.index {
            index.add_format(self.position, RecordFormat::Pcap(self.format));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// See [`ReadAhead::wait_for`].
    fn wait_for(&mut self, wanted: usize) -> Result<bool> {
        self.input.wait_for(wanted).with_context(|| format!("after frame {}", self.frames))
    }

    fn damaged(&self, what: &str) -> Error {
        anyhow!("frame {}, record at byte {}: {what}", self.frames + 1, self.position)
    }
}

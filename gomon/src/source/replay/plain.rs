//! Plain pcap captures, read without libpcap because that is several times as fast.
//!
//! libpcap fetches every record with two locked calls into the C library, which costs more than
//! counting it. This reader takes the common case alone: version 2.4, microseconds or nanoseconds,
//! either byte order, a link type gomon knows. It goes through all records at hand in one loop, and on to
//! a capture behind the first. Everything else stays with libpcap, and a test holds that both read the same.

use std::io::Read;
use std::ops::ControlFlow;

use anyhow::{Context, Error, Result, anyhow, bail};

use super::concatenated::{self, Formats};
use super::format::{FILE_HEADER, MAX_RECORD, PcapFormat, RECORD_HEADER};
use super::pcapng::Pcapng;
use super::read_ahead::{LONGEST, ReadAhead};
use super::reader::FrameVisitor;

const _: () = assert!(RECORD_HEADER + MAX_RECORD <= LONGEST);

/// A plain pcap capture.
#[derive(Debug)]
pub struct Plain {
    input: ReadAhead,
    format: PcapFormat,
    /// For whoever reads the file again.
    formats: Option<Formats>,
    /// Bytes handed on, and frames.
    position: u64,
    frames: u64,
}

impl Plain {
    /// Whether a capture that starts with `header` is of the common kind.
    #[must_use]
    pub fn recognise(header: &[u8]) -> bool {
        PcapFormat::of(header).is_some()
    }

    /// Reads the capture from its start.
    ///
    /// # Errors
    ///
    /// When it can't be read, or is not of the common kind.
    pub fn new(mut input: impl Read + Send + 'static) -> Result<Self> {
        let mut header = [0; FILE_HEADER];
        input.read_exact(&mut header)?;
        let Some(format) = PcapFormat::read(&header) else { bail!("not a plain pcap file") };
        let (input, position) = (ReadAhead::new(input)?, FILE_HEADER as u64);
        Ok(Self { input, format, formats: None, position, frames: 0 })
    }

    /// Enters the formats of captures behind the first into `formats`.
    pub(super) fn enter_formats(&mut self, formats: Formats) {
        self.formats = Some(formats);
    }

    /// The bytes that are read.
    pub(super) fn input(&mut self) -> &mut ReadAhead {
        &mut self.input
    }

    /// Bytes of the capture read so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Hands the next frames to `each`, as many as are at hand. Breaks at the end, or where `each`
    /// does.
    ///
    /// # Errors
    ///
    /// When the capture is damaged here, with the frame's number and the record's offset.
    #[inline]
    pub fn frames(&mut self, each: &mut impl FrameVisitor) -> Result<ControlFlow<()>> {
        if self.format.big_endian { self.read::<true>(each) } else { self.read::<false>(each) }
    }

    #[inline]
    fn read<const BIG_ENDIAN: bool>(
        &mut self,
        each: &mut impl FrameVisitor,
    ) -> Result<ControlFlow<()>> {
        let block = self.input.at_hand();
        let end = self.position + block.len() as u64;
        let (mut rest, mut frames, mut flow) = (block, 0, ControlFlow::Continue(()));
        loop {
            while let Some((frame, behind)) = self.format.record::<BIG_ENDIAN>(rest)
                && each.visit_fast(&frame)
            {
                (rest, frames) = (behind, frames + 1);
            }
            // Looked at anew: what is kept for it above would cost every frame.
            let Some((frame, behind)) = self.format.record::<BIG_ENDIAN>(rest) else { break };
            if frame.data.is_empty() && concatenated::starts_pcap(rest) {
                break;
            }
            flow = each.frame(&frame, end - rest.len() as u64);
            (rest, frames) = (behind, frames + 1);
            if flow.is_break() {
                break;
            }
        }
        let read = block.len() - rest.len();
        self.input.pass(read);
        self.position += read as u64;
        self.frames += frames;
        if frames > 0 { Ok(flow) } else { self.fetch::<BIG_ENDIAN>() }
    }

    /// Waits for the next record, of which not all is at hand.
    #[cold]
    fn fetch<const BIG_ENDIAN: bool>(&mut self) -> Result<ControlFlow<()>> {
        if !self.comes(RECORD_HEADER)? {
            return Ok(ControlFlow::Continue(()));
        }
        let mut wanted = RECORD_HEADER;
        if let Some(header) = self.input.at_hand().first_chunk() {
            if concatenated::starts_pcap(header) {
                return self.next_capture();
            }
            if Pcapng::starts(header) {
                return Err(concatenated::left(
                    "pcapng capture",
                    self.position,
                    concatenated::ALONE,
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
        if !self.comes(wanted)? || self.input.at_hand().len() >= wanted {
            Ok(ControlFlow::Continue(()))
        } else if self.input.at_hand().is_empty() {
            Ok(ControlFlow::Break(()))
        } else {
            Err(self.damaged("the capture ends in the middle of a record"))
        }
    }

    /// Goes on to the capture that starts here.
    fn next_capture(&mut self) -> Result<ControlFlow<()>> {
        if !self.comes(FILE_HEADER)? {
            return Ok(ControlFlow::Continue(()));
        }
        let Some(header) = self.input.at_hand().first_chunk() else {
            return Err(
                self.damaged("the capture ends in the middle of the header of a second one")
            );
        };
        self.format = concatenated::format(header, self.position)?;
        self.input.pass(FILE_HEADER);
        self.position += FILE_HEADER as u64;
        if let Some(formats) = &self.formats {
            formats.change(self.position, self.format)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether so many bytes, or the end of the input, came in time.
    fn comes(&mut self, wanted: usize) -> Result<bool> {
        self.input.comes(wanted).with_context(|| format!("after frame {}", self.frames))
    }

    fn damaged(&self, what: &str) -> Error {
        anyhow!("frame {}, record at byte {}: {what}", self.frames + 1, self.position)
    }
}

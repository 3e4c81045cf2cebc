//! Plain pcap captures, read without libpcap because that is several times as fast.
//!
//! libpcap fetches every record with two locked calls into the C library, which costs more than
//! counting it. This reader takes the common case alone: version 2.4, microseconds or nanoseconds,
//! either byte order, a link type gomon knows. It goes through all records at hand in one loop.
//! Everything else stays with libpcap, and a test holds that both read the same.

use std::io::Read;
use std::ops::ControlFlow;

use anyhow::{Context, Error, Result, anyhow, bail};
use gomon_common::LinkType;

use super::ahead::{Ahead, LONGEST};
use super::reader::Each;
use crate::core::Timestamp;
use crate::frame::{Frame, FrameLink};

/// The length of the file's header, in bytes.
pub(super) const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// The longest record that is believed, as in libpcap.
const MAX_RECORD: usize = 262_144;

const _: () = assert!(RECORD_HEADER + MAX_RECORD <= LONGEST);

/// A plain pcap capture.
#[derive(Debug)]
pub struct Plain {
    input: Ahead,
    format: Format,
    /// Bytes handed on, and frames.
    position: u64,
    frames: u64,
}

/// What the file's header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    big_endian: bool,
    /// Nanoseconds in one unit of a timestamp's fraction.
    unit: i64,
    link: LinkType,
}

impl Format {
    /// What the start of a capture says, if it is of the common kind.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        head.first_chunk().and_then(Self::read)
    }

    /// What a header says, if it is of the common kind.
    fn read(header: &[u8; FILE_HEADER]) -> Option<Self> {
        let (magic, rest) = header.split_first_chunk::<4>()?;
        let (big_endian, unit) = match magic {
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, 1000),
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, 1000),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, 1),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, 1),
            _ => return None,
        };
        let number = |at: usize| {
            let bytes = rest.get(at..)?.first_chunk()?;
            Some(if big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) })
        };
        let version = if big_endian { 0x0002_0004 } else { 0x0004_0002 };
        let link = LinkType::from_number(number(16)?)?;
        (number(0)? == version).then_some(Self { big_endian, unit, link })
    }

    /// The frame of the record that `bytes` start with, and the bytes behind it. `None` where not all
    /// of it is there, or it is longer than is believed.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the innermost loop of a replay")]
    fn record<const BIG_ENDIAN: bool>(self, bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
        let (header, behind) = bytes.split_first_chunk()?;
        let [seconds, fraction, captured, length] = Self::numbers::<BIG_ENDIAN>(*header);
        let captured = captured as usize;
        if captured > MAX_RECORD || captured > behind.len() {
            return None;
        }
        let (data, behind) = behind.split_at(captured);
        // Two numbers of 32 bits: far from the ends of 64.
        let time = i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * self.unit;
        let frame = Frame {
            time: Some(Timestamp::from_nanoseconds(time)),
            link: FrameLink::Known(self.link),
            length,
            // All that is there, whatever snap length the file's header claims.
            data,
        };
        Some((frame, behind))
    }

    /// The same, of a capture in whichever byte order.
    pub(super) fn any_record(self, bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
        if self.big_endian { self.record::<true>(bytes) } else { self.record::<false>(bytes) }
    }

    /// The four numbers a record starts with.
    #[inline]
    fn numbers<const BIG_ENDIAN: bool>(bytes: [u8; RECORD_HEADER]) -> [u32; 4] {
        let number = |at: usize| {
            let bytes = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            if BIG_ENDIAN { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        [number(0), number(4), number(8), number(12)]
    }
}

impl Plain {
    /// Whether a capture that starts with `header` is of the common kind.
    #[must_use]
    pub fn recognise(header: &[u8]) -> bool {
        Format::of(header).is_some()
    }

    /// Reads the capture from its start.
    ///
    /// # Errors
    ///
    /// When it can't be read, or is not of the common kind.
    pub fn new(mut input: impl Read + Send + 'static) -> Result<Self> {
        let mut header = [0; FILE_HEADER];
        input.read_exact(&mut header)?;
        let Some(format) = Format::read(&header) else { bail!("not a plain pcap file") };
        Ok(Self { input: Ahead::new(input)?, format, position: FILE_HEADER as u64, frames: 0 })
    }

    /// The bytes that are read.
    pub(super) fn input(&mut self) -> &mut Ahead {
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
    pub fn frames(&mut self, each: &mut impl Each) -> Result<ControlFlow<()>> {
        if self.format.big_endian { self.read::<true>(each) } else { self.read::<false>(each) }
    }

    #[inline]
    fn read<const BIG_ENDIAN: bool>(&mut self, each: &mut impl Each) -> Result<ControlFlow<()>> {
        let block = self.input.at_hand();
        let end = self.position + block.len() as u64;
        let (mut rest, mut frames, mut flow) = (block, 0, ControlFlow::Continue(()));
        while let Some((frame, behind)) = self.format.record::<BIG_ENDIAN>(rest) {
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
            let [_, _, captured, _] = Format::numbers::<BIG_ENDIAN>(*header);
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

    /// Whether so many bytes, or the end of the input, came in time.
    fn comes(&mut self, wanted: usize) -> Result<bool> {
        self.input.comes(wanted).with_context(|| format!("after frame {}", self.frames))
    }

    fn damaged(&self, what: &str) -> Error {
        anyhow!("frame {}, record at byte {}: {what}", self.frames + 1, self.position)
    }
}

//! Plain pcap files, read without libpcap because that is twice as fast.
//!
//! libpcap fetches every record with two locked calls into the C library, which costs more than
//! counting it. This reader takes the common case alone: a regular file, version 2.4, microseconds or
//! nanoseconds, either byte order, a link type gomon knows. Everything else stays with libpcap, and a
//! test holds that both read the same.

use std::fs::File;
use std::io::{self, Read};

use anyhow::{Result, bail};
use gomon_common::LinkType;

use crate::core::Timestamp;
use crate::frame::{Frame, FrameLink};

/// The length of the file's header, in bytes.
pub(super) const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// The longest record that is believed, as in libpcap.
const MAX_RECORD: usize = 262_144;
/// Bytes fetched at once: several of the longest records, and small enough to stay in the cache.
const BUFFER: usize = 1 << 20;

/// A plain pcap file.
#[derive(Debug)]
pub struct Plain {
    file: File,
    format: Format,
    buffer: Vec<u8>,
    /// What of the buffer is filled and not yet handed on.
    start: usize,
    end: usize,
    /// Bytes handed on, and frames.
    position: u64,
    frames: u64,
}

/// What the file's header says.
#[derive(Clone, Copy, Debug)]
struct Format {
    big_endian: bool,
    /// Nanoseconds in one unit of a timestamp's fraction.
    unit: i64,
    snap_length: usize,
    link: LinkType,
}

impl Format {
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
        let snap_length = match number(12)? {
            0 => MAX_RECORD,
            length => MAX_RECORD.min(usize::try_from(length).ok()?),
        };
        let link = LinkType::from_number(number(16)?)?;
        (number(0)? == version).then_some(Self { big_endian, unit, snap_length, link })
    }

    /// The four numbers a record starts with.
    #[inline]
    fn numbers(self, bytes: [u8; RECORD_HEADER]) -> [u32; 4] {
        let number = |at: usize| {
            let bytes = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        [number(0), number(4), number(8), number(12)]
    }
}

impl Plain {
    /// Whether a file that starts with `header` is of the common kind.
    #[must_use]
    pub fn recognise(header: &[u8]) -> bool {
        header.first_chunk().and_then(Format::read).is_some()
    }

    /// Reads the file from where it stands.
    ///
    /// # Errors
    ///
    /// When the file can't be read, or is not of the common kind.
    pub fn new(mut file: File) -> Result<Self> {
        let mut header = [0; FILE_HEADER];
        file.read_exact(&mut header)?;
        let Some(format) = Format::read(&header) else { bail!("not a plain pcap file") };
        let (position, frames) = (FILE_HEADER as u64, 0);
        Ok(Self { file, format, buffer: vec![0; BUFFER], start: 0, end: 0, position, frames })
    }

    /// Bytes of the file read so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next frame, or `None` at the end.
    ///
    /// # Errors
    ///
    /// When the file is damaged here, with the frame's number and the record's offset.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>> {
        let format = self.format;
        let Some(header) = self.peek::<RECORD_HEADER>()? else {
            return if self.start == self.end { Ok(None) } else { self.cut_off() };
        };
        let [seconds, fraction, captured, length] = format.numbers(header);
        let captured = captured as usize;
        if captured > MAX_RECORD {
            return self.damaged(&format!(
                "a record of {captured} bytes, more than the {MAX_RECORD} there can be"
            ));
        }
        let size = RECORD_HEADER + captured;
        if self.end - self.start < size && !self.fetch(size)? {
            return self.cut_off();
        }
        let data = self.start + RECORD_HEADER;
        self.start += size;
        self.position += size as u64;
        self.frames += 1;
        let fraction = i64::from(fraction) * format.unit;
        Ok(Some(Frame {
            time: Some(Timestamp::from_parts(seconds.into(), fraction)),
            link: FrameLink::Known(format.link),
            length,
            data: &self.buffer[data..data + captured.min(format.snap_length)],
        }))
    }

    /// The next `N` bytes, if there are so many.
    #[inline]
    fn peek<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        if self.end - self.start < N && !self.fetch(N)? {
            return Ok(None);
        }
        Ok(self.buffer[self.start..self.end].first_chunk().copied())
    }

    /// Reads on until `wanted` bytes are at hand, and says whether the file had them.
    #[cold]
    fn fetch(&mut self, wanted: usize) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        while self.end < wanted {
            match self.file.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    #[cold]
    fn cut_off(&self) -> Result<Option<Frame<'_>>> {
        self.damaged("the capture ends in the middle of a record")
    }

    #[cold]
    fn damaged(&self, what: &str) -> Result<Option<Frame<'_>>> {
        bail!("frame {}, record at byte {}: {what}", self.frames + 1, self.position)
    }
}

//! The file header and the records of a plain pcap capture.

use gomon_common::LinkType;

use crate::core::Timestamp;
use crate::frame::{Frame, FrameLink};

/// The length of the file header, in bytes.
pub(super) const FILE_HEADER: usize = 24;
/// The length of a record header, in bytes.
pub(super) const RECORD_HEADER: usize = 16;
/// The longest record that is accepted, as in libpcap.
pub(super) const MAX_RECORD: usize = 262_144;

/// The magic numbers of classic pcap files: microseconds, nanoseconds, and Alexey Kuznetsov's variant
/// with longer record headers, each in both byte orders.
pub(super) const MAGIC: [[u8; 4]; 6] = [
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xcd, 0x34],
    [0x34, 0xcd, 0xb2, 0xa1],
];

/// The format of a plain pcap capture: version 2.4, and a supported link type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PcapFormat {
    pub(super) big_endian: bool,
    /// Nanoseconds in one unit of a timestamp's fraction.
    unit: i64,
    link: LinkType,
}

impl PcapFormat {
    /// Returns the format of a capture that starts with `head`, if it is plain.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        head.first_chunk().and_then(Self::read)
    }

    /// Returns the format in a file header, if it is plain.
    pub(super) fn read(header: &[u8; FILE_HEADER]) -> Option<Self> {
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

    /// Returns the frame of the record that `bytes` start with, and the bytes after the record. Returns `None`
    /// if the record is incomplete, or longer than [`MAX_RECORD`].
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the innermost loop of a replay")]
    pub(super) fn record<const BIG_ENDIAN: bool>(self, bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
        let (header, after) = bytes.split_first_chunk()?;
        let [seconds, fraction, captured, length] = Self::numbers::<BIG_ENDIAN>(*header);
        let captured = captured as usize;
        if captured > MAX_RECORD || captured > after.len() {
            return None;
        }
        let (data, after) = after.split_at(captured);
        // Two 32-bit numbers: no overflow in 64 bits.
        let time = i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * self.unit;
        let frame = Frame {
            time: Some(Timestamp::from_nanoseconds(time)),
            link: FrameLink::Known(self.link),
            length,
            // All captured bytes, whatever snap length the file header states.
            data,
        };
        Some((frame, after))
    }

    /// Does what [`PcapFormat::record`] does, in the byte order of the format.
    pub(super) fn any_record(self, bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
        if self.big_endian { self.record::<true>(bytes) } else { self.record::<false>(bytes) }
    }

    /// Returns the four numbers of a record header: seconds, fraction, captured length, length.
    #[inline]
    pub(super) fn numbers<const BIG_ENDIAN: bool>(bytes: [u8; RECORD_HEADER]) -> [u32; 4] {
        let number = |at: usize| {
            let bytes = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            if BIG_ENDIAN { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        [number(0), number(4), number(8), number(12)]
    }
}

//! What the header of a plain pcap capture says, and its records.

use gomon_common::LinkType;

use crate::core::Timestamp;
use crate::frame::{Frame, FrameLink};

/// The length of the file's header, in bytes.
pub(super) const FILE_HEADER: usize = 24;
/// The length of a record's header, in bytes.
pub(super) const RECORD_HEADER: usize = 16;
/// The longest record that is believed, as in libpcap.
pub(super) const MAX_RECORD: usize = 262_144;

/// First bytes of a classic pcap file: microseconds, nanoseconds, and Alexey Kuznetsov's variant
/// with longer record headers, each in both byte orders.
pub(super) const MAGIC: [[u8; 4]; 6] = [
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xcd, 0x34],
    [0x34, 0xcd, 0xb2, 0xa1],
];

/// What the file's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PcapFormat {
    pub(super) big_endian: bool,
    /// Nanoseconds in one unit of a timestamp's fraction.
    unit: i64,
    link: LinkType,
}

impl PcapFormat {
    /// What the start of a capture says, if it is of the common kind.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        head.first_chunk().and_then(Self::read)
    }

    /// What a header says, if it is of the common kind.
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

    /// The frame of the record that `bytes` start with, and the bytes behind it. `None` where not all
    /// of it is there, or it is longer than is believed.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the innermost loop of a replay")]
    pub(super) fn record<const BIG_ENDIAN: bool>(self, bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
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
    pub(super) fn numbers<const BIG_ENDIAN: bool>(bytes: [u8; RECORD_HEADER]) -> [u32; 4] {
        let number = |at: usize| {
            let bytes = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            if BIG_ENDIAN { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        [number(0), number(4), number(8), number(12)]
    }
}

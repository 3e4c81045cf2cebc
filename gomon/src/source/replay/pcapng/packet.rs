//! The shortcut for nearly every block of a pcapng capture: an enhanced packet block, parsed where it is buffered.

use super::section::{ENHANCED_PACKET, MAX_BLOCK, PcapngSection};
use crate::frame::Frame;

/// The bytes of an enhanced packet block in front of its data.
const HEADER: usize = 28;
/// The length of an enhanced packet block without data and options.
const SHORTEST: usize = HEADER + 4;

impl PcapngSection {
    /// Returns the frame of the enhanced packet block that `bytes` start with, and the bytes after the block.
    /// Returns `None` for any other block, one that is incomplete, and one that the thorough parser may reject.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the innermost loop of a replay")]
    pub(super) fn enhanced_packet<'a, const BIG_ENDIAN: bool>(
        &self,
        bytes: &'a [u8],
    ) -> Option<(Frame<'a>, &'a [u8])> {
        let header = bytes.first_chunk::<HEADER>()?;
        let number = |at: usize| {
            let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
            if BIG_ENDIAN { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let (length, captured) = (number(4) as usize, number(20) as usize);
        // The block without header and trailer is a multiple of 4: if the data fits, its padding does, too.
        // Options are not parsed: the thorough parser ignores malformed ones.
        if number(0) != ENHANCED_PACKET
            || !length.is_multiple_of(4)
            || length > MAX_BLOCK
            || captured > length.checked_sub(SHORTEST)?
        {
            return None;
        }
        let (block, after) = bytes.split_at_checked(length)?;
        if block.last_chunk::<4>()? != &header[4..8] {
            return None;
        }
        let interface = self.interfaces.get(number(8) as usize)?;
        let ticks = u64::from(number(12)) << 32 | u64::from(number(16));
        let frame = Frame {
            time: Some(interface.time(ticks)),
            link: interface.link,
            length: number(24),
            data: block.get(HEADER..HEADER + captured)?,
        };
        Some((frame, after))
    }

    /// Returns the frame of the packet block that `bytes` start with. An obsolete one is converted in `buffer`.
    pub(in crate::source::replay) fn any_packet<'a>(
        &self,
        bytes: &'a [u8],
        buffer: &'a mut Vec<u8>,
    ) -> Option<Frame<'a>> {
        let enhanced = if self.big_endian {
            self.enhanced_packet::<true>(bytes)
        } else {
            self.enhanced_packet::<false>(bytes)
        };
        if let Some((frame, _)) = enhanced {
            return Some(frame);
        }
        let (kind, block) = self.block(bytes)?;
        self.parse_packet(kind, block, buffer).ok()
    }
}

//! Unencrypted 802.11 data frames, with or without a radiotap header.

use super::layer::{Layer, ethernet, llc};
use super::skip::{Skip, TRUNCATED};
use crate::Frame;

/// The maximum number of words of a radiotap header's field bitmap that are read.
const MAX_PRESENT: usize = 8;

/// Parses an IEEE 802.11 frame at `offset`, whose header is padded to a multiple of four bytes if `padded` is set.
pub(super) fn ieee80211<F: Frame + ?Sized>(
    frame: &F,
    offset: usize,
    padded: bool,
) -> Result<Layer, Skip> {
    /// To DS and From DS: the header has a fourth address.
    const TO_AND_FROM_DS: u8 = 0x03;
    const PROTECTED: u8 = 0x40;
    /// `+HTC/Order`: in a `QoS` frame, an HT Control field of four bytes follows the `QoS` Control field.
    const ORDER: u8 = 0x80;
    /// An A-MSDU: several frames in one, each with its own header.
    const AGGREGATE: u8 = 0x80;

    let [kind, flags] = frame.read(offset).ok_or(TRUNCATED)?;
    let (is_data, is_empty, is_qos) = (kind & 0x0f == 0x08, kind & 0x40 != 0, kind & 0x80 != 0);
    if !is_data || is_empty || flags & PROTECTED != 0 {
        return Err(Skip::NotIp);
    }
    let [sequence_control] = frame.read(offset + 22).ok_or(TRUNCATED)?;
    if sequence_control & 0x0f != 0 {
        // A fragment other than the first.
        return Err(Skip::NotIp);
    }
    let mut length = if flags & TO_AND_FROM_DS == TO_AND_FROM_DS { 30 } else { 24 };
    let mut aggregate = false;
    if is_qos {
        let [qos] = frame.read(offset + length).ok_or(TRUNCATED)?;
        aggregate = qos & AGGREGATE != 0;
        length += if flags & ORDER == 0 { 2 } else { 6 };
    }
    if padded {
        length = length.next_multiple_of(4);
    }
    if aggregate { ethernet(frame, offset + length) } else { Ok(llc(offset + length)) }
}

/// Parses a radiotap header (radiotap.org) and the 802.11 frame after it.
pub(super) fn radiotap<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Layer, Skip> {
    let [version, _, low, high] = frame.read(offset).ok_or(TRUNCATED)?;
    if version != 0 {
        return Err(Skip::NotIp);
    }
    let length = usize::from(u16::from_le_bytes([low, high]));
    ieee80211(frame, offset + length, is_padded(frame, offset, length)?)
}

/// Whether a radiotap header states that the 802.11 header after it is padded: a bit of the Flags field, which
/// only the TSFT field can precede.
fn is_padded<F: Frame + ?Sized>(frame: &F, offset: usize, length: usize) -> Result<bool, Skip> {
    const TSFT: u32 = 1;
    const FLAGS: u32 = 1 << 1;
    const MORE: u32 = 1 << 31;
    const PADDED: u8 = 0x20;

    let present =
        |word: usize| frame.read(offset + 4 + 4 * word).map(u32::from_le_bytes).ok_or(TRUNCATED);
    let first = present(0)?;
    if first & FLAGS == 0 {
        return Ok(false);
    }
    let mut words = 1;
    let mut last = first;
    while last & MORE != 0 && words < MAX_PRESENT {
        last = present(words)?;
        words += 1;
    }
    // Fields are aligned to their size, relative to the start of the header.
    let mut at = 4 + 4 * words;
    if first & TSFT != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    if at >= length {
        return Ok(false);
    }
    let [flags] = frame.read(offset + at).ok_or(TRUNCATED)?;
    Ok(flags & PADDED != 0)
}

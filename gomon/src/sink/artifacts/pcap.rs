//! Writing a classic pcap file.
//!
//! libpcap could write it, but only with the snap length of the handle it was opened with, which the
//! binding fixes at 65535; offloaded frames are longer. The format is
//! <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html>.

use std::io::{self, Write};

use gomon_common::LinkType;

use super::rings::Stored;

/// Timestamps count nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
/// What readers have to expect of a frame at most, in bytes.
const SNAP_LENGTH: u32 = 262_144;

/// Writes `packets`, all of link type `link`.
pub(super) fn write<'a>(
    out: &mut impl Write,
    link: LinkType,
    packets: impl IntoIterator<Item = &'a Stored>,
) -> io::Result<()> {
    let version = 2u32 | 4 << 16; // 2.4: two 16-bit numbers
    let header = [MAGIC, version, 0, 0, SNAP_LENGTH, link.number()];
    out.write_all(header.map(u32::to_le_bytes).as_flattened())?;
    for packet in packets {
        // The format has 32 bits for seconds since the epoch; what lies outside is at its ends.
        let seconds = packet.time.nanoseconds().div_euclid(1_000_000_000);
        let fraction = packet.time.nanoseconds().rem_euclid(1_000_000_000);
        let seconds = u32::try_from(seconds.max(0)).unwrap_or(u32::MAX);
        let fraction = u32::try_from(fraction).unwrap_or(0);
        let data = &packet.data[..packet.data.len().min(SNAP_LENGTH as usize)];
        let captured = u32::try_from(data.len()).unwrap_or(SNAP_LENGTH);
        let header = [seconds, fraction, captured, packet.length.max(captured)];
        out.write_all(header.map(u32::to_le_bytes).as_flattened())?;
        out.write_all(data)?;
    }
    Ok(())
}

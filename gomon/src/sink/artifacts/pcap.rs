//! Writes a classic pcap file.
//!
//! libpcap is not used, because the `pcap` crate fixes the snap length of a file at 65535, and frames with
//! segmentation offload are longer. The format is
//! <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html>.

use std::io::{self, Write};

use super::packet::StoredPacket;

/// The magic number of files with nanosecond timestamps.
const MAGIC: u32 = 0xa1b2_3c4d;
/// The maximum number of bytes of a frame in a file.
pub(super) const SNAP_LENGTH: u32 = 262_144;

/// Whether the format can represent `packets`: a file has one link type, and timestamps have 32 bits for the
/// seconds since the epoch.
pub(super) fn can_represent<Data>(packets: &[StoredPacket<Data>]) -> bool {
    let link = packets.first().map(|packet| packet.link);
    packets.iter().all(|packet| Some(packet.link) == link && seconds(packet).is_some())
}

fn seconds<Data>(packet: &StoredPacket<Data>) -> Option<u32> {
    u32::try_from(packet.time.nanoseconds().div_euclid(1_000_000_000)).ok()
}

/// Writes `packets`, which the format [can represent](can_represent).
pub(super) fn write<Data: AsRef<[u8]>>(
    out: &mut impl Write,
    packets: &[StoredPacket<Data>],
) -> io::Result<()> {
    let version = 2u32 | 4 << 16; // 2.4: two 16-bit numbers
    let link = packets.first().map_or(0, |packet| packet.link.number());
    let header = [MAGIC, version, 0, 0, SNAP_LENGTH, link];
    out.write_all(header.map(u32::to_le_bytes).as_flattened())?;
    for packet in packets {
        let seconds = seconds(packet).unwrap_or(0);
        let fraction = packet.time.nanoseconds().rem_euclid(1_000_000_000);
        let fraction = u32::try_from(fraction).unwrap_or(0);
        let data = packet.data.as_ref();
        let data = &data[..data.len().min(SNAP_LENGTH as usize)];
        let captured = u32::try_from(data.len()).unwrap_or(SNAP_LENGTH);
        let header = [seconds, fraction, captured, packet.length.max(captured)];
        out.write_all(header.map(u32::to_le_bytes).as_flattened())?;
        out.write_all(data)?;
    }
    Ok(())
}

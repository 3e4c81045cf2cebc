//! Writes a pcapng file, for packets that a classic pcap file can't represent.
//!
//! The format is <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>.

use std::io::{self, Write};

use gomon_common::LinkType;

use super::packet::StoredPacket;
use super::pcap::SNAP_LENGTH;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
/// Options of an interface: the resolution of its timestamps, and their offset.
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;
const NANOSECONDS: u8 = 9;

/// Writes `packets` into one section, with an interface for each link type.
pub(super) fn write<Data: AsRef<[u8]>>(
    out: &mut impl Write,
    packets: &[StoredPacket<Data>],
) -> io::Result<()> {
    let version = 1u32; // 1.0: two 16-bit numbers
    let section = [BYTE_ORDER, version, u32::MAX, u32::MAX];
    block(out, SECTION_HEADER, section.map(u32::to_le_bytes).as_flattened())?;
    // Timestamps are unsigned, relative to the offset.
    let first = packets.iter().map(|packet| packet.time.nanoseconds()).min().unwrap_or(0);
    let start = first.div_euclid(1_000_000_000).min(0);
    let mut links: Vec<LinkType> = packets.iter().map(|packet| packet.link).collect();
    links.sort_unstable();
    links.dedup();
    for link in &links {
        let mut body = [link.number(), SNAP_LENGTH].map(u32::to_le_bytes).as_flattened().to_vec();
        option(&mut body, RESOLUTION, &[NANOSECONDS]);
        option(&mut body, OFFSET, &start.to_le_bytes());
        option(&mut body, 0, &[]);
        block(out, INTERFACE_DESCRIPTION, &body)?;
    }
    for packet in packets {
        let interface = links.iter().position(|link| *link == packet.link).unwrap_or(0);
        let interface = u32::try_from(interface).unwrap_or(0);
        let past = i128::from(packet.time.nanoseconds()) - i128::from(start) * 1_000_000_000;
        // The difference of two 64-bit numbers fits into an unsigned 64-bit number.
        let ticks = u64::try_from(past).unwrap_or(0);
        let halves =
            [ticks >> 32, ticks & 0xffff_ffff].map(|half| u32::try_from(half).unwrap_or(0));
        let data = packet.data.as_ref();
        let data = &data[..data.len().min(SNAP_LENGTH as usize)];
        let captured = u32::try_from(data.len()).unwrap_or(SNAP_LENGTH);
        let header = [interface, halves[0], halves[1], captured, packet.length.max(captured)];
        let mut body = header.map(u32::to_le_bytes).as_flattened().to_vec();
        body.extend(data);
        block(out, ENHANCED_PACKET, &body)?;
    }
    Ok(())
}

/// Appends an option of an interface, with padding.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(0);
    body.extend([code, length].map(u16::to_le_bytes).as_flattened());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Writes a block, with padding, and its length at both ends.
fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let padding = body.len().next_multiple_of(4) - body.len();
    let length = u32::try_from(12 + body.len() + padding).map_err(io::Error::other)?.to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&[0; 3][..padding])?;
    out.write_all(&length)
}

//! Converts captures to pcapng, as editcap(1) does.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::pcap::FILE_HEADER;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Version 1.0, as two 16-bit numbers.
const VERSION: u32 = 1;
const LINKTYPE_ETHERNET: u32 = 1;
const SNAP_LENGTH: u32 = 262_144;
/// The option `if_tsresol`, of one byte: nanoseconds; and the end of the options.
const NANOSECONDS: [u32; 3] = [9 | 1 << 16, 9, 0];

/// Converts a capture that [`crate::pcap`] wrote, unless that was done before. Returns the path.
pub(crate) fn converted(capture: &Path) -> Result<PathBuf> {
    let path = capture.with_extension("pcapng");
    if !path.exists() {
        eprintln!("xtask: writing {}", path.display());
        let unfinished = path.with_extension("part");
        let convert = || -> Result<()> {
            let mut input = BufReader::new(File::open(capture)?);
            let mut out = BufWriter::new(File::create(&unfinished)?);
            convert(&mut input, &mut out)?;
            out.flush()?;
            Ok(fs::rename(&unfinished, &path)?)
        };
        convert().with_context(|| format!("write the capture {}", path.display()))?;
    }
    Ok(path)
}

fn convert(input: &mut impl Read, out: &mut impl Write) -> Result<()> {
    input.read_exact(&mut [0; FILE_HEADER])?;
    block(out, SECTION_HEADER, &[BYTE_ORDER, VERSION, u32::MAX, u32::MAX], &[])?;
    let [option, value, end] = NANOSECONDS;
    let interface = [LINKTYPE_ETHERNET, SNAP_LENGTH, option, value, end];
    block(out, INTERFACE_DESCRIPTION, &interface, &[])?;
    let (mut header, mut data) = ([0; 16], Vec::new());
    loop {
        match input.read_exact(&mut header) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let [s0, s1, s2, s3, n0, n1, n2, n3, c0, c1, c2, c3, l0, l1, l2, l3] = header;
        let seconds = u32::from_le_bytes([s0, s1, s2, s3]);
        let time =
            u64::from(seconds) * 1_000_000_000 + u64::from(u32::from_le_bytes([n0, n1, n2, n3]));
        let captured = u32::from_le_bytes([c0, c1, c2, c3]);
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        data.resize(captured as usize, 0);
        input.read_exact(&mut data)?;
        let halves = [u32::try_from(time >> 32)?, u32::try_from(time & 0xffff_ffff)?];
        block(out, ENHANCED_PACKET, &[0, halves[0], halves[1], captured, length], &data)?;
    }
}

/// Writes a block with these numbers and this data.
fn block(out: &mut impl Write, kind: u32, numbers: &[u32], data: &[u8]) -> Result<()> {
    let padding = data.len().next_multiple_of(4) - data.len();
    let length = u32::try_from(12 + numbers.len() * 4 + data.len() + padding)?;
    for number in [kind, length].iter().chain(numbers) {
        out.write_all(&number.to_le_bytes())?;
    }
    out.write_all(data)?;
    out.write_all(&[0; 3][..padding])?;
    Ok(out.write_all(&length.to_le_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcap::Writer;
    use std::time::Duration;

    #[test]
    fn a_packet_has_its_time_and_bytes_in_an_enhanced_packet_block() {
        let mut capture = Vec::new();
        let at = Duration::new(1_769_680_800, 5);
        Writer::new(&mut capture).unwrap().write(at, &[0xaa; 5]).unwrap();
        let mut file = Vec::new();
        convert(&mut capture.as_slice(), &mut file).unwrap();
        let (section, rest) = file.split_at(28);
        assert_eq!(section[..12], [0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a]);
        let (interface, packet) = rest.split_at(32);
        assert_eq!(interface[..12], [1, 0, 0, 0, 32, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(interface[16..28], [9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        let ticks = 1_769_680_800_000_000_005u64;
        let halves = [(ticks >> 32) as u32, (ticks & 0xffff_ffff) as u32];
        let numbers = [6, 40, 0, halves[0], halves[1], 5, 5];
        assert_eq!(packet[..28], *numbers.map(u32::to_le_bytes).as_flattened());
        assert_eq!(packet[28..], [0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0, 0, 0, 40, 0, 0, 0]);
    }
}

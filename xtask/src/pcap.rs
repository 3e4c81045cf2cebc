//! Writes classic pcap files. The format is simple, and a library for it would depend on libpcap.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};

const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const VERSION: [u16; 2] = [2, 4];
const SNAP_LENGTH: u32 = 262_144;
const LINKTYPE_ETHERNET: u32 = 1;
/// The length of the header of a file, in bytes.
pub(crate) const FILE_HEADER: usize = 24;

/// Writes Ethernet frames, oldest first, with their time since 1970.
pub(crate) struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(mut out: W) -> Result<Self> {
        out.write_all(&MAGIC_NANOSECONDS.to_le_bytes())?;
        out.write_all(&VERSION[0].to_le_bytes())?;
        out.write_all(&VERSION[1].to_le_bytes())?;
        out.write_all(&[0; 8])?; // time zone and accuracy, which are unused
        out.write_all(&SNAP_LENGTH.to_le_bytes())?;
        out.write_all(&LINKTYPE_ETHERNET.to_le_bytes())?;
        Ok(Self { out })
    }

    pub(crate) fn write(&mut self, at: Duration, frame: &[u8]) -> Result<()> {
        let seconds = u32::try_from(at.as_secs()).context("a time after 2106")?;
        let length = u32::try_from(frame.len()).context("a frame above 4 GiB")?;
        for field in [seconds, at.subsec_nanos(), length, length] {
            self.out.write_all(&field.to_le_bytes())?;
        }
        Ok(self.out.write_all(frame)?)
    }
}

/// Creates the capture `path` atomically: a file that exists is complete.
pub(crate) fn create(
    path: &Path,
    fill: impl FnOnce(&mut Writer<BufWriter<File>>) -> Result<()>,
) -> Result<()> {
    let unfinished = path.with_extension("part");
    let attempt = || -> Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut writer = Writer::new(BufWriter::new(File::create(&unfinished)?))?;
        fill(&mut writer)?;
        writer.out.flush()?;
        Ok(fs::rename(&unfinished, path)?)
    };
    attempt().with_context(|| format!("write the capture {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_record_are_laid_out_as_libpcap_reads_them() {
        let mut writer = Writer::new(Vec::new()).unwrap();
        writer.write(Duration::new(7, 9), &[0xaa, 0xbb]).unwrap();
        let (header, record) = writer.out.split_at(24);
        assert_eq!(header[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(header[16..], [0, 0, 4, 0, 1, 0, 0, 0]);
        assert_eq!(record, [7, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0xaa, 0xbb]);
    }
}

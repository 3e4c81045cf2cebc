//! A capture file read again, for packets that nobody kept the first time.
//!
//! Keeping the last packets of every host costs twenty times what counting them does, and most windows
//! have no artifact. What stays is where in the file records start, here and there; from there the packets
//! of a window with an artifact are read a second time.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, anyhow, bail};
use gomon_common::Address;

use super::concatenated::{self, Formats};
use super::format::{FILE_HEADER, PcapFormat};
use crate::core::PacketFilter;
use crate::frame::{Frame, FrameLink};
use crate::source::read;

/// A plain pcap file that can be read again, or several in one.
#[derive(Debug)]
pub struct Reread {
    file: File,
    /// Where in the file the capture starts.
    start: u64,
    formats: Formats,
    /// What was read last, and where its records start in it, each of its format.
    bytes: Vec<u8>,
    records: Vec<(usize, PcapFormat)>,
}

impl Reread {
    pub(super) fn new(file: File, start: u64, formats: Formats) -> Self {
        Self { file, start, formats, bytes: Vec::new(), records: Vec::new() }
    }

    /// Hands the packets between the bot and its remote hosts to `each`, whichever way they go and the
    /// last one first, from the records in `range`: bytes of the capture, both ends where a record
    /// starts. Each comes with where its record starts. All of the range is held in memory. Breaks where
    /// `each` does.
    ///
    /// # Errors
    ///
    /// When the file can't be read, or no longer is what it was.
    pub fn packets_from_the_last(
        &mut self,
        range: Range<u64>,
        selection: &PacketFilter,
        each: &mut dyn FnMut(u64, Address, &Frame<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        self.read(range.clone()).context("reading the capture again")?;
        for &(record, format) in self.records.iter().rev() {
            if let Some((frame, _)) = format.any_record(&self.bytes[record..])
                && let FrameLink::Known(link) = frame.link
                && let Ok(packet) = read(link, &frame)
            {
                for host in selection.remote_hosts(&packet).into_iter().flatten() {
                    if each(range.start + record as u64, host, &frame).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Fetches the records of `range`.
    fn read(&mut self, range: Range<u64>) -> Result<()> {
        self.bytes.resize(usize::try_from(range.end - range.start)?, 0);
        let read = self.file.read_exact_at(&mut self.bytes, self.start + range.start);
        if read.as_ref().is_err_and(|error| error.kind() == ErrorKind::UnexpectedEof) {
            bail!("it was changed meanwhile: it has become shorter");
        }
        read?;
        self.records.clear();
        let mut format = self.formats.at(range.start);
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            let at = self.bytes.len() - rest.len();
            if concatenated::starts_pcap(rest)
                && let Some((header, behind)) = rest.split_first_chunk::<FILE_HEADER>()
            {
                (format, rest) = (PcapFormat::read(header), behind);
                continue;
            }
            let record = format.and_then(|format| Some((format, format.any_record(rest)?)));
            let (format, (_, behind)) = record.ok_or_else(|| {
                anyhow!("it was changed meanwhile: no record at byte {}", range.start + at as u64)
            })?;
            self.records.push((at, format));
            rest = behind;
        }
        Ok(())
    }
}

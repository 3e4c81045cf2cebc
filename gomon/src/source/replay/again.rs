//! A capture file read again, for packets that nobody kept the first time.
//!
//! Keeping the last packets of every host costs twenty times what counting them does, and most windows
//! have no artifact. What stays is where in the file a pane starts; the packets of a window with an
//! artifact are read a second time.

use std::fs::File;
use std::io::{self, Read};
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};
use gomon_common::Address;

use super::plain::{Format, Plain};
use crate::core::Selection;
use crate::frame::{Frame, FrameLink};
use crate::source::read;

/// A plain pcap file that can be read again.
#[derive(Debug)]
pub struct Again {
    file: File,
    /// Where in the file the capture starts.
    start: u64,
    format: Format,
}

/// A part of a file.
struct Section {
    file: File,
    at: Range<u64>,
}

impl Again {
    pub(super) fn new(file: File, start: u64, format: Format) -> Self {
        Self { file, start, format }
    }

    /// Hands the packets between the bot and its remote hosts to `each`, whichever way they go, from
    /// the records in `range`: bytes of the capture, both ends where a record starts.
    ///
    /// # Errors
    ///
    /// When the file can't be read, or no longer is what it was.
    pub fn packets(
        &self,
        range: Range<u64>,
        selection: &Selection,
        mut each: impl FnMut(Address, &Frame<'_>),
    ) -> Result<()> {
        let at = self.start + range.start..self.start + range.end;
        let section = Section { file: self.file.try_clone()?, at };
        let mut records = Plain::from_record(section, self.format, range.start)?;
        let mut next = |frame: &Frame<'_>, _: u64| {
            if let FrameLink::Known(link) = frame.link
                && let Ok(packet) = read(link, frame)
            {
                for host in selection.remote_hosts(&packet).into_iter().flatten() {
                    each(host, frame);
                }
            }
            ControlFlow::Continue(())
        };
        let what = "reading the capture again, which was changed meanwhile";
        while records.frames(&mut next).context(what)?.is_continue() {}
        ensure!(records.position() == range.end, "{what}: it has become shorter");
        Ok(())
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.at.end - self.at.start).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..wanted], self.at.start)?;
        self.at.start += read as u64;
        Ok(read)
    }
}

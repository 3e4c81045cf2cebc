//! Opening what the command line names: a file, a FIFO, or standard input.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};

use super::concatenated::Formats;
use super::reread::Reread;
use crate::source::Stop;

/// An input that was opened and not yet read.
#[derive(Debug)]
pub struct Input {
    file: File,
    /// Bytes from here to the end, for a regular file.
    size: Option<u64>,
    read: Arc<AtomicU64>,
    stop: Stop,
}

impl Input {
    /// Opens the capture at `path`, or standard input for `-`. Reading ends early when `stop` is
    /// requested.
    ///
    /// # Errors
    ///
    /// When there is nothing at `path` that could be read, with a text that says what is there.
    pub fn open(path: &Path, stop: Stop) -> Result<Self> {
        let file = if path.as_os_str() == "-" {
            File::from(
                io::stdin().as_fd().try_clone_to_owned().context("standard input is closed")?,
            )
        } else {
            let kind = fs::metadata(path)?.file_type();
            if kind.is_dir() {
                bail!("it is a directory: name a capture file in it");
            }
            if kind.is_socket() || kind.is_block_device() {
                bail!("it is neither a file nor a FIFO: name a capture file");
            }
            // Without NONBLOCK, opening a FIFO waits for its writer and hears no signal.
            let flags = if kind.is_file() { 0 } else { rustix::fs::OFlags::NONBLOCK.bits() };
            let flags = i32::try_from(flags).context("open flags")?;
            OpenOptions::new().read(true).custom_flags(flags).open(path)?
        };
        Ok(Self::from_file(file, stop)?)
    }

    /// Reads from an open file, from where it stands.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell what the file is.
    pub fn from_file(mut file: File, stop: Stop) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let size = if metadata.is_file() {
            Some(metadata.len().saturating_sub(file.stream_position()?))
        } else {
            None
        };
        Ok(Self { file, size, read: Arc::default(), stop })
    }

    /// The number of bytes there are, for a regular file.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The bytes read so far, kept up while somebody else reads.
    #[must_use]
    pub fn read_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// The first bytes of a regular file, without reading past them. Nothing for a stream.
    ///
    /// # Errors
    ///
    /// When the file can't be read.
    pub fn peek(&mut self, bytes: usize) -> io::Result<Option<Vec<u8>>> {
        if self.size.is_none() {
            return Ok(None);
        }
        let position = self.file.stream_position()?;
        let mut head = vec![0; bytes];
        let mut filled = 0;
        while filled < bytes {
            match self.file.read_at(&mut head[filled..], position + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        head.truncate(filled);
        Ok(Some(head))
    }

    /// The same file to be read again, which has plain captures of these formats from where it stands.
    pub(super) fn again(&mut self, formats: Formats) -> io::Result<Reread> {
        let start = self.file.stream_position()?;
        Ok(Reread::new(self.file.try_clone()?, start, formats))
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.size.is_none() && !self.stop.wait_readable(&self.file)? {
                return Ok(0);
            }
            match self.file.read(buffer) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                    ) => {}
                result => {
                    let read = result?;
                    self.read.fetch_add(read as u64, Ordering::Relaxed);
                    return Ok(read);
                }
            }
        }
    }
}

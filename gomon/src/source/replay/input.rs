//! Opens the input that the command line names: a file, a FIFO, or standard input.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

use crate::source::Stop;

/// The capacity of a pipe that is read, in bytes: the default limit without privileges (`/proc/sys/fs/pipe-max-size`).
const PIPE: usize = 1 << 20;

/// An open input, of which nothing was read yet.
#[derive(Debug)]
pub struct Input {
    file: File,
    /// The number of bytes from the current offset to the end, for a regular file.
    size: Option<u64>,
    read: Arc<AtomicU64>,
    stop: Stop,
}

impl Input {
    /// Opens the capture at `path`, or standard input for `-`. Reading of a stream ends early when `stop` is
    /// requested.
    ///
    /// # Errors
    ///
    /// When `path` can't be opened for reading, or is not a file or FIFO.
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
            // Without O_NONBLOCK, opening a FIFO blocks until there is a writer, also when a signal comes.
            let flags = if kind.is_file() { 0 } else { rustix::fs::OFlags::NONBLOCK.bits() };
            let flags = i32::try_from(flags).context("open flags")?;
            OpenOptions::new().read(true).custom_flags(flags).open(path)?
        };
        Ok(Self::from_file(file, stop)?)
    }

    /// Reads from an open file, from its current offset.
    ///
    /// # Errors
    ///
    /// When the file's metadata can't be read.
    pub fn from_file(mut file: File, stop: Stop) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let size = if metadata.is_file() {
            Some(metadata.len().saturating_sub(file.stream_position()?))
        } else {
            enlarge_pipe(&file);
            None
        };
        Ok(Self { file, size, read: Arc::default(), stop })
    }

    /// Returns the number of bytes to read, for a regular file.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Returns the counter of the bytes read so far, which stays up to date after the input was passed on.
    #[must_use]
    pub fn read_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// Returns the first bytes of a regular file, without consuming them, and `None` for a stream.
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

    /// Returns a second handle of the file, and the current offset in it.
    pub(super) fn try_clone_file(&mut self) -> io::Result<(File, u64)> {
        Ok((self.file.try_clone()?, self.file.stream_position()?))
    }
}

/// Enlarges a pipe, so that its writer and the reading thread wait for each other less often. Anything else, and a pipe
/// that the kernel does not let grow, is left as it is: only speed depends on it.
fn enlarge_pipe(file: &File) {
    if fcntl_getpipe_size(file).is_ok_and(|size| size < PIPE) {
        let _ = fcntl_setpipe_size(file, PIPE);
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

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn a_pipe_is_enlarged_as_far_as_the_kernel_permits_and_never_reduced() {
        let open = |size: Option<usize>| {
            let (reader, writer) = io::pipe().unwrap();
            let size = size.and_then(|size| fcntl_setpipe_size(&reader, size).ok());
            let input = Input::from_file(OwnedFd::from(reader).into(), Stop::default()).unwrap();
            (size, fcntl_getpipe_size(&input.file).unwrap(), writer)
        };
        let (default, enlarged) = (open(Some(1 << 16)), open(None));
        let (permitted, ..) = open(Some(PIPE));
        assert_eq!(enlarged.1, permitted.unwrap_or(enlarged.1));
        assert_eq!(default.1, permitted.unwrap_or(1 << 16));
        // Needs a privilege.
        if let (Some(larger), size, _) = open(Some(2 * PIPE)) {
            assert_eq!(size, larger);
        }
    }
}

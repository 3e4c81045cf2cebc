//! The target of records: standard output, a file, or a stream (socket or FIFO).
//!
//! Everything here may block, so it runs in the writer thread (see `output.rs`).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tempfile::TempPath;

use super::line_writer::LineWriter;
use crate::settings::EveTarget;

/// An open output.
pub(super) struct OpenTarget {
    kind: TargetKind,
    /// `None` while a stream has no reader.
    writer: Option<LineWriter<File>>,
}

enum TargetKind {
    Stdout,
    File(PathBuf),
    /// A file with a temporary name until it is complete, and its final path.
    Fresh(TempPath, PathBuf),
    Socket(PathBuf),
    Fifo(PathBuf),
}

/// The meaning of a failed write.
pub(super) enum WriteFailure {
    /// The reader of standard output closed it.
    Closed,
    /// The reader of a stream closed it; another one may connect.
    Disconnected,
    /// This line can't be written.
    Rejected,
}

impl OpenTarget {
    /// Opens an output. With `fresh` a file is written under a temporary name in the same directory until
    /// [`OpenTarget::close`].
    ///
    /// # Errors
    ///
    /// When it can't be opened for writing.
    pub(super) fn open(target: &EveTarget, fresh: bool) -> Result<Self> {
        let name = target.to_string();
        match target {
            EveTarget::Stdout => {
                // Not `io::stdout`: its buffer would retain lines that a full disk rejected, or write
                // them twice.
                let fd = io::stdout().as_fd().try_clone_to_owned().context(
                    "opening standard output: it is closed: open it, or use --eve-log-path",
                )?;
                Ok(Self::new(TargetKind::Stdout, Some(File::from(fd))))
            }
            EveTarget::File(path) => {
                Self::open_file(path, fresh).with_context(|| format!("opening EVE file {name:?}"))
            }
            EveTarget::Socket(path) => {
                let stream = open_socket(path).with_context(|| {
                    format!("connecting to EVE socket {:?}", path.display().to_string())
                });
                let stream =
                    stream.map_err(|error| anyhow!("{error:#}: start its reader first"))?;
                Ok(Self::new(TargetKind::Socket(path.clone()), Some(stream)))
            }
        }
    }

    fn open_file(path: &Path, fresh: bool) -> Result<Self> {
        let kind = path.metadata().map(|metadata| metadata.file_type());
        if let Some(directory) = parent(path)
            && !directory.is_dir()
        {
            let directory = directory.display().to_string();
            bail!("there is no directory {directory:?}: make it, or name another file");
        }
        let advice = |error: io::Error| anyhow!("{error}: name another file");
        if fresh && kind.as_ref().is_ok_and(|kind| !kind.is_file()) {
            bail!("--eve-fresh replaces a regular file, and this is not one: name another file");
        }
        if kind.is_ok_and(|kind| kind.is_fifo()) {
            // An anonymous pipe, which /dev/stdout may be, can't get another reader.
            if is_standard_output(path) {
                return Self::open(&EveTarget::Stdout, false);
            }
            // If there is no reader, the writer thread connects once there is one.
            let file = open_fifo(path).ok();
            return Ok(Self::new(TargetKind::Fifo(path.to_owned()), file));
        }
        if !fresh {
            let file = append(path).map_err(advice)?;
            return Ok(Self::new(TargetKind::File(path.to_owned()), Some(file)));
        }
        // The file that a symbolic link refers to is replaced, not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(path.file_name().unwrap_or_default());
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".partial").permissions(permissions);
        let directory = parent(&path).unwrap_or(Path::new("."));
        let (file, temporary) = builder.tempfile_in(directory).map_err(advice)?.into_parts();
        Ok(Self::new(TargetKind::Fresh(temporary, path), Some(file)))
    }

    fn new(kind: TargetKind, file: Option<File>) -> Self {
        Self { kind, writer: file.map(LineWriter::of_file) }
    }

    /// Whether it is a stream, whose reader may stop reading, close it, and connect again.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.kind, TargetKind::Socket(_) | TargetKind::Fifo(_))
    }

    /// Whether it can be written to. This is false for a stream without a reader.
    pub(super) fn is_connected(&self) -> bool {
        self.writer.is_some()
    }

    /// Returns standard output, if it is a pipe: polling it shows that its reader closed it while nothing is written.
    pub(super) fn pipe(&self) -> Option<OwnedFd> {
        let file = &self.writer.as_ref().filter(|_| matches!(self.kind, TargetKind::Stdout))?.sink;
        let is_pipe = file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
        is_pipe.then(|| file.as_fd().try_clone_to_owned().ok()).flatten()
    }

    /// Writes lines: see [`LineWriter::write`].
    pub(super) fn write(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        match &mut self.writer {
            Some(writer) => writer.write(lines),
            None => (0, Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Classifies the error of a write. Disconnects a stream.
    pub(super) fn failure(&mut self, error: &io::Error) -> WriteFailure {
        match self.kind {
            TargetKind::Stdout if error.kind() == io::ErrorKind::BrokenPipe => WriteFailure::Closed,
            TargetKind::Socket(_) | TargetKind::Fifo(_) => {
                self.writer = None;
                WriteFailure::Disconnected
            }
            TargetKind::Stdout | TargetKind::File(_) | TargetKind::Fresh(..) => {
                WriteFailure::Rejected
            }
        }
    }

    /// Connects again to a stream that lost its reader.
    ///
    /// # Errors
    ///
    /// When there is no reader.
    pub(super) fn reconnect(&mut self) -> io::Result<()> {
        let file = match &self.kind {
            TargetKind::Socket(path) => open_socket(path)?,
            TargetKind::Fifo(path) => open_fifo(path)?,
            TargetKind::Stdout | TargetKind::File(_) | TargetKind::Fresh(..) => return Ok(()),
        };
        self.writer = Some(LineWriter::of_file(file));
        Ok(())
    }

    /// Opens the file at the path again, which is a new file after a log rotation, and returns whether the output is
    /// a file. If that fails, the open file remains in use.
    ///
    /// # Errors
    ///
    /// When the file can't be opened.
    pub(super) fn reopen(&mut self) -> io::Result<bool> {
        let TargetKind::File(path) = &self.kind else { return Ok(false) };
        self.writer = Some(LineWriter::of_file(append(path)?));
        Ok(true)
    }

    /// Closes the output. A file with a temporary name gets its final one if it is complete. Otherwise it
    /// keeps the temporary name, or is removed if it is empty.
    ///
    /// # Errors
    ///
    /// When it can't be renamed, or is not complete.
    pub(super) fn close(self, is_complete: bool) -> Result<()> {
        let TargetKind::Fresh(temporary, path) = self.kind else { return Ok(()) };
        if !is_complete {
            if temporary.metadata().is_ok_and(|metadata| metadata.len() == 0) {
                return Ok(());
            }
            let kept =
                temporary.keep().map_err(|error| anyhow!("keeping the EVE file: {error}"))?;
            let [kept, name] = [&kept, &path].map(|path| path.display().to_string());
            bail!(
                "replacing {name:?}: records are missing: the incomplete file was left in {kept:?}"
            );
        }
        temporary.persist(&path).map_err(|error| {
            let name = path.display().to_string();
            anyhow!("renaming the EVE file to {name:?}: {}: name another file", error.error)
        })
    }
}

/// Whether a path names the file that is standard output.
fn is_standard_output(path: &Path) -> bool {
    let stdout = rustix::fs::fstat(io::stdout());
    let path = rustix::fs::stat(path);
    stdout.is_ok_and(|stdout| {
        path.is_ok_and(|path| (path.st_dev, path.st_ino) == (stdout.st_dev, stdout.st_ino))
    })
}

/// Returns the directory part of a path, if it has one.
fn parent(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}

/// Opens a file to append to.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Opens a FIFO for writing. Fails, instead of blocking, if it has no reader.
fn open_fifo(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
    fcntl_setfl(&file, OFlags::empty())?;
    Ok(file)
}

/// Connects to a socket. Fails, instead of blocking, if its backlog is full.
fn open_socket(path: &Path) -> io::Result<File> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    let socket = UnixStream::from(socket);
    socket.set_nonblocking(false)?;
    Ok(File::from(OwnedFd::from(socket)))
}

//! What records are written to: standard output, a file, or a stream with a reader.
//!
//! Everything here may block, and runs in the thread that writes (see [`super::output`]).

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use memchr::{memchr, memrchr};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tempfile::TempPath;

use crate::settings::EveTarget;

/// Bytes that are written to a pipe or socket at once: what POSIX has a pipe take as a whole or not at
/// all (`PIPE_BUF` on Linux), so that the lines of two writers don't mix.
const PIPE_WRITE: usize = 4096;

/// An open target.
pub(super) struct Target {
    kind: Kind,
    /// Where lines go; nothing while a stream has no reader.
    writer: Option<LineWriter<File>>,
}

enum Kind {
    Stdout,
    File(PathBuf),
    /// A file that gets its name when it is complete.
    Fresh(TempPath, PathBuf),
    Socket(PathBuf),
    Fifo(PathBuf),
}

/// What a failed write means.
pub(super) enum Failure {
    /// Standard output was closed by its reader, who has seen enough.
    Closed,
    /// The reader of a stream is gone; another one may come.
    Disconnected,
    /// The line at hand can't be written.
    Refused,
}

impl Target {
    /// Opens what records are to go to. With `fresh` a file is written under a temporary name beside it
    /// until [`Target::close`].
    ///
    /// # Errors
    ///
    /// When it can't be opened for writing.
    pub(super) fn open(target: &EveTarget, fresh: bool) -> Result<Self> {
        let name = target.to_string();
        match target {
            EveTarget::Stdout => {
                // Not `io::stdout`: its buffer would hold back, or write again, what a full disk
                // refused.
                let fd = io::stdout().as_fd().try_clone_to_owned().context(
                    "opening standard output: it is closed: open it, or use --eve-log-path",
                )?;
                Ok(Self::new(Kind::Stdout, Some(File::from(fd))))
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
                Ok(Self::new(Kind::Socket(path.clone()), Some(stream)))
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
            bail!("--eve-fresh replaces a file, and this is none: name another file");
        }
        if kind.is_ok_and(|kind| kind.is_fifo()) {
            // A pipe without a name, as /dev/stdout can be, has no other reader once its reader is gone.
            if is_standard_output(path) {
                return Self::open(&EveTarget::Stdout, false);
            }
            // Without a reader it is connected to when there is one.
            let file = open_fifo(path).ok();
            return Ok(Self::new(Kind::Fifo(path.to_owned()), file));
        }
        if !fresh {
            let file = append(path).map_err(advice)?;
            return Ok(Self::new(Kind::File(path.to_owned()), Some(file)));
        }
        // A link stays one, and its file is replaced.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(path.file_name().unwrap_or_default());
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".partial").permissions(permissions);
        let directory = parent(&path).unwrap_or(Path::new("."));
        let (file, temporary) = builder.tempfile_in(directory).map_err(advice)?.into_parts();
        Ok(Self::new(Kind::Fresh(temporary, path), Some(file)))
    }

    fn new(kind: Kind, file: Option<File>) -> Self {
        Self { kind, writer: file.map(LineWriter::of_file) }
    }

    /// Whether it has a reader, which may stop reading or go away, and come back.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.kind, Kind::Socket(_) | Kind::Fifo(_))
    }

    /// Whether there is somewhere to write to.
    pub(super) fn is_connected(&self) -> bool {
        self.writer.is_some()
    }

    /// The pipe of standard output, where it is one: to see that its reader goes though nothing is
    /// written.
    pub(super) fn pipe(&self) -> Option<OwnedFd> {
        let file = &self.writer.as_ref().filter(|_| matches!(self.kind, Kind::Stdout))?.sink;
        let is_pipe = file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
        is_pipe.then(|| file.as_fd().try_clone_to_owned().ok()).flatten()
    }

    /// Writes lines, each of which ends in a line feed, and returns the bytes of those that were written
    /// whole. Where that is not all, the error is why.
    pub(super) fn write(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        match &mut self.writer {
            Some(writer) => writer.write(lines),
            None => (0, Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// What the error of a write means.
    pub(super) fn failure(&mut self, error: &io::Error) -> Failure {
        match self.kind {
            Kind::Stdout if error.kind() == io::ErrorKind::BrokenPipe => Failure::Closed,
            Kind::Socket(_) | Kind::Fifo(_) => {
                self.writer = None;
                Failure::Disconnected
            }
            Kind::Stdout | Kind::File(_) | Kind::Fresh(..) => Failure::Refused,
        }
    }

    /// Connects again to a stream whose reader is gone.
    ///
    /// # Errors
    ///
    /// When there is no reader.
    pub(super) fn reconnect(&mut self) -> io::Result<()> {
        let file = match &self.kind {
            Kind::Socket(path) => open_socket(path)?,
            Kind::Fifo(path) => open_fifo(path)?,
            Kind::Stdout | Kind::File(_) | Kind::Fresh(..) => return Ok(()),
        };
        self.writer = Some(LineWriter::of_file(file));
        Ok(())
    }

    /// Opens a file again by its name, under which there is another one when logs were rotated. What
    /// can't be opened stays as it is.
    ///
    /// # Errors
    ///
    /// When the file can't be opened.
    pub(super) fn reopen(&mut self) -> io::Result<bool> {
        let Kind::File(path) = &self.kind else { return Ok(false) };
        self.writer = Some(LineWriter::of_file(append(path)?));
        Ok(true)
    }

    /// Ends the output: a file that was written under a temporary name gets its own, if it is complete.
    /// What is not stays under that name, for whoever wants it; what is empty goes.
    ///
    /// # Errors
    ///
    /// When it can't be renamed, or is not complete.
    pub(super) fn close(self, is_complete: bool) -> Result<()> {
        let Kind::Fresh(temporary, path) = self.kind else { return Ok(()) };
        if !is_complete {
            if temporary.metadata().is_ok_and(|metadata| metadata.len() == 0) {
                return Ok(());
            }
            let kept =
                temporary.keep().map_err(|error| anyhow!("keeping the EVE file: {error}"))?;
            let [kept, name] = [&kept, &path].map(|path| path.display().to_string());
            bail!("replacing {name:?}: records are missing: what there is was left in {kept:?}");
        }
        temporary.persist(&path).map_err(|error| {
            let name = path.display().to_string();
            anyhow!("renaming the EVE file to {name:?}: {}: name another file", error.error)
        })
    }
}

/// What lines are written to.
trait Sink: Write {
    /// Takes the last bytes that were written back, and says whether that could be done.
    fn take_back(&mut self, bytes: u64) -> io::Result<bool>;
}

impl Sink for File {
    fn take_back(&mut self, bytes: u64) -> io::Result<bool> {
        let (end, metadata) = (self.stream_position()?, self.metadata()?);
        // Bytes behind these come from another writer.
        if !metadata.is_file() || metadata.len() != end {
            return Ok(false);
        }
        self.set_len(end.saturating_sub(bytes))?;
        self.seek(io::SeekFrom::End(0))?;
        Ok(true)
    }
}

/// Writes lines whole, or leaves no trace of them where that is possible.
struct LineWriter<W> {
    sink: W,
    /// Bytes to write at once.
    most: usize,
    /// Whether the output ends in a part of a line.
    torn: bool,
}

impl LineWriter<File> {
    fn of_file(file: File) -> Self {
        let is_regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        Self::new(file, if is_regular { usize::MAX } else { PIPE_WRITE })
    }
}

impl<W: Sink> LineWriter<W> {
    fn new(sink: W, most: usize) -> Self {
        Self { sink, most, torn: false }
    }

    fn write(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        let mut whole = 0;
        while whole < lines.len() {
            let piece = first_lines(&lines[whole..], self.most);
            let (written, result) = self.write_piece(piece);
            whole += written;
            if result.is_err() {
                return (whole, result);
            }
        }
        (whole, Ok(()))
    }

    fn write_piece(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        if self.torn {
            // The part of a line that could not be taken back is ended, so that the next record stands
            // on a line of its own.
            if let Err(error) = self.sink.write_all(b"\n") {
                return (0, Err(error));
            }
            self.torn = false;
        }
        let mut written = 0;
        let error = loop {
            if written == lines.len() {
                return (written, Ok(()));
            }
            match self.sink.write(&lines[written..]) {
                Ok(0) => break io::ErrorKind::WriteZero.into(),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        let whole = memrchr(b'\n', &lines[..written]).map_or(0, |at| at + 1);
        let part = (written - whole) as u64;
        self.torn = part > 0 && !self.sink.take_back(part).unwrap_or(false);
        (whole, Err(error))
    }
}

/// As many lines as fit into so many bytes, or the first one where it does not.
fn first_lines(lines: &[u8], bytes: usize) -> &[u8] {
    if lines.len() <= bytes {
        return lines;
    }
    let (fitting, rest) = lines.split_at(bytes);
    let end = memrchr(b'\n', fitting)
        .unwrap_or_else(|| bytes + memchr(b'\n', rest).unwrap_or(rest.len() - 1));
    &lines[..=end]
}

/// Whether a path names what standard output is.
fn is_standard_output(path: &Path) -> bool {
    let stdout = rustix::fs::fstat(io::stdout());
    let path = rustix::fs::stat(path);
    stdout.is_ok_and(|stdout| {
        path.is_ok_and(|path| (path.st_dev, path.st_ino) == (stdout.st_dev, stdout.st_ino))
    })
}

/// The directory that a path names, where it names one.
fn parent(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}

/// Opens a file to append to.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Opens a FIFO that has a reader, without waiting for one.
fn open_fifo(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
    fcntl_setfl(&file, OFlags::empty())?;
    Ok(file)
}

/// Connects to a socket, without waiting where too many already do.
fn open_socket(path: &Path) -> io::Result<File> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    let socket = UnixStream::from(socket);
    socket.set_nonblocking(false)?;
    Ok(File::from(OwnedFd::from(socket)))
}

#[cfg(test)]
mod tests {
    use memchr::memchr_iter;
    use proptest::prelude::*;

    use super::*;

    /// Takes so many bytes at a time, or refuses, and takes everything in the end.
    struct Moody {
        moods: Vec<Option<usize>>,
        taken: Vec<u8>,
        gives_back: bool,
    }

    impl Write for Moody {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mood = self.moods.pop().unwrap_or(Some(usize::MAX));
            let taken = mood.ok_or(io::Error::other("no room"))?.min(bytes.len());
            self.taken.extend(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Moody {
        fn take_back(&mut self, bytes: u64) -> io::Result<bool> {
            if self.gives_back {
                self.taken.truncate(self.taken.len() - usize::try_from(bytes).unwrap());
            }
            Ok(self.gives_back)
        }
    }

    proptest! {
        #[test]
        fn what_is_said_to_be_written_is_there_whole_and_once(
            lengths in prop::collection::vec(0usize..30, 0..40),
            moods in prop::collection::vec(prop::option::weighted(0.7, 1usize..50), 0..60),
            most in prop_oneof![1usize..60, Just(usize::MAX)],
            gives_back: bool,
        ) {
            let moody = Moody { moods, taken: Vec::new(), gives_back };
            let mut writer = LineWriter::new(moody, most);
            let lines: Vec<String> =
                lengths.iter().enumerate().map(|(n, length)| format!("{n}{}.\n", "x".repeat(*length))).collect();
            let mut written = String::new();
            for lines in lines.chunks(7) {
                let text = lines.concat();
                let mut rest = text.as_str();
                while !rest.is_empty() {
                    let (whole, result) = writer.write(rest.as_bytes());
                    written.push_str(&rest[..whole]);
                    rest = &rest[whole..];
                    // The line that was refused is given up.
                    if result.is_err() {
                        rest = &rest[rest.find('\n').unwrap() + 1..];
                    }
                }
            }
            let taken = String::from_utf8(writer.sink.taken).unwrap();
            let whole = |line: &&str| line.ends_with('.');
            if gives_back {
                prop_assert_eq!(&taken, &written);
            }
            // A line of which only its end is missing is whole, and not said to be written.
            let expected: Vec<_> = written.lines().collect();
            let found: Vec<_> = taken.lines().filter(whole).collect();
            prop_assert!(expected.iter().all(|line| found.contains(line)), "{}", taken);
            prop_assert!(taken.lines().all(|line| line.matches('.').count() <= 1), "{}", taken);
        }

        #[test]
        fn lines_are_cut_where_they_end(
            lengths in prop::collection::vec(0usize..30, 1..20),
            bytes in 1usize..60,
        ) {
            let lines: String = lengths.iter().map(|length| "x".repeat(*length) + "\n").collect();
            let mut rest = lines.as_bytes();
            while !rest.is_empty() {
                let piece = first_lines(rest, bytes);
                prop_assert!(piece.ends_with(b"\n"));
                prop_assert!(piece.len() <= bytes || memchr_iter(b'\n', piece).count() == 1);
                rest = &rest[piece.len()..];
            }
        }
    }

    #[test]
    fn what_is_taken_back_leaves_no_trace() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut ours = append(file.path()).unwrap();
        ours.write_all(b"one\ntwo\nthr").unwrap();
        assert!(ours.take_back(3).unwrap());
        ours.write_all(b"four\n").unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "one\ntwo\nfour\n");
        // Another writer has written behind it.
        ours.write_all(b"fiv").unwrap();
        append(file.path()).unwrap().write_all(b"theirs\n").unwrap();
        assert!(!ours.take_back(3).unwrap());
    }
}

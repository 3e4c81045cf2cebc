//! Where lines of EVE go, and what happens when they don't arrive.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::settings::EveTarget;

/// How long a socket's reader may keep a record waiting before that record counts as lost. Once it has
/// done so nothing waits for it, until it reads again.
const SOCKET_PATIENCE: Duration = Duration::from_secs(1);

/// An open output.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Output {
    name: String,
    write: Box<dyn Write + Send>,
    /// Nobody misses what is written to a pipe that was closed.
    quiet_when_closed: bool,
    /// The socket, if it is one, and whether its reader keeps us waiting.
    socket: Option<UnixStream>,
    stalled: bool,
    closed: bool,
    torn: bool,
    lost: u64,
    first_error: Option<io::Error>,
}

impl Output {
    /// Opens what records are to go to: a file is made with its directories when it is not there, and
    /// somebody has to listen on a socket.
    ///
    /// # Errors
    ///
    /// When it can't be opened for writing.
    pub fn open(target: &EveTarget) -> Result<Self> {
        let name = target.to_string();
        match target {
            EveTarget::Stdout => {
                // Not `io::stdout`: its buffer would hold back, or write again, what a full disk
                // refused.
                let fd = io::stdout().as_fd().try_clone_to_owned().context(
                    "opening standard output: it is closed: open it, or use --eve-log-path",
                )?;
                Ok(Self { quiet_when_closed: true, ..Self::new(name, Box::new(File::from(fd))) })
            }
            EveTarget::File(path) => {
                let file = append(path)
                    .with_context(|| format!("opening EVE file {name:?}"))
                    .map_err(|error| hint(&error, "name another file"))?;
                Ok(Self::new(name, Box::new(file)))
            }
            EveTarget::Socket(path) => {
                let (write, socket) = connect(path)
                    .with_context(|| {
                        format!("connecting to EVE socket {:?}", path.display().to_string())
                    })
                    .map_err(|error| hint(&error, "start its reader first"))?;
                Ok(Self { socket: Some(socket), ..Self::new(name, Box::new(write)) })
            }
        }
    }

    fn new(name: String, write: Box<dyn Write + Send>) -> Self {
        Self {
            name,
            write,
            quiet_when_closed: false,
            socket: None,
            stalled: false,
            closed: false,
            torn: false,
            lost: 0,
            first_error: None,
        }
    }

    /// Whether the reader of standard output went away, so that there is no point in going on.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes lines, each of which ends in a line feed. One that can't be written is counted, and those
    /// behind it are tried.
    pub fn lines(&mut self, mut lines: &[u8]) {
        while !lines.is_empty() && !self.closed {
            let (written, result) = self.try_lines(lines);
            let timed_out = result.as_ref().is_err_and(|error| {
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
            });
            self.wait_less(timed_out);
            match result {
                Ok(()) => return,
                Err(error)
                    if self.quiet_when_closed && error.kind() == io::ErrorKind::BrokenPipe =>
                {
                    self.closed = true;
                }
                Err(error) => {
                    if self.lost == 0 {
                        log::error!("writing records to {}: {error}", self.name);
                    }
                    self.lost += 1;
                    self.first_error.get_or_insert(error);
                }
            }
            // What is lost is the line that was not written to its end.
            let rest = &lines[written..];
            let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            lines = &rest[end..];
        }
    }

    /// Waits no more for a reader that has kept a record waiting, until it reads again.
    fn wait_less(&mut self, stalled: bool) {
        if let Some(socket) = &self.socket
            && stalled != self.stalled
        {
            // Where that fails, every record waits for as long as the first.
            let _ = socket.set_nonblocking(stalled);
            self.stalled = stalled;
        }
    }

    /// Writes as much as can be written, and says how much that was.
    fn try_lines(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        // A line that was torn off is ended, so that the next record stands on a line of its own.
        if self.torn {
            if let Err(error) = self.write.write_all(b"\n") {
                return (0, Err(error));
            }
            self.torn = false;
        }
        let mut written = 0;
        while written < lines.len() {
            match self.write.write(&lines[written..]) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(bytes) => {
                    written += bytes;
                    self.torn = lines[written - 1] != b'\n';
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, self.write.flush())
    }

    /// What was lost, if anything.
    ///
    /// # Errors
    ///
    /// When lines could not be written: how many, and the first reason.
    pub fn outcome(&mut self) -> Result<()> {
        match self.first_error.take() {
            None => Ok(()),
            Some(error) => {
                let error = anyhow::Error::from(error);
                let error = error.context(format!("writing records to {}", self.name));
                let lost = self.lost;
                let advice =
                    format!("{lost} record(s) are lost: make room, or name another output");
                Err(hint(&error, &advice))
            }
        }
    }
}

/// Opens a file to append to.
fn append(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    OpenOptions::new().append(true).create(true).open(path)
}

/// Connects to a socket: one end to write to, and the same to set it up with.
fn connect(path: &Path) -> io::Result<(UnixStream, UnixStream)> {
    let socket = UnixStream::connect(path)?;
    socket.set_write_timeout(Some(SOCKET_PATIENCE))?;
    Ok((socket.try_clone()?, socket))
}

/// Ends the chain of an error with what to do.
fn hint(error: &anyhow::Error, what_to_do: &str) -> anyhow::Error {
    anyhow::anyhow!("{error:#}: {what_to_do}")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::*;

    /// Takes so many bytes at a time, or refuses, and takes everything in the end.
    struct Moody {
        moods: Vec<Option<usize>>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Moody {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mood = self.moods.pop().unwrap_or(Some(usize::MAX));
            let taken = mood.ok_or(io::Error::other("no room"))?.min(bytes.len());
            self.taken.lock().unwrap().extend(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn every_line_arrives_whole_or_is_counted(
            lengths in prop::collection::vec(0usize..30, 0..40),
            moods in prop::collection::vec(prop::option::weighted(0.7, 1usize..50), 0..60),
        ) {
            let taken = Arc::default();
            let moody = Moody { moods, taken: Arc::clone(&taken) };
            let mut output = Output::new("a file".into(), Box::new(moody));
            for lines in lengths.chunks(7) {
                let lines: String = lines.iter().map(|length| "x".repeat(*length) + ".\n").collect();
                output.lines(lines.as_bytes());
            }
            let taken = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
            let whole = taken.lines().filter(|line| line.ends_with('.')).count();
            // A line of which only its end is missing is whole, and counted all the same.
            prop_assert!(whole + usize::try_from(output.lost).unwrap() >= lengths.len());
            prop_assert!(taken.lines().all(|line| line.matches('.').count() <= 1), "{}", taken);
            prop_assert_eq!(output.outcome().is_err(), output.lost > 0);
        }
    }
}

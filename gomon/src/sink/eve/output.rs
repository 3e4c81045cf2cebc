//! Where lines of EVE go, and what happens when they don't arrive.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

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
    /// Standard output.
    ///
    /// # Errors
    ///
    /// When it is closed.
    pub fn stdout() -> Result<Self> {
        // Not `io::stdout`: its buffer would hold back, or write again, what a full disk refused.
        let fd = io::stdout().as_fd().try_clone_to_owned();
        let fd =
            fd.context("opening standard output: it is closed: open it, or use --eve-log-path")?;
        Ok(Self::new("stdout".into(), Box::new(File::from(fd)), true))
    }

    /// A file that is appended to, made with its directories when it is not there.
    ///
    /// # Errors
    ///
    /// When it can't be opened for writing.
    pub fn file(path: &Path) -> Result<Self> {
        let attempt = || {
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                std::fs::create_dir_all(parent)?;
            }
            OpenOptions::new().append(true).create(true).open(path)
        };
        let what = || format!("opening EVE file {:?}", path.display().to_string());
        let file =
            attempt().with_context(what).map_err(|error| hint(&error, "name another file"))?;
        Ok(Self::new(path.display().to_string(), Box::new(file), false))
    }

    /// A Unix stream socket that somebody listens on.
    ///
    /// # Errors
    ///
    /// When nobody does.
    pub fn socket(path: &Path) -> Result<Self> {
        let attempt = || {
            let socket = UnixStream::connect(path)?;
            socket.set_write_timeout(Some(SOCKET_PATIENCE))?;
            io::Result::Ok(socket)
        };
        let what = || format!("connecting to EVE socket {:?}", path.display().to_string());
        let socket =
            attempt().with_context(what).map_err(|error| hint(&error, "start its reader first"))?;
        let patience = socket.try_clone().with_context(what)?;
        let output = Self::new(format!("unix://{}", path.display()), Box::new(socket), false);
        Ok(Self { socket: Some(patience), ..output })
    }

    fn new(name: String, write: Box<dyn Write + Send>, quiet_when_closed: bool) -> Self {
        Self {
            name,
            write,
            quiet_when_closed,
            socket: None,
            stalled: false,
            closed: false,
            torn: false,
            lost: 0,
            first_error: None,
        }
    }

    /// What the output is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the reader of standard output went away, so that there is no point in going on.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes one line, which ends in a line feed. A line that can't be written is counted.
    pub fn line(&mut self, line: &[u8]) {
        if self.closed {
            return;
        }
        let result = self.try_line(line);
        let timed_out = result.as_ref().is_err_and(|error| {
            matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
        });
        self.wait_less(timed_out);
        match result {
            Ok(()) => {}
            Err(error) if self.quiet_when_closed && error.kind() == io::ErrorKind::BrokenPipe => {
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

    fn try_line(&mut self, line: &[u8]) -> io::Result<()> {
        // A line that was torn off is ended, so that the next record stands on a line of its own.
        if self.torn {
            self.write.write_all(b"\n")?;
            self.torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.write.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.torn = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.write.flush()
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

/// Ends the chain of an error with what to do.
fn hint(error: &anyhow::Error, what_to_do: &str) -> anyhow::Error {
    anyhow::anyhow!("{error:#}: {what_to_do}")
}

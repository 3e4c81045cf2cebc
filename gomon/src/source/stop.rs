//! Ending a run in order when SIGINT or SIGTERM asks for it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::consts::{SIGINT, SIGTERM};

/// A request to stop that can be asked about and waited for. Clones are of one request.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    requested: Arc<AtomicBool>,
    /// Readable from the moment a signal came. Without it no signal is listened to.
    wake: Option<Arc<OwnedFd>>,
}

impl Stop {
    /// Listens to SIGINT and SIGTERM. The first one requests the stop; one more ends the process at
    /// once, with status 1.
    ///
    /// # Errors
    ///
    /// When the process is out of file descriptors.
    pub fn on_signals() -> io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let (wake, write) = pipe_with(PipeFlags::CLOEXEC)?;
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&requested))?;
            signal_hook::flag::register(signal, Arc::clone(&requested))?;
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Self { requested, wake: Some(Arc::new(wake)) })
    }

    /// Whether the stop was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// Waits until `input` can be read (or was closed), or the stop is requested. True for `input`.
    ///
    /// # Errors
    ///
    /// When the kernel can't wait for `input`.
    pub fn wait_readable(&self, input: &impl AsFd) -> io::Result<bool> {
        self.wait(input, None)
    }

    /// The same, and no longer than until `due`.
    ///
    /// # Errors
    ///
    /// When the kernel can't wait for `input`.
    pub fn wait_until(&self, input: &impl AsFd, due: Instant) -> io::Result<bool> {
        self.wait(input, Some(due))
    }

    fn wait(&self, input: &impl AsFd, due: Option<Instant>) -> io::Result<bool> {
        while !self.is_requested() {
            let mut fds = vec![PollFd::new(input, PollFlags::IN)];
            fds.extend(self.wake.iter().map(|wake| PollFd::new(wake, PollFlags::IN)));
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            let timeout = left.map(Timespec::try_from).transpose().unwrap_or(None);
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) if !fds[0].revents().is_empty() => return Ok(true),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}

//! Ending a run in order when SIGINT or SIGTERM asks for it, or the end of the parent process does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Signal, getpid, getppid, kill_process, set_parent_process_death_signal as on_parents_death,
};
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

    /// Has the kernel send SIGTERM when the parent process ends, to a process that listens to it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, which it does not.
    pub fn when_the_parent_ends(&self) -> io::Result<()> {
        let parent = getppid();
        on_parents_death(Some(Signal::TERM))?;
        // A parent that ended in between sends nothing any more.
        if getppid() != parent {
            kill_process(getpid(), Signal::TERM)?;
        }
        Ok(())
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
        Ok(self.wait(&[input.as_fd()], None)?.is_some())
    }

    /// Waits until one of `inputs` can be read, and no longer than until `due` or until the stop is
    /// requested: the first of them that can be read.
    ///
    /// # Errors
    ///
    /// When the kernel can't wait for `inputs`.
    pub fn wait_until(&self, inputs: &[BorrowedFd<'_>], due: Instant) -> io::Result<Option<usize>> {
        self.wait(inputs, Some(due))
    }

    fn wait(&self, inputs: &[BorrowedFd<'_>], due: Option<Instant>) -> io::Result<Option<usize>> {
        while !self.is_requested() {
            let mut fds: Vec<_> =
                inputs.iter().map(|input| PollFd::new(input, PollFlags::IN)).collect();
            fds.extend(self.wake.iter().map(|wake| PollFd::new(wake, PollFlags::IN)));
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            let timeout = left.map(Timespec::try_from).transpose().unwrap_or(None);
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(None),
                Ok(_) => {
                    let ready = fds[..inputs.len()].iter().position(|fd| !fd.revents().is_empty());
                    if ready.is_some() {
                        return Ok(ready);
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

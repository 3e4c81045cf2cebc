//! What signals ask of a run: to stop, to report its status, to reopen its output.
//!
//! A thread of its own takes the signals, so that nothing has to be safe inside a signal handler:
//!
//! | signal | asks for |
//! | --- | --- |
//! | SIGINT, SIGTERM, SIGQUIT, SIGALRM, SIGXCPU | a stop, with everything flushed |
//! | the same again, [`STUCK_AFTER`] or more after the first | the end at once, with status 1 |
//! | SIGHUP | reopened output files; a stop when it came because the terminal was closed |
//! | SIGUSR1 | the ledgers of the run and of the open window in the log |
//! | SIGUSR2, SIGXFSZ | nothing: by default both would end the process with its records unwritten |
//!
//! SIGPIPE is ignored by Rust's runtime, and a write then fails with `EPIPE`.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::process::{
    Signal, getpid, getppid, kill_process, set_parent_process_death_signal as on_parents_death,
};
use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::Signals;

/// From so long after the first stop signal on, another one ends a process that is stuck. Before that it
/// does nothing: managers and `timeout` send several in one breath, and a shutdown takes less.
const STUCK_AFTER: Duration = Duration::from_secs(2);

/// Requests to a run that can be asked about and waited for. Clones are of one run.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Requests>);

#[derive(Default)]
struct Requests {
    stop: Event,
    /// Readable while a status report is requested.
    status: Option<OwnedFd>,
    /// What to do on SIGHUP, and on SIGUSR1 besides.
    reopen: Hook,
    on_status: Hook,
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").field("stop", &self.stop).finish_non_exhaustive()
    }
}

/// Something to be done when a signal comes, in the thread that takes the signals.
#[derive(Default)]
struct Hook(Mutex<Option<Box<dyn Fn() + Send>>>);

impl Hook {
    fn set(&self, action: impl Fn() + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(action));
    }

    fn call(&self) {
        if let Some(action) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            action();
        }
    }
}

/// A flag that can be polled for. Without a descriptor it is never raised by a signal.
#[derive(Debug, Default)]
struct Event {
    raised: AtomicBool,
    descriptor: Option<OwnedFd>,
}

impl Event {
    fn new() -> io::Result<Self> {
        Ok(Self { raised: AtomicBool::new(false), descriptor: Some(counter()?) })
    }

    /// The flag first: whoever is woken by the descriptor finds it raised.
    fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.descriptor.as_ref().map(count_up);
    }

    fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }
}

/// A descriptor that is readable from when it is counted up until it is read.
fn counter() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

fn count_up(descriptor: &OwnedFd) {
    // It fails only where the counter is full, and then the descriptor is readable already.
    let _ = rustix::io::write(descriptor, &1u64.to_ne_bytes());
}

impl Stop {
    /// Listens to signals, as the table of this module says, for the rest of the process's life.
    ///
    /// # Errors
    ///
    /// When the process is out of file descriptors or threads.
    pub fn on_signals() -> io::Result<Self> {
        let hangup = Hangup::new();
        let signals = Signals::new([
            SIGINT, SIGTERM, SIGQUIT, SIGALRM, SIGXCPU, SIGHUP, SIGUSR1, SIGUSR2, SIGXFSZ,
        ])?;
        let requests =
            Requests { stop: Event::new()?, status: Some(counter()?), ..Default::default() };
        let stop = Self(Arc::new(requests));
        let asked = stop.clone();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || asked.take_signals(signals, &hangup))?;
        Ok(stop)
    }

    fn take_signals(&self, mut signals: Signals, hangup: &Hangup) {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => {
                    self.0.status.as_ref().map(count_up);
                    self.0.on_status.call();
                }
                SIGUSR2 | SIGXFSZ => {}
                SIGHUP if !hangup.is_terminal_closed() => self.0.reopen.call(),
                _ => {
                    if first.is_some_and(|first| first.elapsed() >= STUCK_AFTER) {
                        signal_hook::low_level::exit(1);
                    }
                    first.get_or_insert_with(Instant::now);
                    self.0.stop.raise();
                }
            }
        }
    }

    /// Has `reopen` called on every SIGHUP, from the thread that takes the signals.
    pub fn on_hangup(&self, reopen: impl Fn() + Send + 'static) {
        self.0.reopen.set(reopen);
    }

    /// Has `wake` called when a status report is requested, besides what [`Stop::wait_until`] does.
    pub fn on_status(&self, wake: impl Fn() + Send + 'static) {
        self.0.on_status.set(wake);
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

    /// Requests the stop.
    pub fn request(&self) {
        self.0.stop.raise();
    }

    /// Whether the stop was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.stop.is_raised()
    }

    /// Whether a status report was requested since this was last asked.
    #[must_use]
    pub fn take_status_request(&self) -> bool {
        self.0.status.as_ref().is_some_and(|status| rustix::io::read(status, &mut [0; 8]).is_ok())
    }

    /// Waits until `input` can be read (or was closed), or the stop is requested. True for `input`.
    ///
    /// # Errors
    ///
    /// When the kernel can't wait for `input`.
    pub fn wait_readable(&self, input: &impl AsFd) -> io::Result<bool> {
        Ok(self.wait(&[input.as_fd()], None, None)?.is_some())
    }

    /// Waits until one of `inputs` can be read, and no longer than until `due` or until the stop is
    /// requested: the first of them that can be read.
    ///
    /// # Errors
    ///
    /// When the kernel can't wait for `inputs`.
    pub fn wait_until(&self, inputs: &[BorrowedFd<'_>], due: Instant) -> io::Result<Option<usize>> {
        self.wait(inputs, None, Some(due))
    }

    /// The same for who answers status requests: such a request, too, ends the wait.
    ///
    /// # Errors
    ///
    /// When the kernel can't wait for `inputs`.
    pub fn wait_until_or_status(
        &self,
        inputs: &[BorrowedFd<'_>],
        due: Instant,
    ) -> io::Result<Option<usize>> {
        self.wait(inputs, self.0.status.as_ref(), Some(due))
    }

    fn wait(
        &self,
        inputs: &[BorrowedFd<'_>],
        status: Option<&OwnedFd>,
        due: Option<Instant>,
    ) -> io::Result<Option<usize>> {
        while !self.is_requested() {
            let mut fds: Vec<_> =
                inputs.iter().map(|input| PollFd::new(input, PollFlags::IN)).collect();
            let events = [self.0.stop.descriptor.as_ref(), status];
            fds.extend(events.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)));
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            let timeout = left.map(Timespec::try_from).transpose().unwrap_or(None);
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(None),
                Ok(_) => {
                    return Ok(fds[..inputs.len()].iter().position(|fd| !fd.revents().is_empty()));
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// Tells a SIGHUP that asks for reopened files from one that says that the terminal was closed: that one
/// comes with the end of the terminal, and not some time after.
struct Hangup {
    /// Whether the process started with a terminal, and not under nohup(1), which has it live on
    /// without.
    ends_with_terminal: bool,
    /// When the terminal was closed.
    closed: Arc<OnceLock<Instant>>,
}

impl Hangup {
    /// To be made before SIGHUP is listened to.
    fn new() -> Self {
        let terminal = terminal();
        let ends_with_terminal = terminal.is_some() && !is_hangup_ignored();
        let closed = Arc::new(OnceLock::new());
        if let Some(terminal) = terminal.filter(|_| ends_with_terminal) {
            let closed = Arc::clone(&closed);
            // Without a thread, a terminal that is gone was closed just now.
            let _ = thread::Builder::new().name("terminal".into()).spawn(move || {
                // With no events asked for, what is left is the hangup.
                while poll(&mut [PollFd::new(&terminal, PollFlags::empty())], None)
                    == Err(Errno::INTR)
                {}
                closed.get_or_init(Instant::now);
            });
        }
        Self { ends_with_terminal, closed }
    }

    /// Whether the terminal that the process started with is gone, since a moment ago.
    fn is_terminal_closed(&self) -> bool {
        let is_recent = self.closed.get().is_none_or(|closed| closed.elapsed() < STUCK_AFTER);
        self.ends_with_terminal && is_recent && terminal().is_none()
    }
}

/// The controlling terminal of the process, if it has one.
fn terminal() -> Option<File> {
    File::open("/dev/tty").ok()
}

/// Whether SIGHUP was ignored before this program listened to it, by proc(5).
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & 1 << (SIGHUP - 1) != 0
}

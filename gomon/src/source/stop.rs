//! Requests to a run by signals: to stop, to log its status, to reopen its output.
//!
//! A thread receives the signals, so that no code has to be async-signal-safe:
//!
//! | signal | effect |
//! | --- | --- |
//! | SIGINT, SIGTERM, SIGQUIT, SIGALRM, SIGXCPU | requests a clean shutdown |
//! | another of these, [`STUCK_AFTER`] or more after the first | exits at once, with status 1 |
//! | SIGHUP | reopens output files; requests a shutdown if the terminal was closed |
//! | SIGUSR1 | logs the ledgers of the run and of the open window |
//! | SIGUSR2, SIGXFSZ | none: by default both would end the process with its records unwritten |
//!
//! Rust's runtime ignores SIGPIPE, so a write fails with `EPIPE` instead.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, getppid, kill_process, set_parent_process_death_signal};
use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::Signals;

/// The time after the first stop signal from which a further one ends the process, because its shutdown is stuck.
/// Earlier ones have no effect: service managers and `timeout` send several in a row, and a shutdown takes less
/// time.
const STUCK_AFTER: Duration = Duration::from_secs(2);

/// The requests to a run, which can be queried and waited for. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Requests>);

#[derive(Default)]
struct Requests {
    stop: Event,
    /// Readable while a status report is requested.
    status: Option<OwnedFd>,
    /// Called on SIGHUP.
    reopen: Hook,
    /// Called on SIGUSR1, after `status` becomes readable.
    on_status: Hook,
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").field("stop", &self.stop).finish_non_exhaustive()
    }
}

/// A function that the signal thread calls when a signal arrives.
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

/// A flag that can be polled. It has no descriptor if no signals are handled.
#[derive(Debug, Default)]
struct Event {
    raised: AtomicBool,
    descriptor: Option<OwnedFd>,
}

impl Event {
    fn new() -> io::Result<Self> {
        Ok(Self { raised: AtomicBool::new(false), descriptor: Some(event_fd()?) })
    }

    fn raise(&self) {
        // The flag is set first: a thread that the descriptor wakes must see it.
        self.raised.store(true, Ordering::Release);
        self.descriptor.as_ref().map(signal_fd);
    }

    fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }
}

/// Creates a descriptor that is readable after [`signal_fd`] until it is read.
fn event_fd() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

fn signal_fd(descriptor: &OwnedFd) {
    // This fails only if the counter is at its maximum, and then the descriptor is readable already.
    let _ = rustix::io::write(descriptor, &1u64.to_ne_bytes());
}

impl Stop {
    /// Handles signals, as in the table of this module, until the process ends.
    ///
    /// # Errors
    ///
    /// When the process is out of file descriptors or threads.
    pub fn on_signals() -> io::Result<Self> {
        let terminal = TerminalWatch::new();
        let signals = Signals::new([
            SIGINT, SIGTERM, SIGQUIT, SIGALRM, SIGXCPU, SIGHUP, SIGUSR1, SIGUSR2, SIGXFSZ,
        ])?;
        let requests =
            Requests { stop: Event::new()?, status: Some(event_fd()?), ..Default::default() };
        let stop = Self(Arc::new(requests));
        let requests = stop.clone();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || requests.handle_signals(signals, &terminal))?;
        Ok(stop)
    }

    fn handle_signals(&self, mut signals: Signals, terminal: &TerminalWatch) {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => {
                    self.0.status.as_ref().map(signal_fd);
                    self.0.on_status.call();
                }
                SIGUSR2 | SIGXFSZ => {}
                SIGHUP if !terminal.was_closed() => self.0.reopen.call(),
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

    /// Sets the function that the signal thread calls on every SIGHUP.
    pub fn on_hangup(&self, reopen: impl Fn() + Send + 'static) {
        self.0.reopen.set(reopen);
    }

    /// Sets the function that the signal thread calls when a status report is requested. It can wake a thread that does
    /// not poll the descriptors of the requests.
    pub fn on_status(&self, wake: impl Fn() + Send + 'static) {
        self.0.on_status.set(wake);
    }

    /// Makes the kernel send SIGTERM to this process when its parent exits (`PR_SET_PDEATHSIG`).
    ///
    /// # Errors
    ///
    /// When prctl(2) or kill(2) fails, which no known kernel does here.
    pub fn stop_with_parent(&self) -> io::Result<()> {
        let parent = getppid();
        set_parent_process_death_signal(Some(Signal::TERM))?;
        // The kernel sends nothing for a parent that exited before that call.
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

    /// Returns whether a status report was requested since the last call.
    #[must_use]
    pub fn take_status_request(&self) -> bool {
        self.0.status.as_ref().is_some_and(|status| rustix::io::read(status, &mut [0; 8]).is_ok())
    }

    /// Waits until `input` is readable or closed, or the stop is requested. Returns whether `input` is.
    ///
    /// # Errors
    ///
    /// When the kernel can't wait for `input`.
    pub fn wait_readable(&self, input: &impl AsFd) -> io::Result<bool> {
        Ok(self.wait(&[input.as_fd()], None)?.is_some())
    }

    /// Waits until one of `inputs` is readable, at most until `due` or until the stop is requested. Returns
    /// the index of the first readable one.
    ///
    /// # Errors
    ///
    /// When the kernel can't wait for `inputs`.
    pub fn wait_until(&self, inputs: &[BorrowedFd<'_>], due: Instant) -> io::Result<Option<usize>> {
        self.wait(inputs, Some(due))
    }

    /// Returns the descriptors that are readable after a stop was requested, and while a status report is.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let events = [self.0.stop.descriptor.as_ref(), self.0.status.as_ref()];
        events.into_iter().flatten().map(AsFd::as_fd)
    }

    fn wait(&self, inputs: &[BorrowedFd<'_>], due: Option<Instant>) -> io::Result<Option<usize>> {
        while !self.is_requested() {
            let mut fds: Vec<_> =
                inputs.iter().map(|input| PollFd::new(input, PollFlags::IN)).collect();
            fds.extend(self.0.stop.descriptor.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
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

/// Distinguishes a SIGHUP that requests to reopen files from one that the kernel sends because the terminal was
/// closed. The latter arrives immediately after the terminal is closed.
struct TerminalWatch {
    /// Whether the process started with a terminal, and not under nohup(1), which lets it outlive the terminal.
    ends_with_terminal: bool,
    /// When the terminal was closed.
    closed: Arc<OnceLock<Instant>>,
}

impl TerminalWatch {
    /// Must be called before SIGHUP is handled, because it checks whether SIGHUP is ignored.
    fn new() -> Self {
        let terminal = terminal();
        let ends_with_terminal = terminal.is_some() && !is_hangup_ignored();
        let closed = Arc::new(OnceLock::new());
        if let Some(terminal) = terminal.filter(|_| ends_with_terminal) {
            let closed = Arc::clone(&closed);
            // If no thread can be started, a missing terminal is considered as closed just now.
            let _ = thread::Builder::new().name("terminal".into()).spawn(move || {
                // Without requested events, poll(2) reports only POLLHUP and errors.
                while poll(&mut [PollFd::new(&terminal, PollFlags::empty())], None)
                    == Err(Errno::INTR)
                {}
                closed.get_or_init(Instant::now);
            });
        }
        Self { ends_with_terminal, closed }
    }

    /// Whether the terminal that the process started with was closed less than [`STUCK_AFTER`] ago.
    fn was_closed(&self) -> bool {
        let is_recent = self.closed.get().is_none_or(|closed| closed.elapsed() < STUCK_AFTER);
        self.ends_with_terminal && is_recent && terminal().is_none()
    }
}

/// Opens the controlling terminal of the process, if it has one.
fn terminal() -> Option<File> {
    File::open("/dev/tty").ok()
}

/// Whether SIGHUP was ignored when the process started (`SigIgn` in `/proc/self/status`, see proc(5)).
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & 1 << (SIGHUP - 1) != 0
}

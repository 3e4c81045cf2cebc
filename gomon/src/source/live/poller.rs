//! The descriptors of all counters, in one epoll instance: a wake-up costs the same for a thousand counters as for one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

/// The most events taken at once.
const BATCH: usize = 256;
/// A time of zero.
const ZERO: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// The token of the timer, which is not reported.
const TIMER: u64 = u64::MAX;

/// An epoll instance, and a timer. Each descriptor has a token, which several may share.
///
/// The instance itself must not be polled: that would consume the readiness of perf buffers, which is signalled once
/// (`perf_poll` in the kernel's `events/core.c`).
pub(super) struct Poller {
    epoll: OwnedFd,
    /// Times out with the precision of nanoseconds; epoll has milliseconds.
    timer: OwnedFd,
    /// The time that the timer is set to.
    timer_set_to: Option<u64>,
}

impl Poller {
    /// Creates an instance without descriptors.
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let poller = Self { epoll, timer, timer_set_to: None };
        poller.add(&poller.timer, TIMER)?;
        Ok(poller)
    }

    /// Adds a descriptor that is reported for as long as it is readable. Closing it removes it.
    pub(super) fn add(&self, descriptor: &impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, descriptor, EventData::new_u64(token), EventFlags::IN)?)
    }

    /// Reports a descriptor the next time that it is readable, once. Adds it if necessary. Closing it removes it.
    pub(super) fn arm(&self, descriptor: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let (data, flags) = (EventData::new_u64(token), EventFlags::IN | EventFlags::ONESHOT);
        match epoll::modify(&self.epoll, descriptor, data, flags) {
            Err(Errno::NOENT) => Ok(epoll::add(&self.epoll, descriptor, data, flags)?),
            result => Ok(result?),
        }
    }

    /// Waits until a descriptor is readable, at most until `due`, in nanoseconds on the monotonic clock; does not wait
    /// without a `due` time. Returns the tokens of readable descriptors.
    pub(super) fn wait(&mut self, due: Option<u64>) -> io::Result<Vec<u64>> {
        if let Some(due) = due.filter(|due| self.timer_set_to != Some(*due)) {
            let time = Timespec {
                tv_sec: i64::try_from(due / 1_000_000_000).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(due % 1_000_000_000).unwrap_or(0),
            };
            let time = Itimerspec { it_interval: ZERO, it_value: time };
            // This also clears an expiry, so that the timer is not readable.
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &time)?;
            self.timer_set_to = Some(due);
        }
        let mut events = Vec::<Event>::with_capacity(BATCH);
        let timeout = due.is_none().then_some(&ZERO);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let tokens = events.iter().map(|event| event.data.u64());
        Ok(tokens.filter(|token| *token != TIMER).collect())
    }
}

/// Wakes a thread that waits for the event of a [`LiveSet`](super::LiveSet). Clones wake the same thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Creates an eventfd(2).
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// Wakes the thread, or makes its next wait return.
    pub fn wake(&self) {
        // This fails only if the counter is at its maximum, and then the descriptor is readable already.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    /// Takes the wake-ups so far.
    pub(super) fn take(&self) {
        let _ = rustix::io::read(&*self.0, &mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

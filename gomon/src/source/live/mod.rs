//! Live: the kernel counts, and once a pane the counts are fetched. Where it can't, libpcap brings up
//! the frames, and they are counted here.

mod attach;
mod capture;
mod clock;
mod clsact;
mod flow_cache;
pub mod interface;
mod kernel;
mod link;
mod object;
mod packets;
mod pending_replies;
mod refusal;
mod release;
mod reorder;
mod rights;
mod senders;

use std::fmt;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub use attach::{AttachMode, FALLBACK_ORDER, load};
pub use capture::listen;
pub use kernel::{CounterConfig, KernelCounter};

use self::attach::Attached;
use self::capture::PcapCounter;
use self::clock::MonotonicClock;
use self::clsact::Claim;
use self::link::{Links, WakeReason};
use super::{PaneSink, Stop};
use crate::core::{Ledger, Span, WindowCounts, seconds};

/// The shortest pane of an interface: turning the page waits for every processor once.
pub const SHORTEST_PANE: Duration = Duration::from_millis(100);
/// The most destinations counted each on its own; the kernel sets aside 300 bytes for each.
pub const MAX_DESTINATIONS: usize = 1_000_000;

/// A bot that is being counted.
pub struct Live {
    interface: String,
    counter: Counter,
    /// Dropped after the filters they are for.
    _claims: Vec<Claim>,
    links: Links,
    mode: AttachMode,
    clock: MonotonicClock,
}

/// What counts the open pane.
enum Counter {
    /// A program in the kernel.
    Kernel(Box<KernelCounter>),
    /// This process, frame by frame.
    Capture(Box<PcapCounter>),
}

impl Counter {
    /// What becomes readable when there is something to read before the pane is over.
    fn wakes(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Kernel(kernel) => kernel.wakes(),
            Self::Capture(capture) => capture.wakes(),
        }
    }

    /// How often to read although nothing has become readable.
    fn tick(&self) -> Option<Duration> {
        match self {
            Self::Kernel(kernel) => kernel.tick(),
            Self::Capture(capture) => capture.tick(),
        }
    }

    /// Reads what there is, or as much of it as takes no time to speak of.
    fn read(&mut self, clock: &MonotonicClock, receiver: &mut impl PaneSink) -> Result<()> {
        match self {
            Self::Kernel(kernel) => {
                kernel.read(clock, receiver);
                Ok(())
            }
            Self::Capture(capture) => capture.read(receiver),
        }
    }

    /// The ledger of the open pane, as far as it is.
    fn open_ledger(&self) -> Result<Ledger> {
        match self {
            Self::Kernel(kernel) => kernel.open_ledger(),
            Self::Capture(capture) => Ok(capture.open_ledger()),
        }
    }

    /// Learns when the first pane is to end, in nanoseconds on the monotonic clock.
    fn first_pane(&mut self, end: u64) -> Result<()> {
        match self {
            Self::Kernel(kernel) => kernel.first_pane(end),
            Self::Capture(_) => Ok(()),
        }
    }

    /// Moves the times of what was read of the open pane, or waits for answers in it, by so many
    /// nanoseconds.
    fn clock_set(&mut self, by: i64) {
        match self {
            Self::Kernel(kernel) => kernel.clock_set(by),
            Self::Capture(capture) => capture.clock_set(by),
        }
    }

    /// Closes the open pane, which covers `span`, and opens the next, which is to end at `end`.
    fn close_pane(
        &mut self,
        span: Span,
        end: u64,
        clock: &MonotonicClock,
        receiver: &mut impl PaneSink,
    ) -> Result<WindowCounts> {
        match self {
            Self::Kernel(kernel) => kernel.close_pane(span, end, clock, receiver),
            Self::Capture(capture) => Ok(capture.close_pane(span, receiver)),
        }
    }
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.mode, self.interface)
    }
}

impl Live {
    /// Attaches to `interface` by the first of `modes` that works, and starts to count what `config`
    /// selects, in the kernel or in user space.
    ///
    /// # Errors
    ///
    /// When nothing can be attached, with the reasons.
    pub fn attach(interface: &str, modes: &[AttachMode], config: &CounterConfig) -> Result<Self> {
        let links = Links::watch(interface).context("watching the interface")?;
        let Attached { mode, counter, claims } = attach::attach(interface, modes, config)?;
        let clock = MonotonicClock::start();
        let interface = interface.to_owned();
        Ok(Self { interface, counter, _claims: claims, links, mode, clock })
    }

    /// Hands on a pane every `pane` until the stop is requested or the interface goes. The last,
    /// partial pane is handed on in each case.
    ///
    /// # Errors
    ///
    /// When the kernel's counts can't be fetched, or libpcap can't read.
    pub fn run(mut self, pane: Duration, stop: &Stop, receiver: &mut impl PaneSink) -> Result<()> {
        // A pane is a year at most, and this lasts for five centuries.
        let length = u64::try_from(pane.as_nanos()).unwrap_or(u64::MAX).max(1);
        let end_of = |number: u64| length.saturating_mul(number + 1);
        let mut number = 0;
        let mut outcome = Ok(());
        self.counter.first_pane(self.clock.monotonic_at(end_of(number)))?;
        loop {
            let due = end_of(number);
            let woken = self.wait(due, stop, receiver, &mut outcome)?;
            let clock = self.clock;
            let elapsed = clock.elapsed();
            let next = (elapsed / length).max(number + 1);
            // A pane that could not be closed in time, on a machine that slept for one, comes out
            // longer, and its rates are those of its real length.
            let late = elapsed.saturating_sub(due) > length / 100;
            let end = clock.at(if late { elapsed } else { due });
            let span = Span { start: clock.at(length.saturating_mul(number)), end };
            let next_end = clock.monotonic_at(end_of(next));
            let counts = self.counter.close_pane(span, next_end, &clock, receiver)?;
            if receiver.pane(counts).is_break() || woken != WakeReason::Due {
                if woken == WakeReason::Gone {
                    log::info!("interface {} is gone", self.interface);
                }
                return outcome;
            }
            number = next;
            if let Some(by) = self.clock.follow_wall()
                && self.clock_set(by, receiver).is_break()
            {
                return outcome;
            }
        }
    }

    /// Times are later by so many nanoseconds from the open pane on.
    fn clock_set(&mut self, by: i64, receiver: &mut impl PaneSink) -> ControlFlow<()> {
        log::warn!(
            "the clock of this machine was set: it is {:.1} s {} where windows had it, and they follow it \
             from here on",
            seconds(by).abs(),
            if by < 0 { "behind" } else { "ahead of" }
        );
        self.counter.clock_set(by);
        receiver.clock_set(by)
    }

    /// Waits until so many nanoseconds after the start, or for something that happens before. What
    /// there is to read meanwhile is read; when that fails, the wait ends, and `outcome` says why.
    fn wait(
        &mut self,
        due: u64,
        stop: &Stop,
        receiver: &mut impl PaneSink,
        outcome: &mut Result<()>,
    ) -> Result<WakeReason> {
        let end = self.clock.instant(due);
        loop {
            let tick = self.counter.tick().map_or(end, |tick| end.min(Instant::now() + tick));
            match self.links.wait(self.counter.wakes(), tick, stop)? {
                WakeReason::Due if Instant::now() >= end => return Ok(WakeReason::Due),
                WakeReason::Due | WakeReason::Readable => {
                    *outcome = self.counter.read(&self.clock, receiver);
                }
                WakeReason::Status => match self.counter.open_ledger() {
                    Ok(open) => receiver.status(&open),
                    Err(error) => log::warn!("reading the counts of the open window: {error:#}"),
                },
                woken @ (WakeReason::Stopped | WakeReason::Gone) => return Ok(woken),
            }
            if outcome.is_err() {
                return Ok(WakeReason::Stopped);
            }
        }
    }
}

//! Live counting on an interface: the kernel counts, and the counts are fetched at the end of each pane.
//! If the kernel cannot count, libpcap captures the frames and this process counts them.

mod attach;
mod attach_error;
mod capabilities;
mod capture;
mod clock;
mod clsact;
mod config;
mod count_maps;
mod counter;
mod flow_cache;
pub mod interface;
mod kernel;
mod link;
mod mode;
mod object;
mod packets;
mod pending_replies;
mod release;
mod reorder;
mod senders;
mod socket_filter;
mod values;

use std::fmt;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub use attach::load_with_retry;
pub use capture::listen;
pub use clock::MonotonicClock;
pub use config::CounterConfig;
pub use kernel::KernelCounter;
pub use mode::{AttachMode, FALLBACK_ORDER};

use self::attach::Attached;
use self::clsact::LivenessSocket;
use self::counter::Counter;
use self::link::{LinkMonitor, WakeReason};
use super::{PaneSink, Stop};
use crate::core::{Span, seconds};

/// The shortest pane of an interface. Swapping generations takes an RCU grace period, for which every CPU
/// has to pass through a quiescent state.
pub const SHORTEST_PANE: Duration = Duration::from_millis(100);
/// The maximum number of listed destinations. The kernel preallocates 300 bytes for each.
pub const MAX_DESTINATIONS: usize = 1_000_000;

/// A counter attached to an interface.
pub struct Live {
    interface: String,
    counter: Counter,
    /// Dropped after the counter, whose filters they mark as in use.
    _liveness: Vec<LivenessSocket>,
    link_monitor: LinkMonitor,
    mode: AttachMode,
    clock: MonotonicClock,
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.mode, self.interface)
    }
}

impl Live {
    /// Attaches to `interface` in the first of `modes` that works, and starts to count what `config`
    /// selects.
    ///
    /// # Errors
    ///
    /// When no mode works, with the reason of each.
    pub fn attach(interface: &str, modes: &[AttachMode], config: &CounterConfig) -> Result<Self> {
        let link_monitor = LinkMonitor::start(interface).context("watching the interface")?;
        let Attached { mode, counter, liveness } = attach::attach(interface, modes, config)?;
        let clock = MonotonicClock::start();
        let interface = interface.to_owned();
        Ok(Self { interface, counter, _liveness: liveness, link_monitor, mode, clock })
    }

    /// Returns the mode in which it is attached.
    #[must_use]
    pub fn mode(&self) -> AttachMode {
        self.mode
    }

    /// Passes a pane to `sink` at the end of each interval of length `pane`, until a stop is requested or
    /// the interface is removed. The last, partial pane is passed on in either case.
    ///
    /// # Errors
    ///
    /// When the kernel's counts cannot be read, or libpcap cannot read.
    pub fn run(mut self, pane: Duration, stop: &Stop, sink: &mut impl PaneSink) -> Result<()> {
        // A pane is at most a year long, and a `u64` of nanoseconds lasts for five centuries.
        let length = u64::try_from(pane.as_nanos()).unwrap_or(u64::MAX).max(1);
        let end_of = |number: u64| length.saturating_mul(number + 1);
        let mut number = 0;
        let mut outcome = Ok(());
        self.counter.start_first_pane(self.clock.monotonic_at(end_of(number)))?;
        loop {
            let due = end_of(number);
            let woken = self.wait(due, stop, sink, &mut outcome)?;
            let clock = self.clock;
            let elapsed = clock.elapsed();
            let next = (elapsed / length).max(number + 1);
            // A pane that could not be closed in time, for example because the machine was suspended,
            // covers its real length, so that its rates are correct.
            let is_late = elapsed.saturating_sub(due) > length / 100;
            let end = clock.wall_at(if is_late { elapsed } else { due });
            let span = Span { start: clock.wall_at(length.saturating_mul(number)), end };
            let next_end = clock.monotonic_at(end_of(next));
            self.counter.swap(next_end)?;
            if self.counter.counts_in_kernel() {
                self.counter.wait_for_programs()?;
            }
            let counts = self.counter.drain(span, &clock, sink)?;
            if sink.pane(counts).is_break() || woken != WakeReason::Due {
                if woken == WakeReason::InterfaceRemoved {
                    log::info!("interface {} was removed", self.interface);
                }
                return outcome;
            }
            number = next;
            if let Some(by) = self.clock.follow_wall_clock()
                && self.shift_times(by, sink).is_break()
            {
                return outcome;
            }
        }
    }

    /// Makes times later by this many nanoseconds, starting with the open pane.
    fn shift_times(&mut self, by: i64, sink: &mut impl PaneSink) -> ControlFlow<()> {
        log::warn!(
            "the wall clock was set: it is {:.1} s {} the time of the windows, which follow it from now on",
            seconds(by).abs(),
            if by < 0 { "behind" } else { "ahead of" }
        );
        self.counter.shift_times(by);
        sink.clock_set(by)
    }

    /// Waits until `due`, in nanoseconds after the start, or an earlier event that ends the pane. Reads
    /// the counter meanwhile. If that fails, the wait ends as if a stop were requested, and `outcome` has
    /// the error.
    fn wait(
        &mut self,
        due: u64,
        stop: &Stop,
        sink: &mut impl PaneSink,
        outcome: &mut Result<()>,
    ) -> Result<WakeReason> {
        let end = self.clock.instant_at(due);
        loop {
            let interval = self.counter.poll_interval();
            let due = interval.map_or(end, |interval| end.min(Instant::now() + interval));
            match self.link_monitor.wait(self.counter.poll_fds(), due, stop)? {
                WakeReason::Due if Instant::now() >= end => return Ok(WakeReason::Due),
                WakeReason::Due | WakeReason::Readable => {
                    *outcome = self.counter.read(&self.clock, sink);
                }
                WakeReason::StatusRequested => match self.counter.open_ledger() {
                    Ok(open) => sink.status(&open),
                    Err(error) => log::warn!("reading the counts of the open window: {error:#}"),
                },
                woken @ (WakeReason::Stopped | WakeReason::InterfaceRemoved) => return Ok(woken),
            }
            if outcome.is_err() {
                return Ok(WakeReason::Stopped);
            }
        }
    }
}

//! Live: the kernel counts, and once a pane the counts are fetched.

mod attach;
mod clock;
pub mod interface;
mod kernel;
mod link;
mod object;
mod packets;

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};

pub use attach::{LADDER, Rung};
pub use kernel::{Kernel, Selected};

use self::clock::Clock;
use self::link::{Links, Woken};
use super::{Receiver, Stop};
use crate::core::Span;

/// The shortest pane of an interface: turning the page waits for every processor once.
pub const SHORTEST_PANE: Duration = Duration::from_millis(100);
/// The most destinations counted each on its own; the kernel sets aside 300 bytes for each.
pub const MAX_DESTINATIONS: usize = 1_000_000;

/// A bot that is being counted.
pub struct Live {
    interface: String,
    kernel: Kernel,
    links: Links,
    rung: Rung,
    clock: Clock,
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.rung, self.interface)
    }
}

impl Live {
    /// Attaches to `interface` by the first of `rungs` that works. Counting starts here.
    ///
    /// # Errors
    ///
    /// When nothing can be attached, with the kernel's reason.
    pub fn attach(interface: &str, rungs: &[Rung], selected: &Selected) -> Result<Self> {
        attach::inspect(interface)?;
        let links = Links::watch(interface).context("watching the interface")?;
        let mut kernel =
            Kernel::new(selected).map_err(|error| attach::explain(error, interface, None))?;
        let rung = attach::attach(&mut kernel, interface, rungs)?;
        if selected.packets > 0 {
            attach::answers(&mut kernel, interface);
        }
        let clock = Clock::start();
        Ok(Self { interface: interface.to_owned(), kernel, links, rung, clock })
    }

    /// Hands on a pane every `pane` until the stop is requested or the interface goes. The last,
    /// partial pane is handed on in each case.
    ///
    /// # Errors
    ///
    /// When the kernel's counts can't be fetched.
    pub fn run(mut self, pane: Duration, stop: &Stop, receiver: &mut impl Receiver) -> Result<()> {
        // A pane is a year at most, and this lasts for five centuries.
        let length = u64::try_from(pane.as_nanos()).unwrap_or(u64::MAX).max(1);
        let clock = self.clock;
        let end_of = |number: u64| length.saturating_mul(number + 1);
        let mut number = 0;
        self.kernel.first_pane(clock.monotonic_at(end_of(number)))?;
        loop {
            let due = end_of(number);
            let woken = self.wait(due, stop, receiver)?;
            let elapsed = clock.elapsed();
            let next = (elapsed / length).max(number + 1);
            // A pane that could not be closed in time, on a machine that slept for one, comes out
            // longer, and its rates are those of its real length.
            let late = elapsed.saturating_sub(due) > length / 100;
            let end = clock.at(if late { elapsed } else { due });
            let span = Span { start: clock.at(length.saturating_mul(number)), end };
            let next_end = clock.monotonic_at(end_of(next));
            let counts = self.kernel.close_pane(span, next_end, &clock, receiver)?;
            if receiver.pane(counts).is_break() || woken != Woken::Due {
                if woken == Woken::Gone {
                    log::info!("interface {} is gone", self.interface);
                }
                return Ok(());
            }
            number = next;
        }
    }

    /// Waits until so many nanoseconds after the start, or for something that happens before. What the
    /// kernel has to hand on meanwhile is handed on.
    fn wait(&mut self, due: u64, stop: &Stop, receiver: &mut impl Receiver) -> Result<Woken> {
        let due = self.clock.instant(due);
        let Some(tick) = self.kernel.tick() else { return Ok(self.links.wait(due, stop)?) };
        loop {
            let wake = due.min(std::time::Instant::now() + tick);
            let woken = self.links.wait(wake, stop)?;
            self.kernel.read(&self.clock, receiver);
            if woken != Woken::Due || wake == due {
                return Ok(woken);
            }
        }
    }
}

//! Live: the kernel counts, and once a pane the counts are fetched.

mod attach;
pub mod interface;
mod kernel;
mod link;
mod object;

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

pub use attach::{LADDER, Rung};
pub use kernel::{Kernel, Selected};

use self::link::{Links, Woken};
use super::{Receiver, Stop};
use crate::core::{Span, Timestamp};

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
    /// The moment of attach, on the clock of the wall and on the one that never jumps.
    start: (Timestamp, Instant),
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
        let start = (now(), Instant::now());
        Ok(Self { interface: interface.to_owned(), kernel, links, rung, start })
    }

    /// Hands on a pane every `pane` until the stop is requested or the interface goes. The last,
    /// partial pane is handed on in each case.
    ///
    /// # Errors
    ///
    /// When the kernel's counts can't be fetched.
    pub fn run(mut self, pane: Duration, stop: &Stop, receiver: &mut impl Receiver) -> Result<()> {
        // A pane is a year at most, and this lasts for five centuries.
        let length = u64::try_from(pane.as_nanos()).unwrap_or(u64::MAX);
        let (start, begun) = self.start;
        let mut number = 0;
        loop {
            let due = length.saturating_mul(number + 1);
            let woken = self.links.wait(begun + Duration::from_nanos(due), stop)?;
            let elapsed = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let next = (elapsed / length.max(1)).max(number + 1);
            let at = |nanoseconds: u64| start.after(i64::try_from(nanoseconds).unwrap_or(i64::MAX));
            // A pane that could not be closed in time, on a machine that slept for one, comes out
            // longer, and its rates are those of its real length.
            let late = elapsed.saturating_sub(due) > length / 100;
            let end = at(if late { elapsed } else { due });
            let counts =
                self.kernel.take(Span { start: at(length.saturating_mul(number)), end })?;
            if receiver.pane(counts).is_break() || woken != Woken::Due {
                if woken == Woken::Gone {
                    log::info!("interface {} is gone", self.interface);
                }
                return Ok(());
            }
            number = next;
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::saturating(i128::try_from(since.as_nanos()).unwrap_or(i128::MAX))
}

//! Live: the kernel counts, and once a pane the counts are fetched. Where it can't, libpcap brings up
//! the frames, and they are counted here.

mod attach;
mod capture;
mod clsact;
pub mod interface;
mod kernel;
mod link;
mod object;
mod order;
mod refusal;
mod release;
mod rights;

use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub use attach::{LADDER, Rung};
pub use kernel::{Kernel, Selected};

use self::attach::{Attached, Wanted};
use self::capture::{Capture, now};
use self::clsact::Claim;
use self::link::{Links, Woken};
use super::{Receiver, Stop};
use crate::core::{Span, Tally, Timestamp, WindowCounts};

/// The shortest pane of an interface: turning the page waits for every processor once.
pub const SHORTEST_PANE: Duration = Duration::from_millis(100);
/// The most destinations counted each on its own; the kernel sets aside 300 bytes for each.
pub const MAX_DESTINATIONS: usize = 1_000_000;

/// A bot that is being counted.
pub struct Live {
    interface: String,
    counter: Counter,
    /// Dropped after the filter it is for.
    _claim: Option<Claim>,
    links: Links,
    rung: Rung,
    /// The moment of attach, on the clock of the wall and on the one that never jumps.
    start: (Timestamp, Instant),
}

/// What counts the open pane.
enum Counter {
    /// A program in the kernel.
    Kernel(Box<Kernel>),
    /// This process, frame by frame.
    Capture(Box<Capture>),
}

impl Counter {
    /// What becomes readable when there is something to read before the pane is over.
    fn wakes(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Kernel(_) => Vec::new(),
            Self::Capture(capture) => capture.wakes(),
        }
    }

    /// How often to read although nothing has become readable.
    fn tick(&self) -> Option<Duration> {
        match self {
            Self::Kernel(_) => None,
            Self::Capture(capture) => capture.tick(),
        }
    }

    /// Reads what there is, or as much of it as takes no time to speak of.
    fn read(&mut self, receiver: &mut impl Receiver) -> Result<()> {
        match self {
            Self::Kernel(_) => Ok(()),
            Self::Capture(capture) => capture.read(receiver),
        }
    }

    /// Closes the open pane, which covers `span`, and opens the next.
    fn close_pane(&mut self, span: Span, receiver: &mut impl Receiver) -> Result<WindowCounts> {
        match self {
            Self::Kernel(kernel) => kernel.take(span),
            Self::Capture(capture) => Ok(capture.close_pane(span, receiver)),
        }
    }
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.rung, self.interface)
    }
}

impl Live {
    /// Attaches to `interface` by the first of `rungs` that works. Counting starts here: what is
    /// `selected`, or where the kernel does not count, with `tally`, which is to select the same. With
    /// `packets` the packets are captured too, in both directions.
    ///
    /// # Errors
    ///
    /// When nothing can be attached, with the reasons.
    pub fn attach(
        interface: &str,
        rungs: &[Rung],
        selected: &Selected,
        tally: Tally,
        packets: bool,
    ) -> Result<Self> {
        let links = Links::watch(interface).context("watching the interface")?;
        let wanted = Wanted { selected, tally, packets };
        let Attached { rung, counter, claim } = attach::attach(interface, rungs, wanted)?;
        let start = (now(), Instant::now());
        let interface = interface.to_owned();
        Ok(Self { interface, counter, _claim: claim, links, rung, start })
    }

    /// Hands on a pane every `pane` until the stop is requested or the interface goes. The last,
    /// partial pane is handed on in each case.
    ///
    /// # Errors
    ///
    /// When the kernel's counts can't be fetched, or libpcap can't read.
    pub fn run(mut self, pane: Duration, stop: &Stop, receiver: &mut impl Receiver) -> Result<()> {
        // A pane is a year at most, and this lasts for five centuries.
        let length = u64::try_from(pane.as_nanos()).unwrap_or(u64::MAX);
        let (start, begun) = self.start;
        let mut number = 0;
        let mut outcome = Ok(());
        loop {
            let due = length.saturating_mul(number + 1);
            let woken = loop {
                let end = begun + Duration::from_nanos(due);
                let tick = self.counter.tick().map_or(end, |tick| end.min(Instant::now() + tick));
                match self.links.wait(self.counter.wakes(), tick, stop)? {
                    Woken::Due if Instant::now() >= end => break Woken::Due,
                    Woken::Due | Woken::Readable => outcome = self.counter.read(receiver),
                    woken @ (Woken::Stopped | Woken::Gone) => break woken,
                }
                if outcome.is_err() {
                    break Woken::Stopped;
                }
            };
            let elapsed = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let next = (elapsed / length.max(1)).max(number + 1);
            let at = |nanoseconds: u64| start.after(i64::try_from(nanoseconds).unwrap_or(i64::MAX));
            // A pane that could not be closed in time, on a machine that slept for one, comes out
            // longer, and its rates are those of its real length.
            let late = elapsed.saturating_sub(due) > length / 100;
            let end = at(if late { elapsed } else { due });
            let span = Span { start: at(length.saturating_mul(number)), end };
            let counts = self.counter.close_pane(span, receiver)?;
            if receiver.pane(counts).is_break() || woken != Woken::Due {
                if woken == Woken::Gone {
                    log::info!("interface {} is gone", self.interface);
                }
                return outcome;
            }
            number = next;
        }
    }
}

//! The counter of an interface: in the kernel or in user space.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::Result;

use super::capture::{self, PcapCounter};
use super::clock::MonotonicClock;
use super::kernel::KernelCounter;
use crate::core::{Ledger, Span, WindowCounts};
use crate::source::PaneSink;

/// Counts the open pane.
pub(super) enum Counter {
    /// eBPF programs count.
    Kernel(Box<KernelCounter>),
    /// This process counts the frames that libpcap captures.
    Pcap(Box<PcapCounter>),
}

impl Counter {
    /// Returns the descriptors to poll: one is readable when [`Counter::read`] has to be called. The packets that
    /// programs send are read for all counters together.
    pub(super) fn poll_fds(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Kernel(_) => Vec::new(),
            Self::Pcap(capture) => capture.poll_fds(),
        }
    }

    /// Returns the interval at which to call [`Counter::read`] even if no descriptor is readable.
    pub(super) fn poll_interval(&self) -> Option<Duration> {
        match self {
            Self::Kernel(_) => None,
            Self::Pcap(capture) => capture.poll_interval(),
        }
    }

    /// Reads what is available, or passes on what was read for all counters, but returns after a bounded amount of
    /// work.
    pub(super) fn read(&mut self, sink: &mut impl PaneSink) -> Result<()> {
        match self {
            Self::Kernel(kernel) => kernel.release_packets(sink),
            Self::Pcap(capture) => capture.read(sink),
        }
    }

    /// Returns the ledger of the open pane so far.
    pub(super) fn open_ledger(&self) -> Result<Ledger> {
        match self {
            Self::Kernel(kernel) => kernel.open_ledger(),
            Self::Pcap(capture) => Ok(capture.open_ledger()),
        }
    }

    /// Sets the end of the first pane, in nanoseconds on the monotonic clock.
    pub(super) fn start_first_pane(&mut self, end: u64, clock: &MonotonicClock) -> Result<()> {
        match self {
            Self::Kernel(kernel) => kernel.start_first_pane(end, clock),
            Self::Pcap(_) => Ok(()),
        }
    }

    /// Shifts the times of buffered packets and of unanswered contacts by this many nanoseconds.
    pub(super) fn shift_times(&mut self, by: i64) {
        match self {
            Self::Kernel(kernel) => kernel.shift_times(by),
            Self::Pcap(capture) => capture.shift_times(by),
        }
    }

    /// Closes the open pane, and opens the next, which ends at `next_end`, in nanoseconds on the monotonic clock.
    ///
    /// A pane is closed in three phases, so that one wait serves all counters whose panes end at the same time: this
    /// one, [`Counter::wait_for_programs`] of any counter that [counts in the kernel](Counter::counts_in_kernel) or
    /// [`Counter::settle`] of one that does not, and [`Counter::drain`]. [`Counter::read`] may not be called between
    /// the first and the last.
    pub(super) fn swap(&mut self, next_end: u64) -> Result<()> {
        match self {
            Self::Kernel(kernel) => kernel.swap(next_end),
            Self::Pcap(capture) => {
                capture.swap();
                Ok(())
            }
        }
    }

    /// Whether the kernel counts, so that [`Counter::wait_for_programs`] must return before [`Counter::drain`].
    pub(super) fn counts_in_kernel(&self) -> bool {
        matches!(self, Self::Kernel(_))
    }

    /// Waits until no program counts in a pane that was closed before this call, of any counter.
    pub(super) fn wait_for_programs(&mut self) -> Result<()> {
        match self {
            Self::Kernel(kernel) => kernel.wait_for_programs(),
            Self::Pcap(_) => Ok(()),
        }
    }

    /// Returns the time after [`Counter::swap`] by which the last packets of the closed pane have arrived.
    pub(super) fn latency(&self) -> Duration {
        match self {
            Self::Kernel(_) => Duration::ZERO,
            Self::Pcap(_) => capture::CAPTURE_LATENCY,
        }
    }

    /// Receives packets of the closed pane. Returns whether these are all, so that [`Counter::drain`] may be called.
    pub(super) fn settle(&mut self, sink: &mut impl PaneSink) -> bool {
        match self {
            Self::Kernel(_) => true,
            Self::Pcap(capture) => capture.settle(sink),
        }
    }

    /// Returns the counts of the closed pane, which covers `span`. Passes the remaining packets of the pane to `sink`.
    pub(super) fn drain(
        &mut self,
        span: Span,
        clock: &MonotonicClock,
        sink: &mut impl PaneSink,
    ) -> Result<WindowCounts> {
        match self {
            Self::Kernel(kernel) => kernel.drain(span, clock, sink),
            Self::Pcap(capture) => Ok(capture.drain(span, sink)),
        }
    }
}

//! The map entry of a listed destination, which is an endpoint or a host.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use gomon_common::kernel::DestinationValue;

/// A pointer to an entry that other CPUs update concurrently. User space removes the entry only after all
/// programs that use its generation have finished.
pub(crate) struct CounterEntry(*mut DestinationValue);

impl CounterEntry {
    /// Returns the entry at the start of a map value.
    #[inline(always)]
    pub(crate) fn new<const N: usize>(value: *mut [u64; N]) -> Self {
        const { assert!(N >= 3) };
        Self(value.cast())
    }

    /// Adds one packet.
    #[inline(always)]
    pub(crate) fn add(&self, length: u64) {
        // SAFETY: the entry is in a live map value. Map values are aligned to eight bytes, and all
        // concurrent accesses to the counters are atomic.
        unsafe {
            let counters = &raw mut (*self.0).counters;
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*counters).packets, 1);
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(
                &raw mut (*counters).bytes,
                length,
            );
        }
    }

    /// Returns the number of the destination's packets sent to user space in this rate-limit interval. If
    /// two CPUs start an interval at the same time, one packet may go uncounted.
    #[inline(always)]
    pub(crate) fn sent_in_interval(&self, interval: u32) -> u32 {
        // SAFETY: the entry is in a live map value. Aligned four-byte words are read and written
        // atomically.
        unsafe {
            if (*self.0).interval != interval {
                (*self.0).interval = interval;
                (*self.0).sent = 0;
            }
            (*self.0).sent
        }
    }

    /// Counts a packet as sent to user space.
    #[inline(always)]
    pub(crate) fn record_sent(&self) {
        // SAFETY: as above, with an atomic addition.
        unsafe {
            atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(&raw mut (*self.0).sent, 1);
        }
    }
}

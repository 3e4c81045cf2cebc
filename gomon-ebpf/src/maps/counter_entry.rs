//! A destination that has an entry of its own: an endpoint or a host.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use gomon_common::kernel::DestinationValue;

/// The entry, which other CPUs add to as well. It is removed only when no program is left that counts
/// into its generation.
pub(crate) struct CounterEntry(*mut DestinationValue);

impl CounterEntry {
    /// The entry that the value of a map begins with.
    #[inline(always)]
    pub(crate) fn new<const N: usize>(value: *mut [u64; N]) -> Self {
        const { assert!(N >= 3) };
        Self(value.cast())
    }

    /// Adds one packet.
    #[inline(always)]
    pub(crate) fn add(&self, length: u64) {
        // SAFETY: the entry is a live value of a map; those are aligned to eight bytes, and everybody
        // who touches its counts at the same time does so atomically.
        unsafe {
            let counters = &raw mut (*self.0).counters;
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*counters).packets, 1);
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(
                &raw mut (*counters).bytes,
                length,
            );
        }
    }

    /// Packets of the destination that were sent up in this slot. Where two CPUs begin one at the same
    /// time, a packet of it more may be.
    #[inline(always)]
    pub(crate) fn sent_in(&self, slot: u32) -> u32 {
        // SAFETY: the entry is a live value of a map; numbers of four bytes are read and written whole.
        unsafe {
            if (*self.0).slot != slot {
                (*self.0).slot = slot;
                (*self.0).sent = 0;
            }
            (*self.0).sent
        }
    }

    /// Enters a packet that is sent up.
    #[inline(always)]
    pub(crate) fn record_sent(&self) {
        // SAFETY: as above, and atomically.
        unsafe {
            atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(&raw mut (*self.0).sent, 1);
        }
    }
}

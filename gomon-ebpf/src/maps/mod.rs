//! One map a file, and what can be done with it.

pub(crate) mod current;
pub(crate) mod endpoints;
pub(crate) mod hosts;
pub(crate) mod ignored;
pub(crate) mod ledger;
pub(crate) mod packets;
pub(crate) mod registers;
pub(crate) mod sources;

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use gomon_common::kernel::Counted;

/// Adds one packet to counts that other CPUs add to as well.
///
/// # Safety
///
/// `counted` points to a live value of a map.
#[inline(always)]
unsafe fn add(counted: *mut Counted, length: u64) {
    // SAFETY: as the caller promises; values of maps are aligned to eight bytes, and everybody who
    // touches one at the same time does so atomically.
    unsafe {
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*counted).packets, 1);
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*counted).bytes, length);
    }
}

/// Adds one to a number that other CPUs add to as well.
///
/// # Safety
///
/// `number` points into a live value of a map.
#[inline(always)]
unsafe fn increment(number: *mut u32) {
    // SAFETY: as the caller promises; see `add`.
    unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(number, 1) };
}

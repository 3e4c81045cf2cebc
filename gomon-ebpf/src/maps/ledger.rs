//! What became of every frame, on each CPU.

use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::macros::btf_map;
use gomon_common::kernel::{Entry, GENERATIONS, LedgerPage};

#[btf_map]
static LEDGER: PerCpuArray<LedgerPage, { GENERATIONS as usize }> = PerCpuArray::new();

/// The page of one generation on this CPU.
pub(crate) struct Page(*mut LedgerPage);

impl Page {
    #[inline(always)]
    pub(crate) fn of(generation: u32) -> Option<Self> {
        LEDGER.get_ptr_mut(generation).map(Self)
    }

    /// Enters one frame.
    #[inline(always)]
    pub(crate) fn enter(&self, entry: Entry) {
        self.add(entry, 1);
    }

    /// Whether something was entered under `entry`.
    #[inline(always)]
    pub(crate) fn has(&self, entry: Entry) -> bool {
        // SAFETY: as below.
        unsafe { (*self.0)[entry as usize] != 0 }
    }

    #[inline(always)]
    pub(crate) fn add(&self, entry: Entry, number: u64) {
        // SAFETY: the page is a live value of the map, `entry` a place on it, and no other CPU writes
        // to it; a program is not interrupted by itself.
        unsafe { (*self.0)[entry as usize] += number };
    }
}

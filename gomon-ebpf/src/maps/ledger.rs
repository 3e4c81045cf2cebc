//! What became of every frame, on each CPU.

use core::hint::black_box;

use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns};
use aya_ebpf::macros::btf_map;
use gomon_common::Skip;
use gomon_common::kernel::{CpuLedger, GENERATIONS, LedgerEntry};

#[btf_map]
static LEDGER: PerCpuArray<CpuLedger, { GENERATIONS as usize }> = PerCpuArray::new();

/// The cpu of one generation on this CPU.
pub(crate) struct CpuState(*mut CpuLedger);

impl CpuState {
    #[inline(always)]
    pub(crate) fn of(generation: u32) -> Option<Self> {
        LEDGER.get_ptr_mut(generation).map(Self)
    }

    /// Enters one frame.
    #[inline(always)]
    pub(crate) fn record(&self, entry: LedgerEntry) {
        self.add(entry, 1);
    }

    /// Enters a frame under a reason that came out of memory.
    #[inline(always)]
    pub(crate) fn record_skipped(&self, skip: Skip) {
        let place = masked(LedgerEntry::of(skip));
        // SAFETY: as below; a masked place is on the cpu.
        unsafe { (*self.0)[place] += 1 };
    }

    /// Whether something was entered under `entry`.
    #[inline(always)]
    pub(crate) fn has(&self, entry: LedgerEntry) -> bool {
        self.get(entry) != 0
    }

    #[inline(always)]
    pub(crate) fn add(&self, entry: LedgerEntry, number: u64) {
        self.set(entry, self.get(entry) + number);
    }

    /// Enters a packet that is not the bot's, and says how many there were before.
    #[inline(always)]
    pub(crate) fn record_not_from_bot(&self) -> u64 {
        let before = self.get(LedgerEntry::NotFromBot);
        self.set(LedgerEntry::NotFromBot, before + 1);
        before
    }

    /// Enters a packet to an endpoint there is no room for, of a host that is known.
    #[inline(always)]
    pub(crate) fn record_overflow(&self, length: u64) {
        self.add(LedgerEntry::OverflowPackets, 1);
        self.add(LedgerEntry::OverflowBytes, length);
    }

    /// Packets that this CPU sent up in this slot.
    #[inline(always)]
    pub(crate) fn sent_in(&self, slot: u32) -> u64 {
        if self.get(LedgerEntry::Slot) != slot.into() {
            self.set(LedgerEntry::Slot, slot.into());
            self.set(LedgerEntry::SlotPackets, 0);
        }
        self.get(LedgerEntry::SlotPackets)
    }

    /// Enters a packet that is sent up.
    #[inline(always)]
    pub(crate) fn record_sent(&self) {
        self.record(LedgerEntry::SlotPackets);
    }

    /// The monotonic clock in nanoseconds, as it was at most a tick of the timer ago: asking for the
    /// tick costs nothing, and for the time as much as a look into a map.
    #[inline(always)]
    pub(crate) fn recent_time(&self) -> u64 {
        // SAFETY: gomon's kernel side runs where these helpers may be called.
        let tick = unsafe { bpf_jiffies64() };
        if self.get(LedgerEntry::Tick) != tick {
            self.set(LedgerEntry::Tick, tick);
            // SAFETY: as above.
            self.set(LedgerEntry::TickTime, unsafe { bpf_ktime_get_ns() });
        }
        self.get(LedgerEntry::TickTime)
    }

    #[inline(always)]
    fn get(&self, entry: LedgerEntry) -> u64 {
        // SAFETY: the cpu is a live value of the map, and `entry` a place on it.
        unsafe { (*self.0)[entry as usize] }
    }

    #[inline(always)]
    fn set(&self, entry: LedgerEntry, number: u64) {
        // SAFETY: as above; no other CPU writes to the cpu, and a program is not interrupted by
        // itself.
        unsafe { (*self.0)[entry as usize] = number };
    }
}

/// Where an entry stands that came out of memory. The mask is for the verifier, which does not know
/// there what an entry can be.
#[inline(always)]
fn masked(entry: LedgerEntry) -> usize {
    black_box(entry as usize) & (size_of::<CpuLedger>() / size_of::<u64>() - 1)
}

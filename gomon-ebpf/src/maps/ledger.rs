//! The per-CPU ledger, which accounts for every frame, and other per-CPU state.

use core::hint::black_box;

use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns};
use aya_ebpf::macros::btf_map;
use gomon_common::kernel::{CpuLedger, LedgerEntry, PACKET_WORD};
use gomon_common::{Packet, Skip};

/// Per-CPU array. Key: cell. Value: a `u64` per [`LedgerEntry`]. User space sets the number of entries.
#[btf_map]
static LEDGER: PerCpuArray<CpuLedger, 1> = PerCpuArray::new();

/// The state of this CPU in one generation of a bot.
pub(crate) struct CpuState(*mut CpuLedger);

/// Looks up the state of this CPU in a cell.
#[inline(always)]
pub(crate) fn get(cell: u32) -> Option<CpuState> {
    LEDGER.get_ptr_mut(cell).map(CpuState)
}

impl CpuState {
    /// Returns the place for the packet that this CPU is counting.
    #[inline(always)]
    pub(crate) fn packet(&self) -> *mut Packet {
        const { assert!(PACKET_WORD * 8 + size_of::<Packet>() <= size_of::<CpuLedger>()) };
        // SAFETY: the packet is within the map value, as asserted.
        unsafe { self.0.cast::<u64>().add(PACKET_WORD).cast() }
    }

    /// Records a frame under `entry`.
    #[inline(always)]
    pub(crate) fn record(&self, entry: LedgerEntry) {
        self.add(entry, 1);
    }

    /// Records a skipped frame. The reason was loaded from memory, so the verifier does not know its
    /// bounds.
    #[inline(always)]
    pub(crate) fn record_skipped(&self, skip: Skip) {
        let entry = black_box(LedgerEntry::of(skip) as usize);
        // The mask gives the verifier a bound.
        let index = entry & (size_of::<CpuLedger>() / size_of::<u64>() - 1);
        // SAFETY: as below. The mask keeps the index in bounds.
        unsafe { (*self.0)[index] += 1 };
    }

    /// Returns whether `entry` is not 0.
    #[inline(always)]
    pub(crate) fn is_set(&self, entry: LedgerEntry) -> bool {
        self.load(entry) != 0
    }

    /// Adds `number` to `entry`.
    #[inline(always)]
    pub(crate) fn add(&self, entry: LedgerEntry, number: u64) {
        self.store(entry, self.load(entry) + number);
    }

    /// Records a packet that is not the bot's and returns how many there were before.
    #[inline(always)]
    pub(crate) fn record_not_from_bot(&self) -> u64 {
        let before = self.load(LedgerEntry::NotFromBot);
        self.store(LedgerEntry::NotFromBot, before + 1);
        before
    }

    /// Records a packet to an unlisted endpoint of a listed host.
    #[inline(always)]
    pub(crate) fn record_overflow(&self, length: u64) {
        self.add(LedgerEntry::OverflowPackets, 1);
        self.add(LedgerEntry::OverflowBytes, length);
    }

    /// Returns the number of packets that this CPU sent to user space in this rate-limit interval.
    #[inline(always)]
    pub(crate) fn sent_in_interval(&self, interval: u32) -> u64 {
        if self.load(LedgerEntry::Interval) != interval.into() {
            self.store(LedgerEntry::Interval, interval.into());
            self.store(LedgerEntry::IntervalPackets, 0);
        }
        self.load(LedgerEntry::IntervalPackets)
    }

    /// Counts a packet as sent to user space.
    #[inline(always)]
    pub(crate) fn record_sent(&self) {
        self.record(LedgerEntry::IntervalPackets);
    }

    /// Returns the monotonic clock in nanoseconds with a resolution of one jiffy. The clock is read once
    /// per jiffy: reading jiffies is free, but reading the clock costs as much as a map lookup.
    #[inline(always)]
    pub(crate) fn coarse_time(&self) -> u64 {
        // SAFETY: the helper is available to XDP and TC programs.
        let jiffies = unsafe { bpf_jiffies64() };
        if self.load(LedgerEntry::Jiffies) != jiffies {
            self.store(LedgerEntry::Jiffies, jiffies);
            // SAFETY: as above.
            self.store(LedgerEntry::JiffiesTime, unsafe { bpf_ktime_get_ns() });
        }
        self.load(LedgerEntry::JiffiesTime)
    }

    #[inline(always)]
    fn load(&self, entry: LedgerEntry) -> u64 {
        // SAFETY: the pointer is to a live map value, and `entry` is within it.
        unsafe { (*self.0)[entry as usize] }
    }

    #[inline(always)]
    fn store(&self, entry: LedgerEntry, number: u64) {
        // SAFETY: as above. No other CPU writes to this CPU's value, and a program is not interrupted by
        // itself.
        unsafe { (*self.0)[entry as usize] = number };
    }
}

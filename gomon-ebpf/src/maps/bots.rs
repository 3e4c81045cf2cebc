//! The bots: which packets are theirs, and where their counts are.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::bot::{BotEntry, CacheRange, cell, flags};
use gomon_common::kernel::RATE_INTERVAL;

use super::ledger::CpuState;
use super::{interfaces, ledger, sources};

/// Array. Key: slot. Value: [`BotEntry`]. Written by user space, which sets the number of entries.
#[btf_map]
static BOTS: Array<BotEntry, 1> = Array::new();

/// The index of no slot.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// Returns the slot of the bot in a group that has this address, or [`NO_SLOT`].
#[inline(always)]
pub(crate) fn in_group(group: &Bot, address: Address) -> u32 {
    sources::find(group.slot, address).unwrap_or(NO_SLOT)
}

/// A bot in its current generation, or a group.
pub(crate) struct Bot {
    entry: *const BotEntry,
    slot: u32,
    generation: u32,
    /// The state of this CPU in the generation.
    pub(crate) cpu: CpuState,
}

impl Bot {
    /// Returns the bot on the interface with this index, or the group of bots.
    #[inline(always)]
    pub(crate) fn on(interface: u32) -> Option<Self> {
        Self::at(interfaces::slot(interface)?)
    }

    /// Returns the bot in a slot.
    #[inline(always)]
    pub(crate) fn at(slot: u32) -> Option<Self> {
        let entry = BOTS.get_ptr(slot)?;
        // SAFETY: the entry is a live map value. User space changes aligned words of it. The generation is
        // read only once, so that a packet is counted in a single generation.
        let generation = unsafe { (&raw const (*entry).generation).read_volatile() } as u32 & 1;
        let cpu = ledger::get(cell(slot, generation))?;
        Some(Self { entry, slot, generation, cpu })
    }

    /// Returns the index of the bot's slot.
    #[inline(always)]
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    /// Returns the generation in which its packets are counted.
    #[inline(always)]
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Returns the index of its generation among those of all bots.
    #[inline(always)]
    pub(crate) fn cell(&self) -> u32 {
        cell(self.slot, self.generation)
    }

    /// Returns the index of its other generation.
    #[inline(always)]
    pub(crate) fn other_cell(&self) -> u32 {
        cell(self.slot, self.generation ^ 1)
    }

    #[inline(always)]
    fn has_flag(&self, flag: u64) -> bool {
        // SAFETY: as above.
        unsafe { (*self.entry).flags & flag != 0 }
    }

    /// Returns whether this is a group.
    #[inline(always)]
    pub(crate) fn is_group(&self) -> bool {
        self.has_flag(flags::GROUP)
    }

    /// Returns whether every source address is the bot's.
    #[inline(always)]
    pub(crate) fn has_any_source(&self) -> bool {
        self.has_flag(flags::ANY_SOURCE)
    }

    /// Returns whether it has ignored destinations.
    #[inline(always)]
    pub(crate) fn has_ignored(&self) -> bool {
        self.has_flag(flags::HAS_IGNORED)
    }

    /// Returns whether the contact times of its endpoints are recorded.
    #[inline(always)]
    pub(crate) fn tracks_contacts(&self) -> bool {
        self.has_flag(flags::TRACK_CONTACTS)
    }

    /// Returns whether packets from `source` are the bot's.
    #[inline(always)]
    pub(crate) fn has_source(&self, source: Address) -> bool {
        self.has_any_source() || self.has_address(source)
    }

    /// Returns whether `address` is one of its configured addresses. Always false if every source is the
    /// bot's.
    #[inline(always)]
    pub(crate) fn has_address(&self, address: Address) -> bool {
        if self.has_any_source() {
            return false;
        }
        // SAFETY: as above.
        let first = unsafe { (*self.entry).address };
        first == address
            || (self.has_flag(flags::MORE_SOURCES) && sources::find(self.slot, address).is_some())
    }

    /// Returns whether only frames from one MAC address are the bot's.
    #[inline(always)]
    pub(crate) fn is_filtered_by_mac(&self) -> bool {
        self.mac() != 0
    }

    /// Returns the MAC address that its frames come from, as encoded by
    /// [`mac_to_u64`](gomon_common::kernel::mac_to_u64), or 0.
    #[inline(always)]
    pub(crate) fn mac(&self) -> u64 {
        // SAFETY: as above.
        unsafe { (*self.entry).mac }
    }

    /// Returns the flow cache of its generation.
    #[inline(always)]
    pub(crate) fn cache(&self) -> CacheRange {
        // SAFETY: as above.
        unsafe {
            if self.generation == 0 { (*self.entry).caches[0] } else { (*self.entry).caches[1] }
        }
    }

    /// Returns the number of parts in the Bloom filter of its generation.
    #[inline(always)]
    pub(crate) fn bloom_parts(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.entry).bloom_parts }
    }

    /// Returns the maximum number of packets per host that are sent to user space in a rate-limit interval.
    #[inline(always)]
    pub(crate) fn packets_per_host(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.entry).packets_per_host }
    }

    /// Returns whether its packets are sent to user space.
    #[inline(always)]
    pub(crate) fn sends_packets(&self) -> bool {
        self.packets_per_host() != 0
    }

    /// Returns the number of the current rate-limit interval: of whole intervals until the end of the pane; 0
    /// after the end.
    #[inline(always)]
    pub(crate) fn interval(&self) -> u32 {
        // SAFETY: as above.
        let [first, second] = unsafe { (*self.entry).pane_ends };
        let end = if self.generation == 0 { first } else { second };
        (end.saturating_sub(self.cpu.coarse_time()) / RATE_INTERVAL) as u32
    }
}

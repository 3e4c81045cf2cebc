//! The Bloom filter of hosts that may be listed. Once the host map is full, it rejects most hosts of a
//! flood without a hash map lookup. A slot is a whole byte, so that CPUs can set slots without atomic
//! operations.

use aya_ebpf::bindings::BPF_F_INNER_MAP;
use aya_ebpf::btf_maps::{Array, ArrayOfMaps};
use aya_ebpf::macros::btf_map;
use gomon_common::bloom::{FilterSlot, PART_SLOTS};
use gomon_common::kernel::GENERATIONS;

use super::bots::Bot;

/// The parts of both generations. Their number depends on the bot, which array maps in other maps permit
/// only with this flag.
type Filter = Array<[u8; PART_SLOTS], { GENERATIONS as usize }, { BPF_F_INNER_MAP as usize }>;

/// Array of arrays. Key: slot. Value: an array of parts, a byte per filter slot, 1 if a listed host maps to
/// the slot. User space sets the number of entries.
#[btf_map]
static BLOOM_FILTER: ArrayOfMaps<Filter, 1> = ArrayOfMaps::new();

/// Adds the host with this hash. Must be called before the host is added to the host map.
#[inline(always)]
pub(crate) fn insert(bot: &Bot, hash: u64) {
    if let Some(slot) = slot(bot, hash) {
        // SAFETY: the slot is a byte in a live map value. All CPUs write the same value.
        unsafe { *slot = 1 };
    }
}

/// Returns whether the host with this hash may be listed. False is certain.
#[inline(always)]
pub(crate) fn may_contain(bot: &Bot, hash: u64) -> bool {
    // SAFETY: as above.
    slot(bot, hash).is_none_or(|slot| unsafe { *slot != 0 })
}

#[inline(always)]
fn slot(bot: &Bot, hash: u64) -> Option<*mut u8> {
    let slot = FilterSlot::of(hash, bot.generation(), bot.bloom_parts());
    let part = BLOOM_FILTER.get(bot.slot())?.get_ptr_mut(slot.part)?;
    // SAFETY: the offset is within the part.
    Some(unsafe { part.cast::<u8>().add(slot.offset) })
}

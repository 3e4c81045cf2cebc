//! The Bloom filter of hosts that may be listed. Once the host map is full, it rejects most hosts of a
//! flood without a hash map lookup. A slot is a whole byte, so that CPUs can set slots without atomic
//! operations.

use aya_ebpf::Global;
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use gomon_common::bloom::{FilterSlot, PART_SLOTS};
use gomon_common::kernel::GENERATIONS;

/// Array. Key: index of a part. Value: a byte per filter slot, 1 if a listed host maps to the slot. The
/// loader sets the number of entries to `BLOOM_PARTS` per generation.
#[btf_map]
static BLOOM_FILTER: Array<[u8; PART_SLOTS], { GENERATIONS as usize }> = Array::new();

#[unsafe(no_mangle)]
static BLOOM_PARTS: Global<u32> = Global::new(1);

/// Adds the host with this hash. Must be called before the host is added to the host map.
#[inline(always)]
pub(crate) fn insert(generation: u32, hash: u64) {
    if let Some(slot) = slot(generation, hash) {
        // SAFETY: the slot is a byte in a live map value. All CPUs write the same value.
        unsafe { *slot = 1 };
    }
}

/// Returns whether the host with this hash may be listed. False is certain.
#[inline(always)]
pub(crate) fn may_contain(generation: u32, hash: u64) -> bool {
    // SAFETY: as above.
    slot(generation, hash).is_none_or(|slot| unsafe { *slot != 0 })
}

#[inline(always)]
fn slot(generation: u32, hash: u64) -> Option<*mut u8> {
    let slot = FilterSlot::of(hash, generation, BLOOM_PARTS.load());
    let part = BLOOM_FILTER.get_ptr_mut(slot.part)?;
    // SAFETY: the offset is within the part.
    Some(unsafe { part.cast::<u8>().add(slot.offset) })
}

//! Which hosts can't be known: most of the hosts a flood goes to once there is no room for more, told
//! from the known ones without a look into a hash. A byte for every slot: CPUs write beside each other.

use aya_ebpf::Global;
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use gomon_common::bloom::{FilterSlot, PART_SLOTS};
use gomon_common::kernel::GENERATIONS;

#[btf_map]
static BLOOM_FILTER: Array<[u8; PART_SLOTS], { GENERATIONS as usize }> = Array::new();

#[unsafe(no_mangle)]
static BLOOM_PARTS: Global<u32> = Global::new(1);

/// Lets a host through from now on, whose halves have this hash: it is about to be known.
#[inline(always)]
pub(crate) fn insert(generation: u32, hash: u64) {
    if let Some(slot) = slot(generation, hash) {
        // SAFETY: the slot is a byte of a live value of the map, written whole, and by everybody alike.
        unsafe { *slot = 1 };
    }
}

/// Whether a host gets through. If not, it is certain that it is not known.
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

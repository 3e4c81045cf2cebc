//! Which hosts can't be known: most of the hosts a flood goes to once there is no room for more, told
//! from the known ones without a look into a hash. A byte for every hole: CPUs write beside each other.

use aya_ebpf::Global;
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use gomon_common::kernel::GENERATIONS;
use gomon_common::sieve::{Hole, PART};

#[btf_map]
static SIEVE: Array<[u8; PART], { GENERATIONS as usize }> = Array::new();

#[unsafe(no_mangle)]
static SIEVE_PARTS: Global<u32> = Global::new(1);

/// Lets a host through from now on, whose halves have this hash: it is about to be known.
#[inline(always)]
pub(crate) fn open(generation: u32, hash: u64) {
    if let Some(hole) = hole(generation, hash) {
        // SAFETY: the hole is a byte of a live value of the map, written whole, and by everybody alike.
        unsafe { *hole = 1 };
    }
}

/// Whether a host gets through. If not, it is certain that it is not known.
#[inline(always)]
pub(crate) fn lets_through(generation: u32, hash: u64) -> bool {
    // SAFETY: as above.
    hole(generation, hash).is_none_or(|hole| unsafe { *hole != 0 })
}

#[inline(always)]
fn hole(generation: u32, hash: u64) -> Option<*mut u8> {
    let hole = Hole::of(hash, generation, SIEVE_PARTS.load());
    let part = SIEVE.get_ptr_mut(hole.part)?;
    // SAFETY: the offset is within the part.
    Some(unsafe { part.cast::<u8>().add(hole.offset) })
}

//! Places near at hand: counts of this CPU alone, for endpoints that are known.

use aya_ebpf::Global;
use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::macros::btf_map;
use gomon_common::kernel::GENERATIONS;
use gomon_common::near::{FIELDS, NUMBERS, Place};

/// Key, packets, bytes.
type Fields = [u64; FIELDS];

#[btf_map]
static NEAR: PerCpuArray<[u64; NUMBERS], { GENERATIONS as usize }> = PerCpuArray::new();

#[unsafe(no_mangle)]
static NEAR_PARTS: Global<u32> = Global::new(0);

/// Whether there are any. The kernel knows the answer when it loads a program.
#[inline(always)]
pub(crate) fn exist() -> bool {
    NEAR_PARTS.load() != 0
}

/// Adds a packet to the place of its key, if that is its own.
#[inline(always)]
pub(crate) fn add(generation: u32, key: u64, length: u64) -> bool {
    let Some(place) = place(generation, key) else { return false };
    // SAFETY: the place is one in a live value of the map; no other CPU writes to this one's, and a
    // program is not interrupted by itself.
    unsafe {
        let [owner, packets, bytes] = &mut *place;
        if *owner != key {
            return false;
        }
        *packets += 1;
        *bytes += length;
    }
    true
}

/// Gives a key the place it falls on, if that is free: packets of its endpoint that show the same of the
/// contact are in the map.
#[inline(always)]
pub(crate) fn claim(generation: u32, key: u64) {
    if let Some(place) = place(generation, key) {
        // SAFETY: as above.
        unsafe {
            if (*place)[0] == 0 {
                (*place)[0] = key;
            }
        }
    }
}

#[inline(always)]
fn place(generation: u32, key: u64) -> Option<*mut Fields> {
    let place = Place::of(key, generation, NEAR_PARTS.load());
    let part = NEAR.get_ptr_mut(place.part)?;
    // SAFETY: the fields of every place are within its part.
    Some(unsafe { part.cast::<u64>().add(place.offset).cast() })
}

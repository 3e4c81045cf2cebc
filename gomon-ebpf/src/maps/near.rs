//! Places near at hand: counts of this CPU alone, for endpoints that are known.

use aya_ebpf::Global;
use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::macros::btf_map;
use gomon_common::Packet;
use gomon_common::kernel::GENERATIONS;
use gomon_common::near::{FIELDS, NUMBERS, Place, key};

/// Key, packets, bytes.
type Fields = [u64; FIELDS];

#[btf_map]
static NEAR: PerCpuArray<[u64; NUMBERS], { GENERATIONS as usize }> = PerCpuArray::new();

#[unsafe(no_mangle)]
static NEAR_PARTS: Global<u32> = Global::new(0);

/// Adds a packet to the place its key falls on, if that is its own.
#[inline(always)]
pub(crate) fn add(generation: u32, packet: &Packet, length: u64) -> bool {
    let Some((place, key)) = place(generation, packet) else { return false };
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

/// Gives the key of a packet that is in the map the place it falls on, if that is free.
#[inline(always)]
pub(crate) fn claim(generation: u32, packet: &Packet) {
    if let Some((place, key)) = place(generation, packet) {
        // SAFETY: as above.
        unsafe {
            if (*place)[0] == 0 {
                (*place)[0] = key;
            }
        }
    }
}

/// The place a packet falls on, and its key. The kernel knows when it loads a program whether there are
/// places at all, and leaves out what can't happen.
#[inline(always)]
fn place(generation: u32, packet: &Packet) -> Option<(*mut Fields, u64)> {
    let parts = NEAR_PARTS.load();
    if parts == 0 {
        return None;
    }
    let key = key(packet)?;
    let place = Place::of(key, generation, parts);
    let part = NEAR.get_ptr_mut(place.part)?;
    // SAFETY: the fields of every place are within its part.
    Some((unsafe { part.cast::<u64>().add(place.offset).cast() }, key))
}

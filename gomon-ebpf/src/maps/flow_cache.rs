//! Places near at hand: counts of this CPU alone, for endpoints that are known.

use aya_ebpf::Global;
use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::macros::btf_map;
use gomon_common::Packet;
use gomon_common::flow_cache::{CacheSlot, PART_WORDS, SLOT_WORDS, key};
use gomon_common::kernel::GENERATIONS;

/// Key, packets, bytes.
type Slot = [u64; SLOT_WORDS];

#[btf_map]
static FLOW_CACHE: PerCpuArray<[u64; PART_WORDS], { GENERATIONS as usize }> = PerCpuArray::new();

#[unsafe(no_mangle)]
static FLOW_CACHE_PARTS: Global<u32> = Global::new(0);

/// Adds a packet to the slot its key falls on, if that is its own.
#[inline(always)]
pub(crate) fn add(generation: u32, packet: &Packet, length: u64) -> bool {
    let Some((slot, key)) = slot(generation, packet) else { return false };
    // SAFETY: the slot is one in a live value of the map; no other CPU writes to this one's, and a
    // program is not interrupted by itself.
    unsafe {
        let [owner, packets, bytes] = &mut *slot;
        if *owner != key {
            return false;
        }
        *packets += 1;
        *bytes += length;
    }
    true
}

/// Gives the key of a packet that is in the map the slot it falls on, if that is free.
#[inline(always)]
pub(crate) fn claim(generation: u32, packet: &Packet) {
    if let Some((slot, key)) = slot(generation, packet) {
        // SAFETY: as above.
        unsafe {
            if (*slot)[0] == 0 {
                (*slot)[0] = key;
            }
        }
    }
}

/// The slot a packet falls on, and its key. The kernel knows when it loads a program whether there are
/// places at all, and leaves out what can't happen.
#[inline(always)]
fn slot(generation: u32, packet: &Packet) -> Option<(*mut Slot, u64)> {
    let parts = FLOW_CACHE_PARTS.load();
    if parts == 0 {
        return None;
    }
    let key = key(packet)?;
    let slot = CacheSlot::of(key, generation, parts);
    let part = FLOW_CACHE.get_ptr_mut(slot.part)?;
    // SAFETY: the fields of every slot are within its part.
    Some((unsafe { part.cast::<u64>().add(slot.offset).cast() }, key))
}

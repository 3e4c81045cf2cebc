//! The per-CPU flow cache, which counts packets to listed endpoints without a hash map lookup.

use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::macros::btf_map;
use gomon_common::Packet;
use gomon_common::flow_cache::{CacheSlot, PART_WORDS, SLOT_WORDS, key};

use super::bots::Bot;

/// Key, packets, bytes.
type Slot = [u64; SLOT_WORDS];

/// Per-CPU array. Key: index of a part. Value: the slots of the part. User space sets the number of entries,
/// and assigns ranges of them to the generations of bots.
#[btf_map]
static FLOW_CACHE: PerCpuArray<[u64; PART_WORDS], 1> = PerCpuArray::new();

/// Counts a packet in the slot its key maps to. Returns false if the slot is free or has another key.
#[inline(always)]
pub(crate) fn add(bot: &Bot, packet: &Packet, length: u64) -> bool {
    let Some((slot, key)) = slot(bot, packet) else { return false };
    // SAFETY: the slot is in a live map value of this CPU. No other CPU writes to it, and a program is not
    // interrupted by itself.
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

/// Claims the slot that the key of a packet maps to, if it is free. The packet's endpoint must be listed.
#[inline(always)]
pub(crate) fn claim(bot: &Bot, packet: &Packet) {
    if let Some((slot, key)) = slot(bot, packet) {
        // SAFETY: as above.
        unsafe {
            if (*slot)[0] == 0 {
                (*slot)[0] = key;
            }
        }
    }
}

/// Returns the slot and the key of a packet, if the bot has a cache.
#[inline(always)]
fn slot(bot: &Bot, packet: &Packet) -> Option<(*mut Slot, u64)> {
    let cache = bot.cache();
    if cache.parts == 0 {
        return None;
    }
    let key = key(packet)?;
    let slot = CacheSlot::of(key, cache);
    let part = FLOW_CACHE.get_ptr_mut(slot.part)?;
    // SAFETY: the words of every slot are within its part.
    Some((unsafe { part.cast::<u64>().add(slot.offset).cast() }, key))
}

//! The addresses of bots, other than the first address of a bot that is alone on its interface.

use aya_ebpf::btf_maps::HashMap;
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::kernel::{MAX_SOURCES, SourceKey, source_key};

/// Hash map. Key: an address, and the slot of a bot or a group. Value: the slot of the bot that has the
/// address. User space sets the number of entries.
#[btf_map]
static SOURCES: HashMap<SourceKey, u32, MAX_SOURCES> = HashMap::new();

/// Returns the slot of the bot that has this address, among the bot or the group in `slot`.
#[inline(always)]
pub(crate) fn find(slot: u32, address: Address) -> Option<u32> {
    let found = SOURCES.get_ptr(&source_key(slot, address))?;
    // SAFETY: a live map value, which is an aligned word.
    Some(unsafe { *found })
}

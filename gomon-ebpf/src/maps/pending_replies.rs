//! UDP contacts of earlier panes that may still be answered.

use aya_ebpf::btf_maps::{ArrayOfMaps, HashMap};
use aya_ebpf::macros::btf_map;
use gomon_common::Endpoint;
use gomon_common::kernel::DEFAULT_DESTINATIONS;

use super::bots::Bot;

/// Array of hash maps. Key: slot. Value: a hash map from an [`Endpoint`] to the time of its reply in
/// nanoseconds on the monotonic clock, or 0. User space adds and removes the entries.
#[btf_map]
static PENDING_REPLIES: ArrayOfMaps<HashMap<Endpoint, u64, DEFAULT_DESTINATIONS>, 1> =
    ArrayOfMaps::new();

/// Records a reply from an endpoint. Returns false if none is pending.
#[inline(always)]
pub(crate) fn record_reply(bot: &Bot, from: &Endpoint, now: u64) -> bool {
    let Some(pending) = PENDING_REPLIES.get(bot.slot()) else { return false };
    let Some(replied) = pending.get_ptr_mut(from) else { return false };
    // SAFETY: the pointer is to a live map value. An aligned word is read and written atomically, and it
    // does not matter which of two CPUs writes first.
    unsafe {
        if *replied == 0 {
            *replied = now;
        }
    }
    true
}

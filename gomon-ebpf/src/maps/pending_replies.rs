//! Contacts of earlier panes that may still be answered.

use aya_ebpf::btf_maps::HashMap;
use aya_ebpf::macros::btf_map;
use gomon_common::Endpoint;
use gomon_common::kernel::DEFAULT_DESTINATIONS;

#[btf_map]
static PENDING_REPLIES: HashMap<Endpoint, u64, DEFAULT_DESTINATIONS> = HashMap::new();

/// Enters an answer; false when it is none.
#[inline(always)]
pub(crate) fn answer(from: &Endpoint, now: u64) -> bool {
    let Some(answered) = PENDING_REPLIES.get_ptr_mut(from) else { return false };
    // SAFETY: a live value of the map; a number is read and written whole, and which of two CPUs is the
    // first to write it is no matter.
    unsafe {
        if *answered == 0 {
            *answered = now;
        }
    }
    true
}

//! UDP contacts of earlier panes that may still be answered.

use aya_ebpf::btf_maps::HashMap;
use aya_ebpf::macros::btf_map;
use gomon_common::Endpoint;
use gomon_common::kernel::DEFAULT_DESTINATIONS;

/// Hash map. Key: [`Endpoint`]. Value: the time of its reply in nanoseconds on the monotonic clock, or 0.
/// User space adds and removes the entries.
#[btf_map]
static PENDING_REPLIES: HashMap<Endpoint, u64, DEFAULT_DESTINATIONS> = HashMap::new();

/// Records a reply from an endpoint. Returns false if none is pending.
#[inline(always)]
pub(crate) fn record_reply(from: &Endpoint, now: u64) -> bool {
    let Some(replied) = PENDING_REPLIES.get_ptr_mut(from) else { return false };
    // SAFETY: the pointer is to a live map value. An aligned word is read and written atomically, and it
    // does not matter which of two CPUs writes first.
    unsafe {
        if *replied == 0 {
            *replied = now;
        }
    }
    true
}

//! Which generation is counted into, and until when.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use gomon_common::kernel::{CurrentGeneration, SLOT};

#[btf_map]
static CURRENT: Array<CurrentGeneration, 1> = Array::new();

#[inline(always)]
pub(crate) fn generation() -> u32 {
    CURRENT.get(0).map_or(0, |current| current.generation as u32)
}

/// How many whole slots lie between `now` and the end of a generation's pane; 0 when it is over.
#[inline(always)]
pub(crate) fn slot(generation: u32, now: u64) -> u32 {
    let Some(current) = CURRENT.get(0) else { return 0 };
    let end = if generation == 0 { current.ends[0] } else { current.ends[1] };
    (end.saturating_sub(now) / SLOT) as u32
}

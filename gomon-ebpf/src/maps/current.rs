//! The current generation, and when its pane ends.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use gomon_common::kernel::{CurrentGeneration, RATE_INTERVAL};

/// Array with one entry. Value: [`CurrentGeneration`]. Written by user space.
#[btf_map]
static CURRENT: Array<CurrentGeneration, 1> = Array::new();

/// Returns the current generation.
#[inline(always)]
pub(crate) fn generation() -> u32 {
    CURRENT.get(0).map_or(0, |current| current.generation as u32)
}

/// Returns the number of whole rate-limit intervals between `now` and the end of a generation's pane; 0
/// after the end.
#[inline(always)]
pub(crate) fn interval(generation: u32, now: u64) -> u32 {
    let Some(current) = CURRENT.get(0) else { return 0 };
    let end = if generation == 0 { current.pane_ends[0] } else { current.pane_ends[1] };
    (end.saturating_sub(now) / RATE_INTERVAL) as u32
}

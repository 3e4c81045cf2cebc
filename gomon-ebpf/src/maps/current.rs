//! Which generation is counted into.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;

#[btf_map]
static CURRENT: Array<u32, 1> = Array::new();

#[inline(always)]
pub(crate) fn generation() -> u32 {
    CURRENT.get(0).map_or(0, |generation| *generation)
}

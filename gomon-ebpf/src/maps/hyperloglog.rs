//! The hosts there was no room for, as a sketch of their number.

use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::macros::btf_map;
use gomon_common::hyperloglog::{REGISTERS, Register};
use gomon_common::kernel::GENERATIONS;

#[btf_map]
static HLL_REGISTERS: PerCpuArray<[u8; REGISTERS], { GENERATIONS as usize }> = PerCpuArray::new();

/// Adds the host whose halves have this hash.
#[inline(always)]
pub(crate) fn insert(generation: u32, hash: u64) {
    let place = Register::of(hash);
    let Some(all) = HLL_REGISTERS.get_ptr_mut(generation) else { return };
    let index = place.index() & (REGISTERS - 1); // for the verifier, which forgets
    // SAFETY: the index is below the number of registers, and no other CPU writes to these.
    unsafe {
        let register = (all as *mut u8).add(index);
        if place.is_above(*register) {
            *register = place.rank();
        }
    }
}

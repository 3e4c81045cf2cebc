//! The HyperLogLog sketch that estimates the number of unlisted hosts.

use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::macros::btf_map;
use gomon_common::hyperloglog::{REGISTERS, Register};
use gomon_common::kernel::GENERATIONS;

/// Per-CPU array. Key: generation. Value: the registers of the sketch, a byte each.
#[btf_map]
static HLL_REGISTERS: PerCpuArray<[u8; REGISTERS], { GENERATIONS as usize }> = PerCpuArray::new();

/// Adds the host with this hash.
#[inline(always)]
pub(crate) fn insert(generation: u32, hash: u64) {
    let register = Register::of(hash);
    let Some(registers) = HLL_REGISTERS.get_ptr_mut(generation) else { return };
    let index = register.index() & (REGISTERS - 1); // the verifier has lost track of the bound
    // SAFETY: the index is below the number of registers. No other CPU writes to this CPU's registers.
    unsafe {
        let value = (registers as *mut u8).add(index);
        if register.exceeds(*value) {
            *value = register.rank();
        }
    }
}

//! The HyperLogLog sketch that estimates the number of unlisted hosts.

use aya_ebpf::btf_maps::{Array, ArrayOfMaps};
use aya_ebpf::macros::btf_map;
use gomon_common::hyperloglog::{REGISTERS, Register};
use gomon_common::kernel::GENERATIONS;

use super::bots::Bot;

type Registers = Array<[u8; REGISTERS], { GENERATIONS as usize }>;

/// Array of arrays. Key: slot. Value: an array from the generation to the registers of the sketch, a byte
/// each. User space sets the number of entries.
#[btf_map]
static HLL_REGISTERS: ArrayOfMaps<Registers, 1> = ArrayOfMaps::new();

/// Adds the host with this hash. If two CPUs raise the same register at the same moment, the lower value may
/// remain, which is within the error of the estimate.
#[inline(always)]
pub(crate) fn insert(bot: &Bot, hash: u64) {
    let register = Register::of(hash);
    let Some(sketch) = HLL_REGISTERS.get(bot.slot()) else { return };
    let Some(registers) = sketch.get_ptr_mut(bot.generation()) else { return };
    let index = register.index() & (REGISTERS - 1); // the verifier has lost track of the bound
    // SAFETY: the index is below the number of registers. A register is a byte, which is read and written
    // atomically.
    unsafe {
        let value = (registers as *mut u8).add(index);
        if register.exceeds(*value) {
            *value = register.rank();
        }
    }
}

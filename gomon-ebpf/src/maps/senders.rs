//! Who sends what is not the bot's: a sample, for a user who gave a wrong address.

use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::hash::multiplicative;
use gomon_common::kernel::{GENERATIONS, SAMPLES};

type Samples = [Address; SAMPLES];

#[btf_map]
static SENDERS: PerCpuArray<Samples, { GENERATIONS as usize }> = PerCpuArray::new();

/// Keeps the source of the packet with this number, counted from 0, among those that are not the bot's:
/// of a flood one in many, so that it costs others nothing, and not every so many-th, so that it does not
/// matter in which order several of them send.
#[inline(always)]
pub(crate) fn sample(generation: u32, number: u64, source: Address) {
    if number < SAMPLES as u64 {
        keep(generation, number as usize, source);
    } else if multiplicative(number, SAMPLES.ilog2()) == 0 {
        keep(generation, multiplicative(number, 2 * SAMPLES.ilog2()) as usize, source);
    }
}

#[inline(always)]
fn keep(generation: u32, place: usize, source: Address) {
    let Some(samples) = SENDERS.get_ptr_mut(generation) else { return };
    // SAFETY: the place is one in a live value of the map; no other CPU writes to this one's, and a
    // program is not interrupted by itself.
    unsafe { (*samples)[place % SAMPLES] = source };
}

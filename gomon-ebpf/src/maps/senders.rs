//! A sample of the sources of packets that are not the bot's, for users who specified a wrong bot address.

use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::hash::multiplicative;
use gomon_common::kernel::{GENERATIONS, SENDER_SAMPLES};

/// Per-CPU array. Key: generation. Value: the sampled source addresses.
#[btf_map]
static SENDERS: PerCpuArray<[Address; SENDER_SAMPLES], { GENERATIONS as usize }> =
    PerCpuArray::new();

/// Samples the source of a packet that is not the bot's. `number` counts such packets from 0.
///
/// After the first packets only one in many is sampled, so that a flood from other sources costs nothing.
/// The sampled numbers are pseudo-random, so that the sample does not depend on the order in which
/// several sources send.
#[inline(always)]
pub(crate) fn sample(generation: u32, number: u64, source: Address) {
    if number < SENDER_SAMPLES as u64 {
        store(generation, number as usize, source);
    } else if multiplicative(number, SENDER_SAMPLES.ilog2()) == 0 {
        store(generation, multiplicative(number, 2 * SENDER_SAMPLES.ilog2()) as usize, source);
    }
}

#[inline(always)]
fn store(generation: u32, index: usize, source: Address) {
    let Some(samples) = SENDERS.get_ptr_mut(generation) else { return };
    // SAFETY: the index is within a live map value of this CPU. No other CPU writes to it, and a program
    // is not interrupted by itself.
    unsafe { (*samples)[index % SENDER_SAMPLES] = source };
}

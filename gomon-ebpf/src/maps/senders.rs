//! A sample of the sources of packets that are not the bot's, for users who specified a wrong bot address.

use aya_ebpf::btf_maps::{ArrayOfMaps, PerCpuArray};
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::hash::multiplicative;
use gomon_common::kernel::{GENERATIONS, SENDER_SAMPLES};

use super::bots::Bot;

type Samples = PerCpuArray<[Address; SENDER_SAMPLES], { GENERATIONS as usize }>;

/// Array of per-CPU arrays. Key: slot. Value: an array from the generation to the sampled source addresses.
/// User space sets the number of entries.
#[btf_map]
static SENDERS: ArrayOfMaps<Samples, 1> = ArrayOfMaps::new();

/// Records a packet that is not the bot's, and may sample its source.
///
/// After the first packets only one in many is sampled, so that a flood from other sources costs nothing.
/// The sampled numbers are pseudo-random, so that the sample does not depend on the order in which
/// several sources send.
#[inline(always)]
pub(crate) fn record(bot: &Bot, source: Address) {
    let number = bot.cpu.record_not_from_bot();
    if number < SENDER_SAMPLES as u64 {
        store(bot, number as usize, source);
    } else if multiplicative(number, SENDER_SAMPLES.ilog2()) == 0 {
        store(bot, multiplicative(number, 2 * SENDER_SAMPLES.ilog2()) as usize, source);
    }
}

#[inline(always)]
fn store(bot: &Bot, index: usize, source: Address) {
    let Some(samples) = SENDERS.get(bot.slot()) else { return };
    let Some(samples) = samples.get_ptr_mut(bot.generation()) else { return };
    // SAFETY: the index is within a live map value of this CPU. No other CPU writes to it, and a program
    // is not interrupted by itself.
    unsafe { (*samples)[index % SENDER_SAMPLES] = source };
}

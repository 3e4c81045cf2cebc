//! The interfaces with bots.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use gomon_common::bot::{BUCKETS, InterfaceBucket, bucket};

/// Array. Key: bucket of an interface's index. Value: the interfaces of the bucket. Written by user space.
#[btf_map]
static INTERFACES: Array<InterfaceBucket, { BUCKETS as usize }> = Array::new();

/// Returns the slot of the bot on the interface with this index, or of the group of bots.
#[inline(always)]
pub(crate) fn slot(interface: u32) -> Option<u32> {
    let entries = INTERFACES.get(bucket(interface))?;
    entries.iter().find(|entry| entry.interface == interface).map(|entry| entry.slot)
}

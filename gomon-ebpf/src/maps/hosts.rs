//! The hosts that are known: what went to endpoints of theirs there was no room for, and how many of
//! their packets were sent up.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::btf_maps::{ArrayOfMaps, HashMap};
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::kernel::{DEFAULT_DESTINATIONS, GENERATIONS, LedgerEntry};

use super::bloom;
use super::counter_entry::CounterEntry;
use super::ledger::CpuState;

/// The value is a [`Destination`](gomon_common::kernel::DestinationValue), as that of an endpoint.
type HostMap = HashMap<Address, [u64; 3], DEFAULT_DESTINATIONS>;

#[btf_map]
static HOSTS: ArrayOfMaps<HostMap, { GENERATIONS as usize }> = ArrayOfMaps::new();

/// A known host.
#[inline(always)]
pub(crate) fn get(generation: u32, host: &Address) -> Option<CounterEntry> {
    HOSTS.get(generation)?.get_ptr_mut(host).map(CounterEntry::new)
}

/// Adds a packet to a known host.
#[inline(always)]
pub(crate) fn add(generation: u32, host: &Address, length: u64) -> bool {
    let Some(known) = get(generation, host) else { return false };
    known.add(length);
    true
}

/// Makes a host known that is not, if there is room.
#[inline(always)]
pub(crate) fn insert(generation: u32, cpu: &CpuState, host: &Address, hash: u64) -> bool {
    if cpu.has(LedgerEntry::HostsFull) {
        return false;
    }
    let Some(inner) = HOSTS.get(generation) else { return false };
    // First: whoever finds it known also finds that it may be.
    bloom::insert(generation, hash);
    // Another CPU may have been faster.
    let known =
        inner.insert(host, [0; 3], BPF_NOEXIST.into()).is_ok() || inner.get_ptr(host).is_some();
    if !known {
        cpu.record(LedgerEntry::HostsFull);
    }
    known
}

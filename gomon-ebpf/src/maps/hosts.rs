//! The hosts that are known: what went to endpoints of theirs there was no room for, and how many of
//! their packets were sent up.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::btf_maps::{ArrayOfMaps, HashMap};
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::kernel::{DEFAULT_DESTINATIONS, Entry, GENERATIONS};

use super::known::Known;
use super::ledger::Page;

/// The value is a [`Destination`](gomon_common::kernel::Destination), as that of an endpoint.
type Inner = HashMap<Address, [u64; 3], DEFAULT_DESTINATIONS>;

#[btf_map]
static HOSTS: ArrayOfMaps<Inner, { GENERATIONS as usize }> = ArrayOfMaps::new();

/// Whether a host is known, or is from now on because there is room.
#[inline(always)]
pub(crate) fn know(generation: u32, page: &Page, host: &Address) -> bool {
    let Some(inner) = HOSTS.get(generation) else { return false };
    if inner.get_ptr(host).is_some() {
        return true;
    }
    if page.has(Entry::HostsFull) {
        return false;
    }
    // Another CPU may have been faster.
    let known =
        inner.insert(host, [0; 3], BPF_NOEXIST.into()).is_ok() || inner.get_ptr(host).is_some();
    if !known {
        page.enter(Entry::HostsFull);
    }
    known
}

/// Adds a packet to a known host.
#[inline(always)]
pub(crate) fn add(generation: u32, host: &Address, length: u64) -> bool {
    let Some(known) = get(generation, host) else { return false };
    known.add(length);
    true
}

/// A known host.
#[inline(always)]
pub(crate) fn get(generation: u32, host: &Address) -> Option<Known> {
    HOSTS.get(generation)?.get_ptr_mut(host).map(Known::new)
}

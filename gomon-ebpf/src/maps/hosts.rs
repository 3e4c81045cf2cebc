//! The hosts that are known, with what went to endpoints of theirs there was no room for.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::btf_maps::{ArrayOfMaps, HashMap};
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::kernel::{Counted, DEFAULT_DESTINATIONS, Entry, GENERATIONS};

use super::ledger::Page;

type Inner = HashMap<Address, Counted, DEFAULT_DESTINATIONS>;

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
    let nothing = Counted { packets: 0, bytes: 0 };
    // Another CPU may have been faster.
    let known =
        inner.insert(host, nothing, BPF_NOEXIST.into()).is_ok() || inner.get_ptr(host).is_some();
    if !known {
        page.enter(Entry::HostsFull);
    }
    known
}

/// Adds a packet to a known host.
#[inline(always)]
pub(crate) fn add(generation: u32, host: &Address, length: u64) -> bool {
    let Some(counted) = HOSTS.get(generation).and_then(|inner| inner.get_ptr_mut(host)) else {
        return false;
    };
    // SAFETY: entries are removed only when no program is left that counts into this generation.
    unsafe { super::add(counted, length) };
    true
}

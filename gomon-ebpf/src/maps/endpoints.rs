//! Counts per destination endpoint.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::btf_maps::{ArrayOfMaps, HashMap};
use aya_ebpf::macros::btf_map;
use gomon_common::Endpoint;
use gomon_common::kernel::{DEFAULT_DESTINATIONS, Entry, GENERATIONS};

use super::ledger::Page;

/// The value is a [`Counted`](gomon_common::kernel::Counted), and not called so: for a struct, Linux
/// 5.15 to 6.1 look for a timer, and then find these maps unlike the ones the loader makes without
/// types.
type Inner = HashMap<Endpoint, [u64; 2], DEFAULT_DESTINATIONS>;

#[btf_map]
static ENDPOINTS: ArrayOfMaps<Inner, { GENERATIONS as usize }> = ArrayOfMaps::new();

/// Adds a packet to an endpoint that is known.
#[inline(always)]
pub(crate) fn add(generation: u32, endpoint: &Endpoint, length: u64) -> bool {
    let Some(counted) = ENDPOINTS.get(generation).and_then(|inner| inner.get_ptr_mut(endpoint))
    else {
        return false;
    };
    // SAFETY: entries are removed only when no program is left that counts into this generation.
    unsafe { super::add(counted.cast(), length) };
    true
}

/// Makes an endpoint known with its first packet, if there is room.
#[inline(always)]
pub(crate) fn insert(generation: u32, page: &Page, endpoint: &Endpoint, length: u64) -> bool {
    let Some(inner) = ENDPOINTS.get(generation) else { return false };
    let first = [1, length];
    if page.has(Entry::EndpointsFull) {
        return false;
    }
    if inner.insert(endpoint, first, BPF_NOEXIST.into()).is_ok() {
        return true;
    }
    // Another CPU may have been faster, and then the packet is added to what it made.
    let added = add(generation, endpoint, length);
    if !added {
        page.enter(Entry::EndpointsFull);
    }
    added
}

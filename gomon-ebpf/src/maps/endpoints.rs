//! Counts per destination endpoint.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::btf_maps::{ArrayOfMaps, HashMap};
use aya_ebpf::macros::btf_map;
use gomon_common::Endpoint;
use gomon_common::kernel::{DEFAULT_DESTINATIONS, Entry, GENERATIONS};

use super::known::Known;
use super::ledger::Page;

/// The value is a [`Destination`](gomon_common::kernel::Destination), and not called so: for a struct, Linux 5.15 to 6.1 look for a timer,
/// and then find these maps unlike the ones the loader makes without types.
type Inner = HashMap<Endpoint, [u64; 3], DEFAULT_DESTINATIONS>;

#[btf_map]
static ENDPOINTS: ArrayOfMaps<Inner, { GENERATIONS as usize }> = ArrayOfMaps::new();

/// Adds a packet to an endpoint that is known.
#[inline(always)]
pub(crate) fn add(generation: u32, endpoint: &Endpoint, length: u64) -> Option<Known> {
    let value = ENDPOINTS.get(generation)?.get_ptr_mut(endpoint)?;
    let known = Known::new(value);
    known.add(length);
    Some(known)
}

/// Makes an endpoint known with its first packet, if there is room.
#[inline(always)]
pub(crate) fn insert(generation: u32, page: &Page, endpoint: &Endpoint, length: u64) -> bool {
    let Some(inner) = ENDPOINTS.get(generation) else { return false };
    let first = [1, length, 0];
    if page.has(Entry::EndpointsFull) {
        return false;
    }
    if inner.insert(endpoint, first, BPF_NOEXIST.into()).is_ok() {
        return true;
    }
    // Another CPU may have been faster, and then the packet is added to what it made.
    let added = add(generation, endpoint, length).is_some();
    if !added {
        page.enter(Entry::EndpointsFull);
    }
    added
}

//! Counts per destination endpoint, and what shows of the contact with it.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::btf_maps::{ArrayOfMaps, HashMap};
use aya_ebpf::macros::btf_map;
use gomon_common::kernel::{Contact, DEFAULT_DESTINATIONS, Entry, GENERATIONS};
use gomon_common::{Endpoint, Packet};

use super::contact;
use super::known::Known;
use super::ledger::Page;

/// The value is a [`Destination`](gomon_common::kernel::Destination) with a [`Contact`] behind it, and
/// not called so: for a struct, Linux 5.15 to 6.1 look for a timer, and then find these maps unlike the
/// ones the loader makes without types.
type Value = [u64; 5];
type Inner = HashMap<Endpoint, Value, DEFAULT_DESTINATIONS>;

#[btf_map]
static ENDPOINTS: ArrayOfMaps<Inner, { GENERATIONS as usize }> = ArrayOfMaps::new();

#[inline(always)]
fn get(generation: u32, endpoint: &Endpoint) -> Option<*mut Value> {
    ENDPOINTS.get(generation)?.get_ptr_mut(endpoint)
}

/// Adds a packet to its destination if that is known.
#[inline(always)]
pub(crate) fn add(generation: u32, page: &Page, packet: &Packet, length: u64) -> Option<Known> {
    let value = get(generation, &packet.destination)?;
    let known = Known::new(value);
    known.add(length);
    if contact::wanted() {
        contact::Known::new(value).enter(packet.sign, page);
    }
    Some(known)
}

/// The contact with an endpoint that is known.
#[inline(always)]
pub(crate) fn contact(generation: u32, endpoint: &Endpoint) -> Option<contact::Known> {
    get(generation, endpoint).map(contact::Known::new)
}

/// Makes the destination of a packet known with it, if there is room.
#[inline(always)]
pub(crate) fn insert(generation: u32, page: &Page, packet: &Packet, length: u64) -> bool {
    let Some(inner) = ENDPOINTS.get(generation) else { return false };
    if page.has(Entry::EndpointsFull) {
        return false;
    }
    let Contact { tried, answered } = contact::first(packet.sign, page);
    let first = [1, length, 0, tried, answered];
    if inner.insert(&packet.destination, first, BPF_NOEXIST.into()).is_ok() {
        return true;
    }
    // Another CPU may have been faster, and then the packet is added to what it made.
    let added = add(generation, page, packet, length).is_some();
    if !added {
        page.enter(Entry::EndpointsFull);
    }
    added
}

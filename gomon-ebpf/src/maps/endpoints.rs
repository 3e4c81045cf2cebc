//! Counts per destination endpoint, and what shows of the contact with it.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::btf_maps::{ArrayOfMaps, HashMap};
use aya_ebpf::macros::btf_map;
use gomon_common::kernel::{Contact, DEFAULT_DESTINATIONS, GENERATIONS, LedgerEntry, SEVERAL};
use gomon_common::{Address, Endpoint, Packet};

use super::counter_entry::CounterEntry;
use super::ledger::CpuState;
use super::{contact, sources};

/// The value is a [`Destination`](gomon_common::kernel::DestinationValue) with a [`Contact`] and a source
/// behind it, and not called so: for a struct, Linux 5.15 to 6.1 look for a timer, and then find these
/// maps unlike the ones the loader makes without types.
type EndpointValue = [u64; 7];
type EndpointMap = HashMap<Endpoint, EndpointValue, DEFAULT_DESTINATIONS>;

#[btf_map]
static ENDPOINTS: ArrayOfMaps<EndpointMap, { GENERATIONS as usize }> = ArrayOfMaps::new();

#[inline(always)]
fn get(generation: u32, endpoint: &Endpoint) -> Option<*mut EndpointValue> {
    ENDPOINTS.get(generation)?.get_ptr_mut(endpoint)
}

/// Adds a packet to its destination if that is known.
#[inline(always)]
pub(crate) fn add(
    generation: u32,
    cpu: &CpuState,
    packet: &Packet,
    length: u64,
) -> Option<CounterEntry> {
    let value = get(generation, &packet.destination)?;
    let known = CounterEntry::new(value);
    known.add(length);
    if contact::wanted() {
        contact::ContactEntry::new(value).add(packet.contact, cpu);
    }
    if sources::any() {
        enter_origin(value, packet.source);
    }
    Some(known)
}

/// Enters whose packet it is, where it can be everybody's: the common case is that nothing is new.
#[inline(always)]
fn enter_origin(value: *mut EndpointValue, source: Address) {
    // SAFETY: the value is a live one of a map, and its last two numbers an address. It is changed once;
    // whoever finds it half changed finds another source, and changes it to the same.
    unsafe {
        let origin = value.cast::<u64>().add(5).cast::<Address>();
        if *origin != source && *origin != SEVERAL {
            *origin = SEVERAL;
        }
    }
}

/// The contact with an endpoint that is known.
#[inline(always)]
pub(crate) fn contact(generation: u32, endpoint: &Endpoint) -> Option<contact::ContactEntry> {
    get(generation, endpoint).map(contact::ContactEntry::new)
}

/// Makes the destination of a packet known with it, if there is room.
#[inline(always)]
pub(crate) fn insert(generation: u32, cpu: &CpuState, packet: &Packet, length: u64) -> bool {
    let Some(inner) = ENDPOINTS.get(generation) else { return false };
    if cpu.has(LedgerEntry::EndpointsFull) {
        return false;
    }
    let Contact { tried, answered } = contact::first(packet.contact, cpu);
    // The same bytes, whatever numbers they make here.
    let [high, low] = packet.source.halves().map(u64::to_be);
    let first = [1, length, 0, tried, answered, high, low];
    if inner.insert(&packet.destination, first, BPF_NOEXIST.into()).is_ok() {
        return true;
    }
    // Another CPU may have been faster, and then the packet is added to what it made.
    let added = add(generation, cpu, packet, length).is_some();
    if !added {
        cpu.record(LedgerEntry::EndpointsFull);
    }
    added
}

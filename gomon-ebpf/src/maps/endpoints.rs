//! Counts, contact times, and source of each listed endpoint.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::btf_maps::{ArrayOfMaps, HashMap};
use aya_ebpf::macros::btf_map;
use gomon_common::kernel::{ContactValue, DEFAULT_DESTINATIONS, LedgerEntry, SEVERAL_SOURCES};
use gomon_common::{Address, Endpoint, Packet};

use super::bots::Bot;
use super::contact;
use super::contact::ContactEntry;
use super::counter_entry::CounterEntry;

/// A [`DestinationValue`](gomon_common::kernel::DestinationValue), a [`ContactValue`], and the source
/// [`Address`]. Not declared as a struct: in a struct, Linux 5.15 to 6.1 look for a timer, and then
/// reject the inner maps, which the loader creates without BTF, as incompatible.
type EndpointValue = [u64; 7];
type EndpointMap = HashMap<Endpoint, EndpointValue, DEFAULT_DESTINATIONS>;

/// Array of hash maps. Key: cell. Value: a hash map from [`Endpoint`] to [`EndpointValue`]. User space sets
/// the number of entries.
#[btf_map]
static ENDPOINTS: ArrayOfMaps<EndpointMap, 1> = ArrayOfMaps::new();

#[inline(always)]
fn get(cell: u32, endpoint: &Endpoint) -> Option<*mut EndpointValue> {
    ENDPOINTS.get(cell)?.get_ptr_mut(endpoint)
}

/// Counts a packet if its destination is listed.
#[inline(always)]
pub(crate) fn add(bot: &Bot, packet: &Packet, length: u64) -> Option<CounterEntry> {
    let value = get(bot.cell(), &packet.destination)?;
    let entry = CounterEntry::new(value);
    entry.add(length);
    if bot.tracks_contacts() {
        ContactEntry::new(value).record(packet.contact, bot);
    }
    if bot.has_any_source() {
        record_source(value, packet.source);
    }
    Some(entry)
}

/// Records the source of a packet, if every source is the bot's. In the common case nothing changes.
#[inline(always)]
fn record_source(value: *mut EndpointValue, source: Address) {
    // SAFETY: the value is a live map value. Its last two words are an address. The address changes only
    // once: a CPU that reads a half-written one finds it different from the source, and writes the same
    // value.
    unsafe {
        let recorded = value.cast::<u64>().add(5).cast::<Address>();
        if *recorded != source && *recorded != SEVERAL_SOURCES {
            *recorded = SEVERAL_SOURCES;
        }
    }
}

/// Returns the contact times of a listed endpoint.
#[inline(always)]
pub(crate) fn contact(cell: u32, endpoint: &Endpoint) -> Option<ContactEntry> {
    get(cell, endpoint).map(ContactEntry::new)
}

/// Adds the destination of a packet to the map and counts the packet. Returns false if the map is full.
#[inline(always)]
pub(crate) fn insert(bot: &Bot, packet: &Packet, length: u64) -> bool {
    let Some(inner) = ENDPOINTS.get(bot.cell()) else { return false };
    if bot.cpu.is_set(LedgerEntry::EndpointsFull) {
        return false;
    }
    let ContactValue { attempted, replied } = contact::initial(packet.contact, bot);
    // Stored in network byte order, like every `Address`.
    let [high, low] = packet.source.halves().map(u64::to_be);
    let value = [1, length, 0, attempted, replied, high, low];
    if inner.insert(&packet.destination, value, BPF_NOEXIST.into()).is_ok() {
        return true;
    }
    // Another CPU may have inserted the endpoint first.
    let is_added = add(bot, packet, length).is_some();
    if !is_added {
        bot.cpu.record(LedgerEntry::EndpointsFull);
    }
    is_added
}

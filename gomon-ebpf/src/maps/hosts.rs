//! The listed hosts: what was sent to their unlisted endpoints, and how many of their packets were sent
//! to user space.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::btf_maps::{ArrayOfMaps, HashMap};
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::kernel::{DEFAULT_DESTINATIONS, LedgerEntry};

use super::bloom;
use super::bots::Bot;
use super::counter_entry::CounterEntry;

/// The value is a [`DestinationValue`](gomon_common::kernel::DestinationValue). It is not declared as a
/// struct for the same reason as the value of an endpoint.
type HostMap = HashMap<Address, [u64; 3], DEFAULT_DESTINATIONS>;

/// Array of hash maps. Key: cell. Value: a hash map from [`Address`] to three `u64`s. User space sets the
/// number of entries.
#[btf_map]
static HOSTS: ArrayOfMaps<HostMap, 1> = ArrayOfMaps::new();

/// Returns the entry of a listed host.
#[inline(always)]
pub(crate) fn get(bot: &Bot, host: &Address) -> Option<CounterEntry> {
    HOSTS.get(bot.cell())?.get_ptr_mut(host).map(CounterEntry::new)
}

/// Counts a packet to a host. Returns false if the host is unlisted.
#[inline(always)]
pub(crate) fn add(bot: &Bot, host: &Address, length: u64) -> bool {
    let Some(entry) = get(bot, host) else { return false };
    entry.add(length);
    true
}

/// Adds a host to the map. Returns false if the map is full.
#[inline(always)]
pub(crate) fn insert(bot: &Bot, host: &Address, hash: u64) -> bool {
    if bot.cpu.is_set(LedgerEntry::HostsFull) {
        return false;
    }
    let Some(inner) = HOSTS.get(bot.cell()) else { return false };
    // First the filter: it must contain every host in the map at any time.
    bloom::insert(bot, hash);
    // Another CPU may have inserted the host first.
    let is_listed =
        inner.insert(host, [0; 3], BPF_NOEXIST.into()).is_ok() || inner.get_ptr(host).is_some();
    if !is_listed {
        bot.cpu.record(LedgerEntry::HostsFull);
    }
    is_listed
}

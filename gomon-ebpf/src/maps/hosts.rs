//! The hosts that are known: what went to endpoints of theirs there was no room for, and how many of
//! their packets were sent up.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::btf_maps::{ArrayOfMaps, HashMap};
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::kernel::{DEFAULT_DESTINATIONS, Entry, GENERATIONS, Host};

use super::ledger::Page;

/// The value is a [`Host`], and not called so for the reason the endpoints have.
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
    // SAFETY: the host is a live value of the map.
    unsafe { super::add(&raw mut (*known.0).beside, length) };
    true
}

/// A known host. Entries are removed only when no program is left that counts into their generation.
pub(crate) struct Known(*mut Host);

#[inline(always)]
pub(crate) fn get(generation: u32, host: &Address) -> Option<Known> {
    let host = HOSTS.get(generation)?.get_ptr_mut(host)?;
    Some(Known(host.cast()))
}

impl Known {
    /// Packets of the host that were sent up in this slot. Where two CPUs begin one at the same time, a
    /// packet of it more may be.
    #[inline(always)]
    pub(crate) fn sent_in(&self, slot: u32) -> u32 {
        // SAFETY: the host is a live value of the map; numbers of four bytes are read and written whole.
        unsafe {
            if (*self.0).slot != slot {
                (*self.0).slot = slot;
                (*self.0).sent = 0;
            }
            (*self.0).sent
        }
    }

    /// Enters a packet that is sent up.
    #[inline(always)]
    pub(crate) fn enter_sent(&self) {
        // SAFETY: as above.
        unsafe { super::increment(&raw mut (*self.0).sent) };
    }
}

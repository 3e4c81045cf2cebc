//! The contact times of endpoints: when the bot first tried to reach them and when they first replied.

use aya_ebpf::Global;
use gomon_common::ContactFlag;
use gomon_common::kernel::ContactValue;

use super::ledger::CpuState;

#[unsafe(no_mangle)]
static TRACK_CONTACTS: Global<u8> = Global::new(0);

/// Returns whether contact times are recorded. This is a constant when the kernel loads the program, so the
/// verifier removes the code that depends on it.
#[inline(always)]
pub(crate) fn is_enabled() -> bool {
    TRACK_CONTACTS.load() != 0
}

/// Returns the contact times of an endpoint after its first packet.
#[inline(always)]
pub(crate) fn initial(flag: ContactFlag, cpu: &CpuState) -> ContactValue {
    let mut contact = ContactValue::default();
    if is_enabled() {
        match flag {
            ContactFlag::ATTEMPT => contact.attempted = cpu.coarse_time(),
            ContactFlag::ESTABLISHED => contact.replied = cpu.coarse_time(),
            _ => {}
        }
    }
    contact
}

/// The contact times in the map entry of an endpoint.
pub(crate) struct ContactEntry(*mut ContactValue);

impl ContactEntry {
    /// Returns the contact times in a value of the endpoint map.
    #[inline(always)]
    pub(crate) fn new(value: *mut [u64; 7]) -> Self {
        // SAFETY: the value is a live map value. Its fourth and fifth words are the contact times.
        Self(unsafe { value.cast::<u64>().add(3).cast() })
    }

    /// Records the contact flag of a further packet from the bot. In the common case nothing changes.
    #[inline(always)]
    pub(crate) fn record(&self, flag: ContactFlag, cpu: &CpuState) {
        // SAFETY: the entry is in a live map value. Aligned words are read and written atomically, and it
        // does not matter which of two CPUs writes first.
        unsafe {
            match flag {
                ContactFlag::ATTEMPT if (*self.0).attempted == 0 => {
                    (*self.0).attempted = cpu.coarse_time();
                }
                ContactFlag::ESTABLISHED if (*self.0).replied == 0 => {
                    (*self.0).replied = cpu.coarse_time();
                }
                _ => {}
            }
        }
    }

    /// Records a reply from the endpoint.
    #[inline(always)]
    pub(crate) fn record_reply(&self, now: u64) {
        // SAFETY: as above.
        unsafe {
            if (*self.0).replied == 0 {
                (*self.0).replied = now;
            }
        }
    }
}

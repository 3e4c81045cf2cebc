//! What shows whether an endpoint answers the bot.

use aya_ebpf::Global;
use gomon_common::ContactFlag;
use gomon_common::kernel::Contact;

use super::ledger::CpuState;

#[unsafe(no_mangle)]
static SWEEPS: Global<u8> = Global::new(0);

/// Whether anybody wants to know. The kernel knows the answer when it loads a program, and leaves out
/// what can't happen.
#[inline(always)]
pub(crate) fn wanted() -> bool {
    SWEEPS.load() != 0
}

/// What the first packet to an endpoint shows.
#[inline(always)]
pub(crate) fn first(flag: ContactFlag, cpu: &CpuState) -> Contact {
    let mut contact = Contact::default();
    if wanted() {
        match flag {
            ContactFlag::ATTEMPT => contact.tried = cpu.recent_time(),
            ContactFlag::ESTABLISHED => contact.answered = cpu.recent_time(),
            _ => {}
        }
    }
    contact
}

/// The contact in the entry of an endpoint.
pub(crate) struct ContactEntry(*mut Contact);

impl ContactEntry {
    /// The contact that lies behind the counts in a value of the endpoints' map.
    #[inline(always)]
    pub(crate) fn new(value: *mut [u64; 7]) -> Self {
        // SAFETY: the value is a live one of a map, and the contact its fourth and fifth number.
        Self(unsafe { value.cast::<u64>().add(3).cast() })
    }

    /// Enters what a further packet of the bot shows: the common case is that nothing is new.
    #[inline(always)]
    pub(crate) fn add(&self, flag: ContactFlag, cpu: &CpuState) {
        // SAFETY: the entry is a live value of a map; a number is read and written whole, and which of
        // two CPUs is the first to write it is no matter.
        unsafe {
            match flag {
                ContactFlag::ATTEMPT if (*self.0).tried == 0 => (*self.0).tried = cpu.recent_time(),
                ContactFlag::ESTABLISHED if (*self.0).answered == 0 => {
                    (*self.0).answered = cpu.recent_time();
                }
                _ => {}
            }
        }
    }

    #[inline(always)]
    pub(crate) fn answer(&self, now: u64) {
        // SAFETY: as above.
        unsafe {
            if (*self.0).answered == 0 {
                (*self.0).answered = now;
            }
        }
    }
}

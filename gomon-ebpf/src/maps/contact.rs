//! The contact times of endpoints: when the bot first tried to reach them and when they first replied.

use gomon_common::ContactFlag;
use gomon_common::kernel::ContactValue;

use super::bots::Bot;

/// Returns the contact times of an endpoint after its first packet.
#[inline(always)]
pub(crate) fn initial(flag: ContactFlag, bot: &Bot) -> ContactValue {
    let mut contact = ContactValue::default();
    if bot.tracks_contacts() {
        match flag {
            ContactFlag::ATTEMPT => contact.attempted = bot.cpu.coarse_time(),
            ContactFlag::ESTABLISHED => contact.replied = bot.cpu.coarse_time(),
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
    pub(crate) fn record(&self, flag: ContactFlag, bot: &Bot) {
        // SAFETY: the entry is in a live map value. Aligned words are read and written atomically, and it
        // does not matter which of two CPUs writes first.
        unsafe {
            match flag {
                ContactFlag::ATTEMPT if (*self.0).attempted == 0 => {
                    (*self.0).attempted = bot.cpu.coarse_time();
                }
                ContactFlag::ESTABLISHED if (*self.0).replied == 0 => {
                    (*self.0).replied = bot.cpu.coarse_time();
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

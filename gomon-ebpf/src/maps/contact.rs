//! What shows whether an endpoint answers the bot.

use aya_ebpf::Global;
use gomon_common::kernel::Contact;
use gomon_common::{Endpoint, Sign};

use super::ledger::Page;
use super::{awaited, endpoints};

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
pub(crate) fn first(sign: Sign, page: &Page) -> Contact {
    let mut contact = Contact::default();
    if wanted() {
        match sign {
            Sign::OPENING => contact.tried = page.recent_time(),
            Sign::FOLLOWING => contact.answered = page.recent_time(),
            _ => {}
        }
    }
    contact
}

/// The contact in the entry of an endpoint.
pub(crate) struct Known(*mut Contact);

impl Known {
    /// The contact that lies behind the counts in a value of the endpoints' map.
    #[inline(always)]
    pub(crate) fn new(value: *mut [u64; 7]) -> Self {
        // SAFETY: the value is a live one of a map, and the contact its fourth and fifth number.
        Self(unsafe { value.cast::<u64>().add(3).cast() })
    }

    /// Enters what a further packet of the bot shows: the common case is that nothing is new.
    #[inline(always)]
    pub(crate) fn enter(&self, sign: Sign, page: &Page) {
        // SAFETY: the entry is a live value of a map; a number is read and written whole, and which of
        // two CPUs is the first to write it is no matter.
        unsafe {
            match sign {
                Sign::OPENING if (*self.0).tried == 0 => (*self.0).tried = page.recent_time(),
                Sign::FOLLOWING if (*self.0).answered == 0 => {
                    (*self.0).answered = page.recent_time();
                }
                _ => {}
            }
        }
    }

    #[inline(always)]
    fn answer(&self, now: u64) {
        // SAFETY: as above.
        unsafe {
            if (*self.0).answered == 0 {
                (*self.0).answered = now;
            }
        }
    }
}

/// Enters a datagram that came back from an endpoint; true when it answers a contact. Where nobody
/// asked, nothing is kept. What waits from earlier panes is in the map of those, and, until the loader has
/// put it there, in the generation that was just closed.
#[inline(never)]
pub(crate) fn came_back(generation: u32, page: &Page, from: &Endpoint) -> bool {
    let now = page.recent_time();
    if let Some(contact) = endpoints::contact(generation, from) {
        contact.answer(now);
        return true;
    }
    if awaited::answer(from, now) {
        return true;
    }
    match endpoints::contact(generation ^ 1, from) {
        Some(contact) => {
            contact.answer(now);
            true
        }
        None => false,
    }
}

//! UDP replies to the bot, matched with the attempt they answer.

use gomon_common::Endpoint;

use super::ledger::CpuState;
use super::{endpoints, pending_replies};

/// Records a datagram that an endpoint sent to the bot; true when it answers an attempt of the bot's.
/// Unsolicited datagrams leave no trace. Attempts of earlier panes are in the map of pending replies, and,
/// until the loader has put them there, in the generation that was just closed.
#[inline(never)]
pub(crate) fn record(generation: u32, cpu: &CpuState, from: &Endpoint) -> bool {
    let now = cpu.recent_time();
    if let Some(contact) = endpoints::contact(generation, from) {
        contact.answer(now);
        return true;
    }
    if pending_replies::answer(from, now) {
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

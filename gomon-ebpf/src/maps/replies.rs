//! Matches UDP replies to the bot with the attempts they answer.

use gomon_common::Endpoint;

use super::bots::Bot;
use super::{endpoints, pending_replies};

/// Records a datagram from an endpoint to the bot. Returns whether it answers an attempt of the bot.
///
/// Unsolicited datagrams are not recorded. Attempts of earlier panes are in the map of pending replies,
/// or, until user space has moved them there, in the generation that was just closed.
#[inline(never)]
pub(crate) fn record(bot: &Bot, from: &Endpoint) -> bool {
    let now = bot.cpu.coarse_time();
    if let Some(contact) = endpoints::contact(bot.cell(), from) {
        contact.record_reply(now);
        return true;
    }
    if pending_replies::record_reply(bot, from, now) {
        return true;
    }
    match endpoints::contact(bot.other_cell(), from) {
        Some(contact) => {
            contact.record_reply(now);
            true
        }
        None => false,
    }
}

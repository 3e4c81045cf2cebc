//! Bots that would count the same packets.

use crate::core::Sources;
use crate::fleet::wanted::WantedBot;

/// Returns why two bots can't be watched at the same time, if they can't: they would count the same packets. A bot on
/// one interface takes precedence over the pattern that matches it.
pub(crate) fn conflict(a: &WantedBot, b: &WantedBot) -> Option<&'static str> {
    if a.interface() != b.interface() {
        return None;
    }
    if a.is_pattern() {
        return Some("the same pattern is");
    }
    match (a.sources(), b.sources()) {
        (Sources::Any, _) | (_, Sources::Any) => {
            Some("a bot with src = \"any\" and another on the same interface are")
        }
        (a @ Sources::Bot { .. }, b @ Sources::Bot { .. }) => {
            let is_shared = a.addresses().any(|one| b.addresses().any(|other| one == other));
            is_shared.then_some("the same interface and address are")
        }
    }
}

//! UDP contacts of earlier panes that are still unanswered. The eBPF programs record replies to them in a
//! map of their own for as long as replies may arrive.

use anyhow::Result;
use gomon_common::Endpoint;
use hashbrown::HashMap;

use super::clock::MonotonicClock;
use super::slot_maps::{EndpointMap, PendingMap};
use super::values::{EndpointValue, contact_times};
use crate::core::{ContactTimes, Span};

/// The contacts with pending replies. The map in the kernel has the same endpoints, each with the time of its
/// reply in nanoseconds on the monotonic clock, or 0.
#[derive(Default)]
pub(super) struct PendingReplies(HashMap<Endpoint, ContactTimes>);

impl PendingReplies {
    /// Shifts the times of the contacts by this many nanoseconds.
    pub(super) fn shift_times(&mut self, by: i64) {
        #[expect(clippy::disallowed_methods, reason = "independent of the order")]
        self.0.values_mut().for_each(|contacts| *contacts = contacts.shifted_by(by));
    }

    /// Returns the contacts of the pane `span`, and the replies to earlier ones, which are in `pending`. `drained`
    /// was read from `closed`, which still has its entries.
    ///
    /// Contacts that may be answered later become pending. If there is no room for one, its attempt is
    /// discarded, because its reply would be missed.
    pub(super) fn settle(
        &mut self,
        pending: &mut PendingMap,
        closed: &EndpointMap,
        drained: &[([u8; 24], EndpointValue)],
        span: Span,
        clock: &MonotonicClock,
    ) -> Result<Vec<(Endpoint, ContactTimes)>> {
        let capacity = usize::try_from(pending.capacity()).unwrap_or(usize::MAX);
        let mut all = self.take_replies(pending, span, clock)?;
        for (key, value) in drained {
            let endpoint = &Endpoint::from_bytes(*key);
            let mut contacts = contact_times(*value, clock).clamped_to(span);
            if contacts.awaits_reply(endpoint, span.end) && !self.0.contains_key(endpoint) {
                if self.0.len() < capacity {
                    pending.insert(*key, 0)?;
                    self.0.insert(*endpoint, contacts);
                    // Until this insertion the programs recorded the reply in the closed generation.
                    let value = closed.get(key)?;
                    contacts = contact_times(value, clock).clamped_to(span);
                } else {
                    contacts = contacts.without_attempt();
                }
            }
            all.push((*endpoint, contacts));
        }
        Ok(all)
    }

    /// Returns the replies received, and removes the contacts that are answered or have timed out.
    fn take_replies(
        &mut self,
        pending: &mut PendingMap,
        span: Span,
        clock: &MonotonicClock,
    ) -> Result<Vec<(Endpoint, ContactTimes)>> {
        let mut replies = Vec::new();
        let mut finished = Vec::new();
        #[expect(clippy::disallowed_methods, reason = "the contacts of a pane are sorted")]
        let contacts = self.0.iter();
        for (endpoint, contacts) in contacts {
            let reply_time = pending.get(&endpoint.bytes())?;
            if reply_time != 0 {
                let time = clock.wall_time(reply_time);
                replies.push((*endpoint, ContactTimes::new(None, Some(time))));
            }
            if reply_time != 0 || !contacts.awaits_reply(endpoint, span.end) {
                finished.push(*endpoint);
            }
        }
        for endpoint in finished {
            self.0.remove(&endpoint);
            pending.remove(&endpoint.bytes())?;
        }
        Ok(replies)
    }
}

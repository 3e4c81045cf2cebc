//! UDP contacts of earlier panes that are still unanswered. The eBPF programs record replies to them in a
//! map of their own for as long as replies may arrive.

use anyhow::Result;
use aya::maps::{HashMap, MapData};
use gomon_common::Endpoint;

use super::clock::MonotonicClock;
use super::values::{EndpointMap, EndpointValue, contact_times};
use crate::core::{ContactTimes, Span};

/// The contacts with pending replies, in user space and in the kernel.
pub(super) struct PendingReplies {
    /// The time of each contact's reply, in nanoseconds on the monotonic clock, or 0.
    map: HashMap<MapData, [u8; 24], u64>,
    contacts: hashbrown::HashMap<Endpoint, ContactTimes>,
    capacity: usize,
}

impl PendingReplies {
    /// Wraps an empty map with this capacity.
    pub(super) fn new(map: HashMap<MapData, [u8; 24], u64>, capacity: u32) -> Self {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        Self { map, contacts: hashbrown::HashMap::new(), capacity }
    }

    /// Shifts the times of the contacts by this many nanoseconds.
    pub(super) fn shift_times(&mut self, by: i64) {
        #[expect(clippy::disallowed_methods, reason = "independent of the order")]
        self.contacts.values_mut().for_each(|contacts| *contacts = contacts.shifted_by(by));
    }

    /// Returns the contacts of the pane `span`, and the replies to earlier ones. `drained` was read from
    /// `closed`, which still has its entries.
    ///
    /// Contacts that may be answered later become pending. If there is no room for one, its attempt is
    /// discarded, because its reply would be missed.
    pub(super) fn settle(
        &mut self,
        closed: &EndpointMap,
        drained: &[(Endpoint, EndpointValue)],
        span: Span,
        clock: &MonotonicClock,
    ) -> Result<Vec<(Endpoint, ContactTimes)>> {
        let mut all = self.take_replies(span, clock)?;
        for (endpoint, value) in drained {
            let mut contacts = contact_times(*value, clock).clamped_to(span);
            if contacts.awaits_reply(endpoint, span.end) && !self.contacts.contains_key(endpoint) {
                if self.contacts.len() < self.capacity {
                    self.map.insert(endpoint.bytes(), 0, 0)?;
                    self.contacts.insert(*endpoint, contacts);
                    // Until this insertion the programs recorded the reply in the closed generation.
                    let value = closed.get(&endpoint.bytes(), 0)?;
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
        span: Span,
        clock: &MonotonicClock,
    ) -> Result<Vec<(Endpoint, ContactTimes)>> {
        let mut replies = Vec::new();
        let mut finished = Vec::new();
        #[expect(clippy::disallowed_methods, reason = "the contacts of a pane are sorted")]
        let pending = self.contacts.iter();
        for (endpoint, contacts) in pending {
            let reply_time = self.map.get(&endpoint.bytes(), 0)?;
            if reply_time != 0 {
                let time = clock.wall_time(reply_time);
                replies.push((*endpoint, ContactTimes::new(None, Some(time))));
            }
            if reply_time != 0 || !contacts.awaits_reply(endpoint, span.end) {
                finished.push(*endpoint);
            }
        }
        for endpoint in finished {
            self.contacts.remove(&endpoint);
            self.map.remove(&endpoint.bytes())?;
        }
        Ok(replies)
    }
}

//! Contacts by UDP that the panes before left without an answer. The kernel program enters answers to
//! them in a map of its own, as long as they may still come.

use anyhow::Result;
use aya::maps::{HashMap, MapData};
use gomon_common::Endpoint;

use super::clock::MonotonicClock;
use super::kernel::{EndpointMap, EndpointValue};
use crate::core::{ContactTimes, Span};

/// The contacts, here and in the kernel.
pub(super) struct PendingReplies {
    map: HashMap<MapData, [u8; 24], u64>,
    contacts: hashbrown::HashMap<Endpoint, ContactTimes>,
    capacity: usize,
}

impl PendingReplies {
    /// None yet, and never more than `capacity`.
    pub(super) fn new(map: HashMap<MapData, [u8; 24], u64>, capacity: u32) -> Self {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        Self { map, contacts: hashbrown::HashMap::new(), capacity }
    }

    /// The wall's clock was set by so many nanoseconds.
    pub(super) fn clock_set(&mut self, by: i64) {
        self.contacts.values_mut().for_each(|contacts| *contacts = contacts.shifted_by(by));
    }

    /// The contacts of the pane `span`, whose endpoints were drained and are still in `closed`. Those whose
    /// answer may come later are pending_replies from here on; another one for which there is no room is no
    /// contact, since its answer would not be seen.
    pub(super) fn settle(
        &mut self,
        closed: &EndpointMap,
        drained: &[(Endpoint, EndpointValue)],
        span: Span,
        clock: &MonotonicClock,
    ) -> Result<Vec<(Endpoint, ContactTimes)>> {
        let mut all = self.answers(span, clock)?;
        for (endpoint, value) in drained {
            let mut contacts = contacts(*value, clock).clamped_to(span);
            if contacts.awaits_reply(endpoint, span.end) && !self.contacts.contains_key(endpoint) {
                if self.contacts.len() < self.capacity {
                    self.map.insert(endpoint.bytes(), 0, 0)?;
                    self.contacts.insert(*endpoint, contacts);
                    // Until here answers were entered where the contact was made.
                    contacts =
                        self::contacts(closed.get(&endpoint.bytes(), 0)?, clock).clamped_to(span);
                } else {
                    contacts = contacts.without_attempt();
                }
            }
            all.push((*endpoint, contacts));
        }
        Ok(all)
    }

    /// The answers to what is pending_replies. What was answered, and what no longer can be, is forgotten.
    fn answers(
        &mut self,
        span: Span,
        clock: &MonotonicClock,
    ) -> Result<Vec<(Endpoint, ContactTimes)>> {
        let mut answers = Vec::new();
        let mut over = Vec::new();
        for (endpoint, contacts) in &self.contacts {
            let answered = self.map.get(&endpoint.bytes(), 0)?;
            if answered != 0 {
                answers.push((*endpoint, ContactTimes::new(None, Some(clock.time(answered)))));
            }
            if answered != 0 || !contacts.awaits_reply(endpoint, span.end) {
                over.push(*endpoint);
            }
        }
        for endpoint in over {
            self.contacts.remove(&endpoint);
            self.map.remove(&endpoint.bytes())?;
        }
        Ok(answers)
    }
}

/// The contacts in the entry of an endpoint.
fn contacts([_, _, _, tried, answered, ..]: EndpointValue, clock: &MonotonicClock) -> ContactTimes {
    let time = |monotonic| (monotonic != 0).then(|| clock.time(monotonic));
    ContactTimes::new(time(tried), time(answered))
}

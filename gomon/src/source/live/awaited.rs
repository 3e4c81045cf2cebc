//! Contacts by UDP that the panes before left without an answer. The kernel program enters answers to
//! them in a map of its own, as long as they may still come.

use anyhow::Result;
use aya::maps::{HashMap, MapData};
use gomon_common::Endpoint;

use super::clock::Clock;
use super::kernel::{EndpointValue, Endpoints};
use crate::core::{Signs, Span};

/// The contacts, here and in the kernel.
pub(super) struct Awaited {
    map: HashMap<MapData, [u8; 24], u64>,
    contacts: hashbrown::HashMap<Endpoint, Signs>,
    capacity: usize,
}

impl Awaited {
    /// None yet, and never more than `capacity`.
    pub(super) fn new(map: HashMap<MapData, [u8; 24], u64>, capacity: u32) -> Self {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        Self { map, contacts: hashbrown::HashMap::new(), capacity }
    }

    /// The wall's clock was set by so many nanoseconds.
    pub(super) fn clock_set(&mut self, by: i64) {
        self.contacts.values_mut().for_each(|signs| *signs = signs.after(by));
    }

    /// The signs of the pane `span`, whose endpoints were drained and are still in `closed`. Those whose
    /// answer may come later are awaited from here on; another one for which there is no room is no
    /// contact, since its answer would not be seen.
    pub(super) fn settle(
        &mut self,
        closed: &Endpoints,
        drained: &[(Endpoint, EndpointValue)],
        span: Span,
        clock: &Clock,
    ) -> Result<Vec<(Endpoint, Signs)>> {
        let mut all = self.answers(span, clock)?;
        for (endpoint, value) in drained {
            let mut signs = signs(*value, clock).within(span);
            if signs.waits(endpoint, span.end) && !self.contacts.contains_key(endpoint) {
                if self.contacts.len() < self.capacity {
                    self.map.insert(endpoint.bytes(), 0, 0)?;
                    self.contacts.insert(*endpoint, signs);
                    // Until here answers were entered where the contact was made.
                    signs = self::signs(closed.get(&endpoint.bytes(), 0)?, clock).within(span);
                } else {
                    signs = signs.without_try();
                }
            }
            all.push((*endpoint, signs));
        }
        Ok(all)
    }

    /// The answers to what is awaited. What was answered, and what no longer can be, is forgotten.
    fn answers(&mut self, span: Span, clock: &Clock) -> Result<Vec<(Endpoint, Signs)>> {
        let mut answers = Vec::new();
        let mut over = Vec::new();
        for (endpoint, signs) in &self.contacts {
            let answered = self.map.get(&endpoint.bytes(), 0)?;
            if answered != 0 {
                answers.push((*endpoint, Signs::new(None, Some(clock.time(answered)))));
            }
            if answered != 0 || !signs.waits(endpoint, span.end) {
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

/// The signs in the entry of an endpoint.
fn signs([_, _, _, tried, answered, ..]: EndpointValue, clock: &Clock) -> Signs {
    let time = |monotonic| (monotonic != 0).then(|| clock.time(monotonic));
    Signs::new(time(tried), time(answered))
}

//! Sweeps: ports on which most hosts the bot tries do not answer.
//!
//! Per protocol and port a sequential test of two hypotheses (threshold random walk; Jung, Paxson,
//! Berger, Balakrishnan, "Fast Portscan Detection Using Sequential Hypothesis Testing", IEEE S&P
//! 2004). A host that a client wants answers with probability 0.8, one that a scanner guesses with
//! 0.2. Each contact multiplies the likelihood ratio of "scanner" to "client": by 0.8 / 0.2 = 4 when
//! it stays unanswered, by 0.2 / 0.8 = 1/4 when it is answered. Its logarithm is a walk in steps of
//! ln 4; where it passes ln(0.99 / 0.01) = ln 99, "client" is rejected at one error in a hundred.
//!
//! The walk never falls below 0 (a cumulative sum; Page, "Continuous Inspection Schemes", Biometrika
//! 1954), so that good behaviour buys no credit: a bot that begins to scan is named after as many
//! contacts as one that always did. It moves once a pane, by what was decided in the pane, so the
//! order within a pane does not matter.
//!
//! Memory is bounded whatever the bot does, and what is forgotten errs towards silence:
//!
//! | kept | bound | past it |
//! | --- | --- | --- |
//! | hosts tried, per port | a Bloom filter of 2 MiB | a new host may be taken for one known, and is no contact |
//! | the walks | one for each port there is, 131,072 at most | |
//! | contacts that wait for an answer | the endpoints listed in the last three seconds | an endpoint that is not listed is no contact |

use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::net::IpAddr;

use gomon_common::{Endpoint, hash, protocol};
use hashbrown::HashMap;

use super::contact::ANSWER_TIME;
use super::{Timestamp, WindowCounts};

/// What a contact adds to the score when it stays unanswered, and takes from it otherwise: ln 4.
const STEP: f64 = 2.0 * LN_2;
/// The score above which a port is swept: ln 99.
const SWEPT: f64 = 4.595_119_850_134_59;

/// A transport protocol and a destination port.
pub type Service = (u8, u16);

/// The test of one port.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Walk {
    /// Contacts that were answered.
    pub answered: u64,
    /// Contacts that were not.
    pub unanswered: u64,
    /// The logarithm of the likelihood ratio, 0 at least.
    pub score: f64,
}

impl Walk {
    /// Contacts that were decided.
    #[must_use]
    pub fn contacts(&self) -> u64 {
        self.answered + self.unanswered
    }

    /// Enters what was decided in a pane.
    #[expect(clippy::cast_precision_loss, reason = "contacts of one pane")]
    fn enter(&mut self, answered: u64, unanswered: u64) {
        self.answered += answered;
        self.unanswered += unanswered;
        self.score = (self.score + (unanswered as f64 - answered as f64) * STEP).max(0.0);
    }
}

/// A contact that was decided: the endpoint, and whether it answered.
pub type Decision = (Endpoint, bool);

/// The tests of all ports.
#[derive(Debug, Default)]
pub struct Sweeps {
    walks: HashMap<Service, Walk>,
    tried: Filter,
    /// Contacts that are not decided, with the time of the first try.
    waiting: HashMap<Endpoint, Timestamp>,
    /// Whether what goes to the bot could ever be seen.
    both_directions: bool,
    /// Contacts that stayed without an answer which, if there was one, could not be seen.
    unseen: HashMap<Service, u64>,
}

impl Sweeps {
    /// Enters a pane, and returns the contacts that were decided in it, ascending.
    pub fn pane(&mut self, pane: &WindowCounts) -> Vec<Decision> {
        let mut results: BTreeMap<Service, (u64, u64)> = BTreeMap::new();
        if pane.both_directions && !self.both_directions {
            self.both_directions = true;
            results =
                self.unseen.drain().map(|(service, contacts)| (service, (0, contacts))).collect();
        }
        let mut decided = Vec::new();
        for (endpoint, contacts) in &pane.contacts {
            if let Some(tried) = contacts.tried()
                && is_contact(endpoint)
                && self.tried.insert(endpoint)
            {
                self.waiting.insert(*endpoint, tried);
            }
            if let Some(answered) = contacts.answered()
                && let Some(tried) = self.waiting.get(endpoint)
                && answered.since(*tried) <= ANSWER_TIME
            {
                self.waiting.remove(endpoint);
                decided.push((*endpoint, true));
                results.entry(service(endpoint)).or_default().0 += 1;
            }
        }
        let end = pane.watched_until();
        let late = |_: &Endpoint, tried: &mut Timestamp| end.since(*tried) >= ANSWER_TIME;
        for (endpoint, _) in self.waiting.extract_if(late) {
            let service = service(&endpoint);
            if endpoint.protocol() == protocol::UDP && !self.both_directions {
                *self.unseen.entry(service).or_default() += 1;
                continue;
            }
            decided.push((endpoint, false));
            results.entry(service).or_default().1 += 1;
        }
        for (service, (answered, unanswered)) in results {
            self.walks.entry(service).or_default().enter(answered, unanswered);
        }
        decided.sort_unstable();
        decided
    }

    /// The clock was set by so many nanoseconds: contacts wait for their answers by the new one.
    pub fn clock_set(&mut self, by: i64) {
        self.waiting.values_mut().for_each(|tried| *tried = tried.after(by));
    }

    /// The test of a port that is swept: its score is high enough, and so many contacts were decided.
    #[must_use]
    pub fn swept(&self, service: Service, fewest: u64) -> Option<Walk> {
        let walk = self.walks.get(&service)?;
        (walk.score > SWEPT && walk.contacts() >= fewest).then_some(*walk)
    }

    /// All tests, in no order.
    pub fn walks(&self) -> impl Iterator<Item = (Service, Walk)> {
        self.walks.iter().map(|(service, walk)| (*service, *walk))
    }

    /// Whether contacts wait for an answer.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether nothing that goes to the bot was ever seen, so that no UDP contact can be judged.
    #[must_use]
    pub fn is_one_sided(&self) -> bool {
        !self.both_directions
    }

    /// Whether there are UDP contacts that are not judged for that reason.
    #[must_use]
    pub fn leaves_unjudged(&self) -> bool {
        let waits = |endpoint: &Endpoint| endpoint.protocol() == protocol::UDP;
        !self.both_directions && (!self.unseen.is_empty() || self.waiting.keys().any(waits))
    }
}

/// The protocol and port of an endpoint.
pub(super) fn service(endpoint: &Endpoint) -> Service {
    (endpoint.protocol(), endpoint.port())
}

/// Whether a try to reach an endpoint is a contact: it has a port, and is one host's. An IPv4 address
/// that ends in 255 is most often the broadcast address of a network, whose length nobody here knows.
fn is_contact(endpoint: &Endpoint) -> bool {
    let everybody = match endpoint.address().ip() {
        IpAddr::V4(ip) => ip.is_multicast() || ip.octets()[3] == 255 || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_multicast() || ip.is_unspecified(),
    };
    endpoint.port() != 0 && !everybody
}

/// Endpoints that were tried, as a Bloom filter (Bloom, "Space/Time Trade-offs in Hash Coding with
/// Allowable Errors", CACM 1970): when a million are in it, one in five hundred others seems to be.
///
/// All bits of an endpoint lie in one page, and a page is there once an endpoint falls into it: what a few
/// hundred endpoints take is a few hundred pages, each asked for once.
#[derive(Debug, Default)]
struct Filter(Vec<Option<Box<[u64; WORDS]>>>);

/// Words of a page: as large as what the system hands out.
const WORDS: usize = 512;

impl Filter {
    const PAGES: usize = 512;
    const HASHES: u64 = 4;

    /// Adds an endpoint; false when it is there already, or seems to be.
    fn insert(&mut self, endpoint: &Endpoint) -> bool {
        if self.0.is_empty() {
            self.0.resize(Self::PAGES, None);
        }
        let (protocol, port) = service(endpoint);
        let host = hash::hash(endpoint.address().halves());
        let first = hash::hash([host, u64::from(protocol) << 16 | u64::from(port)]);
        // Two parts of one hash make as many as are needed (Kirsch, Mitzenmacher, "Less Hashing, Same
        // Performance", ESA 2006); the page is told by a third.
        let second = first >> 16 | 1;
        let page = &mut self.0[(first >> 48) as usize % Self::PAGES];
        let page = page.get_or_insert_with(|| Box::new([0; WORDS]));
        let mut is_new = false;
        for number in 0..Self::HASHES {
            let bit = first.wrapping_add(number.wrapping_mul(second));
            let word = &mut page[(bit / 64) as usize % WORDS];
            is_new |= *word & 1 << (bit % 64) == 0;
            *word |= 1 << (bit % 64);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use gomon_common::Address;

    use super::*;

    #[test]
    fn of_a_million_hosts_on_one_port_no_more_than_one_in_four_hundred_seems_to_be_known() {
        let endpoint = |n: u32| Endpoint::new(Address::v4(n.to_be_bytes()), protocol::TCP, 23);
        let mut filter = Filter::default();
        let new = (0..1_000_000).filter(|n| filter.insert(&endpoint(*n))).count();
        assert!(new > 999_000, "{new}: few are in it for most of the time");
        assert!((0..1_000_000).all(|n| !filter.insert(&endpoint(n))), "whoever is in it is known");
        let known = (1_000_000..1_040_000).filter(|n| !filter.insert(&endpoint(*n))).count();
        assert!(known < 100, "{known} of 40000");
    }
}

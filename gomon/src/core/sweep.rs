//! Detection of sweeps: ports on which most hosts that the bot contacts do not answer.
//!
//! For each protocol and port it runs a sequential hypothesis test (threshold random walk; Jung, Paxson,
//! Berger, Balakrishnan, "Fast Portscan Detection Using Sequential Hypothesis Testing", IEEE S&P 2004). A
//! contact is the first attempt to connect to a host. It is answered with probability 0.8 if the bot is a
//! client, and with probability 0.2 if it is a scanner. Each contact multiplies the likelihood ratio of
//! "scanner" to "client": by 0.8 / 0.2 = 4 if it is unanswered, by 0.2 / 0.8 = 1/4 if it is answered. The log-likelihood ratio is a random walk in steps of ln 4. Above ln(0.99 / 0.01) = ln 99,
//! the port is swept, with a detection rate of 0.99 and a false positive rate of 0.01.
//!
//! The log-likelihood ratio is never less than 0 (a cumulative sum; Page, "Continuous Inspection Schemes",
//! Biometrika 1954), so earlier answered contacts do not delay detection: a bot that begins to scan is detected after
//! as many contacts as one that always did. It is updated once per pane, with all contacts decided in the
//! pane, so the order within a pane does not matter.
//!
//! Memory is bounded whatever the bot sends. Where state is dropped, sweeps are missed rather than invented:
//!
//! | state | bound | beyond it |
//! | --- | --- | --- |
//! | contacted endpoints | a Bloom filter of 2 MiB | a new endpoint may be a false positive of the filter, and is then not a contact |
//! | the tests | one per port that occurs, 131,072 at most | |
//! | pending contacts | the endpoints listed in the last three seconds | an unlisted endpoint is not a contact |

use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::net::IpAddr;

use gomon_common::{Endpoint, hash, protocol};
use hashbrown::HashMap;

use super::contact::REPLY_TIMEOUT;
use super::{Timestamp, WindowCounts};

/// What an unanswered contact adds to the log-likelihood ratio, and an answered one subtracts: ln 4.
const STEP: f64 = 2.0 * LN_2;
/// The log-likelihood ratio above which a port is swept: ln 99.
const THRESHOLD: f64 = 4.595_119_850_134_59;

/// A transport protocol and a destination port.
pub type Service = (u8, u16);

/// The state of the sequential hypothesis test of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SweepTest {
    /// Contacts whose host answered in time.
    pub answered: u64,
    /// Contacts whose host did not.
    pub unanswered: u64,
    /// The log-likelihood ratio, at least 0.
    pub score: f64,
}

impl SweepTest {
    /// The number of decided contacts.
    #[must_use]
    pub fn contacts(&self) -> u64 {
        self.answered + self.unanswered
    }

    /// Updates the test with the contacts decided in a pane.
    #[expect(clippy::cast_precision_loss, reason = "contacts of one pane")]
    fn update(&mut self, answered: u64, unanswered: u64) {
        self.answered += answered;
        self.unanswered += unanswered;
        self.score = (self.score + (unanswered as f64 - answered as f64) * STEP).max(0.0);
    }
}

/// The outcome of a decided contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContactOutcome {
    /// The contacted endpoint.
    pub endpoint: Endpoint,
    /// Whether it answered in time.
    pub is_answered: bool,
}

/// Runs the tests of all services.
#[derive(Debug, Default)]
pub struct SweepDetector {
    tests: HashMap<Service, SweepTest>,
    /// Endpoints of earlier contact attempts.
    contacted: EndpointFilter,
    /// Contacts that are not decided yet, with the time of the first attempt.
    pending: HashMap<Endpoint, Timestamp>,
    /// Whether packets to the bot have ever been visible.
    both_directions: bool,
    /// UDP contacts that seem unanswered while packets to the bot are not visible.
    unjudged: HashMap<Service, u64>,
}

impl SweepDetector {
    /// Adds a pane, and returns the contacts decided in it, sorted.
    pub fn add_pane(&mut self, pane: &WindowCounts) -> Vec<ContactOutcome> {
        // The numbers of answered and of unanswered contacts.
        let mut results: BTreeMap<Service, (u64, u64)> = BTreeMap::new();
        if pane.both_directions && !self.both_directions {
            self.both_directions = true;
            #[expect(clippy::disallowed_methods, reason = "collected into an ordered map")]
            let unjudged = self.unjudged.drain();
            results = unjudged.map(|(service, contacts)| (service, (0, contacts))).collect();
        }
        let mut decided = Vec::new();
        for (endpoint, times) in &pane.contacts {
            if let Some(attempt) = times.attempt()
                && is_contact(endpoint)
                && self.contacted.insert(endpoint)
            {
                self.pending.insert(*endpoint, attempt);
            }
            if let Some(reply) = times.reply()
                && let Some(attempt) = self.pending.get(endpoint)
                && reply.since(*attempt) <= REPLY_TIMEOUT
            {
                self.pending.remove(endpoint);
                decided.push(ContactOutcome { endpoint: *endpoint, is_answered: true });
                results.entry(service(endpoint)).or_default().0 += 1;
            }
        }
        let end = pane.observed_until();
        let timed_out =
            |_: &Endpoint, attempt: &mut Timestamp| end.since(*attempt) >= REPLY_TIMEOUT;
        #[expect(clippy::disallowed_methods, reason = "sorted below")]
        for (endpoint, _) in self.pending.extract_if(timed_out) {
            let service = service(&endpoint);
            if endpoint.protocol() == protocol::UDP && !self.both_directions {
                *self.unjudged.entry(service).or_default() += 1;
                continue;
            }
            decided.push(ContactOutcome { endpoint, is_answered: false });
            results.entry(service).or_default().1 += 1;
        }
        for (service, (answered, unanswered)) in results {
            self.tests.entry(service).or_default().update(answered, unanswered);
        }
        decided.sort_unstable();
        decided
    }

    /// Moves the times of pending contacts, after the clock was set by `by` nanoseconds.
    pub fn clock_set(&mut self, by: i64) {
        #[expect(clippy::disallowed_methods, reason = "independent of the order")]
        self.pending.values_mut().for_each(|attempt| *attempt = attempt.after(by));
    }

    /// Returns the test of a service if it is swept: its score is above the threshold, and at least
    /// `min_contacts` contacts are decided.
    #[must_use]
    pub fn swept(&self, service: Service, min_contacts: u64) -> Option<SweepTest> {
        let test = self.tests.get(&service)?;
        (test.score > THRESHOLD && test.contacts() >= min_contacts).then_some(*test)
    }

    /// All tests, sorted by service.
    #[must_use]
    pub fn tests(&self) -> Vec<(Service, SweepTest)> {
        #[expect(clippy::disallowed_methods, reason = "sorted below")]
        let mut tests: Vec<_> =
            self.tests.iter().map(|(service, test)| (*service, *test)).collect();
        tests.sort_unstable_by_key(|(service, _)| *service);
        tests
    }

    /// Whether there are contacts that are not decided yet.
    #[must_use]
    pub fn has_pending_contacts(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether no packet to the bot has been visible, so that UDP contacts can't be judged.
    #[must_use]
    pub fn is_one_directional(&self) -> bool {
        !self.both_directions
    }

    /// Whether there are UDP contacts that can't be judged because no packet to the bot has been visible.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "independent of the order")]
    pub fn has_unjudged_contacts(&self) -> bool {
        let is_udp = |endpoint: &Endpoint| endpoint.protocol() == protocol::UDP;
        !self.both_directions && (!self.unjudged.is_empty() || self.pending.keys().any(is_udp))
    }
}

/// Returns the service of an endpoint.
pub(super) fn service(endpoint: &Endpoint) -> Service {
    (endpoint.protocol(), endpoint.port())
}

/// Whether an attempt to connect to an endpoint is a contact: the endpoint has a port and a unicast address. An IPv4
/// address that ends in 255 is most often the broadcast address of a network; the prefix length is not known
/// here.
fn is_contact(endpoint: &Endpoint) -> bool {
    let is_unicast = match endpoint.address().ip() {
        IpAddr::V4(ip) => !(ip.is_multicast() || ip.octets()[3] == 255 || ip.is_unspecified()),
        IpAddr::V6(ip) => !(ip.is_multicast() || ip.is_unspecified()),
    };
    endpoint.port() != 0 && is_unicast
}

/// A set of endpoints as a blocked Bloom filter (Bloom, "Space/Time Trade-offs in Hash Coding with Allowable
/// Errors", CACM 1970): with a million endpoints in it, the false positive rate is one in five hundred.
///
/// All bits of an endpoint are in one block, and a block is allocated when the first endpoint maps to it. A few
/// hundred endpoints therefore take at most a few hundred blocks.
#[derive(Debug, Default)]
struct EndpointFilter(Vec<Option<Box<[u64; BLOCK_WORDS]>>>);

/// Words of a block: 4 KiB, the size of a memory page.
const BLOCK_WORDS: usize = 512;

impl EndpointFilter {
    const BLOCKS: usize = 512;
    const HASHES: u64 = 4;

    /// Adds an endpoint. Returns `false` if it is in the set already, or is a false positive.
    fn insert(&mut self, endpoint: &Endpoint) -> bool {
        if self.0.is_empty() {
            self.0.resize(Self::BLOCKS, None);
        }
        let (protocol, port) = service(endpoint);
        let host = hash::hash(endpoint.address().halves());
        let first = hash::hash([host, u64::from(protocol) << 16 | u64::from(port)]);
        // All bit positions are derived from two parts of one hash (Kirsch, Mitzenmacher, "Less Hashing, Same
        // Performance", ESA 2006), and the block from a third part.
        let second = first >> 16 | 1;
        let block = &mut self.0[(first >> 48) as usize % Self::BLOCKS];
        let block = block.get_or_insert_with(|| Box::new([0; BLOCK_WORDS]));
        let mut is_new = false;
        for number in 0..Self::HASHES {
            let bit = first.wrapping_add(number.wrapping_mul(second));
            let word = &mut block[(bit / 64) as usize % BLOCK_WORDS];
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
    fn the_false_positive_rate_with_a_million_hosts_is_below_one_in_four_hundred() {
        let endpoint = |n: u32| Endpoint::new(Address::v4(n.to_be_bytes()), protocol::TCP, 23);
        let mut filter = EndpointFilter::default();
        let new = (0..1_000_000).filter(|n| filter.insert(&endpoint(*n))).count();
        assert!(new > 999_000, "{new}: the rate is lower while the filter fills");
        assert!((0..1_000_000).all(|n| !filter.insert(&endpoint(n))), "no false negatives");
        let positives = (1_000_000..1_040_000).filter(|n| !filter.insert(&endpoint(*n))).count();
        assert!(positives < 100, "{positives} of 40000");
    }
}

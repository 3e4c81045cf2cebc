//! The sources of a capture with their traffic, for a user who does not know yet which one is the bot.
//!
//! Memory is bounded by the number of listed sources. When the list is full, the sources with the fewest packets
//! are removed, so that a flood from random sources does not displace the busy ones.

use gomon_common::{Address, Mac, Packet, Skip};
use hashbrown::{HashMap, HashSet};

use super::{Counts, HyperLogLog, Ledger, Timestamp};

/// The maximum number of destinations of one source that are counted exactly. Beyond it, the number is estimated.
const EXACT_DESTINATIONS: usize = 64;

/// Identifies a source: its IP address, and the MAC address of its frames if they have one.
pub type TalkerKey = (Address, Option<Mac>);

/// The traffic of a source.
#[derive(Clone, Debug, Default)]
pub struct Talker {
    /// Its packets.
    pub counts: Counts,
    /// The times of its earliest and latest packet, if any has a time.
    pub times: Option<(Timestamp, Timestamp)>,
    destinations: TalkerDestinations,
}

#[derive(Clone, Debug)]
enum TalkerDestinations {
    Exact(HashSet<Address>),
    Estimated(HyperLogLog),
}

/// The busiest sources of packets.
#[derive(Debug)]
pub struct Talkers {
    capacity: usize,
    sources: HashMap<TalkerKey, Talker>,
    unlisted: Counts,
    ledger: Ledger,
}

impl Talkers {
    /// Creates an empty list of up to `capacity` sources.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            sources: HashMap::new(),
            unlisted: Counts::default(),
            ledger: Ledger::default(),
        }
    }

    /// Records a packet in a frame of `length` bytes.
    pub fn record(
        &mut self,
        packet: &Packet,
        sender: Option<Mac>,
        length: u32,
        time: Option<Timestamp>,
    ) {
        self.ledger.counted += 1;
        let source = (packet.source, sender);
        if self.sources.len() >= self.capacity && !self.sources.contains_key(&source) {
            self.evict_quietest();
        }
        let talker = self.sources.entry(source).or_default();
        talker.counts += Counts::frame(length);
        talker.destinations.insert(packet.destination.address());
        if let Some(time) = time {
            let (first, last) = talker.times.unwrap_or((time, time));
            talker.times = Some((first.min(time), last.max(time)));
        }
    }

    /// Records a skipped frame: one without an IP packet, or a malformed one.
    pub fn skip(&mut self, skip: Skip) {
        self.ledger.skip(skip);
    }

    /// The frames by outcome. All packets are `counted`.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Packets of unlisted sources, including those that a listed source sent before it was last removed.
    #[must_use]
    pub fn unlisted(&self) -> Counts {
        self.unlisted
    }

    /// The listed sources, the busiest first.
    #[must_use]
    pub fn list(&self) -> Vec<(TalkerKey, &Talker)> {
        #[expect(clippy::disallowed_methods, reason = "sorted below")]
        let mut list: Vec<_> =
            self.sources.iter().map(|(source, talker)| (*source, talker)).collect();
        list.sort_unstable_by_key(|(source, talker)| (u64::MAX - talker.counts.packets, *source));
        list
    }

    /// Removes at least half of the sources, those with the fewest packets.
    #[cold]
    fn evict_quietest(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "the median does not depend on the order")]
        let mut packets: Vec<_> =
            self.sources.values().map(|talker| talker.counts.packets).collect();
        let half = packets.len() / 2;
        let (_, &mut median, _) = packets.select_nth_unstable(half);
        let unlisted = &mut self.unlisted;
        #[expect(clippy::disallowed_methods, reason = "independent of the order")]
        self.sources.retain(|_, talker| {
            let is_kept = talker.counts.packets > median;
            if !is_kept {
                *unlisted += talker.counts;
            }
            is_kept
        });
    }
}

impl Talker {
    /// The number of distinct destination hosts, and whether it was counted, not estimated.
    #[must_use]
    pub fn destinations(&self) -> (u64, bool) {
        match &self.destinations {
            TalkerDestinations::Exact(hosts) => (hosts.len() as u64, true),
            TalkerDestinations::Estimated(sketch) => (sketch.estimate(), false),
        }
    }
}

impl Default for TalkerDestinations {
    fn default() -> Self {
        Self::Exact(HashSet::new())
    }
}

impl TalkerDestinations {
    fn insert(&mut self, host: Address) {
        match self {
            Self::Exact(hosts) if hosts.len() < EXACT_DESTINATIONS || hosts.contains(&host) => {
                hosts.insert(host);
            }
            Self::Exact(hosts) => {
                let mut sketch = HyperLogLog::default();
                #[expect(clippy::disallowed_methods, reason = "independent of the order")]
                hosts.drain().chain([host]).for_each(|host| sketch.insert(host));
                *self = Self::Estimated(sketch);
            }
            Self::Estimated(sketch) => sketch.insert(host),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gomon_common::Endpoint;
    use proptest::prelude::*;

    use super::*;

    fn packet(source: u32, destination: u32) -> Packet {
        let address = |number: u32| Address::v4(number.to_be_bytes());
        let destination = Endpoint::new(address(destination), 6, 80);
        Packet { source: address(source), destination, ..Packet::default() }
    }

    proptest! {
        #[test]
        fn every_packet_is_counted_for_a_listed_or_an_unlisted_source(
            sent in prop::collection::vec((0u32..30, 0u32..100, 60u32..1500), 0..400),
            capacity in 1usize..40,
        ) {
            let mut talkers = Talkers::new(capacity);
            let mut naive: BTreeMap<Address, Counts> = BTreeMap::new();
            for &(source, destination, length) in &sent {
                let packet = packet(source, destination);
                talkers.record(&packet, None, length, None);
                *naive.entry(packet.source).or_default() += Counts::frame(length);
                prop_assert!(talkers.sources.len() <= capacity);
            }
            let mut total = talkers.unlisted();
            talkers.list().iter().for_each(|(_, talker)| total += talker.counts);
            let bytes = sent.iter().map(|(_, _, length)| u64::from(*length)).sum();
            prop_assert_eq!(total, Counts { packets: sent.len() as u64, bytes });
            prop_assert!(talkers.list().is_sorted_by_key(|(_, t)| u64::MAX - t.counts.packets));
            if naive.len() <= capacity {
                let listed = talkers.list().into_iter().map(|((address, _), t)| (address, t.counts));
                prop_assert_eq!(listed.collect::<BTreeMap<_, _>>(), naive);
            }
        }
    }

    #[test]
    fn a_busy_source_stays_listed_during_a_flood_from_random_sources() {
        let mut talkers = Talkers::new(100);
        for number in 0..100_000 {
            talkers.record(&packet(1_000_000 + number, 1), None, 60, None);
            if number % 10 == 0 {
                talkers.record(&packet(7, number), None, 60, None);
            }
        }
        let list = talkers.list();
        let ((source, _), talker) = list[0];
        assert_eq!(source.to_string(), "0.0.0.7");
        assert_eq!(talker.counts.packets, 10_000);
        let (destinations, exact) = talker.destinations();
        assert!(!exact && destinations.abs_diff(10_000) < 500, "{destinations}");
        assert!(list[1].1.destinations() == (1, true));
    }

    #[test]
    fn times_are_the_earliest_and_the_latest_in_any_order() {
        let mut talkers = Talkers::new(1);
        for time in [20, 10, 30] {
            let time = Timestamp::from_nanoseconds(time);
            talkers.record(&packet(1, 2), None, 60, Some(time));
        }
        talkers.record(&packet(1, 2), None, 60, None);
        let times = talkers.list()[0].1.times.unwrap();
        assert_eq!((times.0.nanoseconds(), times.1.nanoseconds()), (10, 30));
    }
}

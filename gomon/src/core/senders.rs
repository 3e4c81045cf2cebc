//! Who sends, for as long as it is in doubt who the bot is.
//!
//! A wrong address counts nothing, and everybody's packets of a capture of both directions take the
//! victims for bots. Both show in the first packets, and a warning that names the busiest sources says
//! what to type instead. What is looked at is bounded: so many packets, and so many sources of them.

use std::net::IpAddr;

use gomon_common::{Address, Packet};
use hashbrown::{HashMap, HashSet};

/// Packets that are looked at.
const PACKETS: u64 = 1 << 16;
/// Sources, and pairs of source and destination, that are told apart.
const DISTINCT: usize = 1024;
/// Sources that are named.
const NAMED: usize = 5;
/// Packets from which it is reported before the run's end: with fewer, the bot may still be silent while
/// others resolve names or look for routers.
const ENOUGH: u64 = 10;

/// Whether a source tells who a host is: link-local and unspecified ones are borne by every host that
/// starts, and multicast ones belong to no host.
#[must_use]
pub fn is_telling(source: Address) -> bool {
    let ip = source.ip();
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(is_link_local || ip.is_unspecified() || ip.is_multicast())
}

/// The busiest of the sources of some packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Senders {
    /// Packets that were looked at, of sources that [tell](is_telling) who sent.
    pub packets: u64,
    /// The busiest sources and their packets among these, the busiest first.
    pub busiest: Vec<(Address, u64)>,
}

impl Senders {
    /// The busiest of `sources`, of which each is given once, with its packets; `packets` is all that was
    /// looked at.
    #[must_use]
    pub fn new(packets: u64, sources: impl IntoIterator<Item = (Address, u64)>) -> Self {
        let mut busiest: Vec<_> = sources.into_iter().collect();
        busiest.sort_unstable_by_key(|(source, packets)| (u64::MAX - packets, *source));
        busiest.truncate(NAMED);
        Self { packets, busiest }
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.busiest.is_empty()
    }

    /// Whether these are enough packets to doubt who the bot is before the run is over.
    #[must_use]
    pub fn are_enough(&self) -> bool {
        self.packets >= ENOUGH
    }
}

/// Looks at packets until it is known whether the bot is among their senders.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// All packets that were looked at.
    looked_at: u64,
    /// Those among them whose sources tell who sent.
    packets: u64,
    sources: HashMap<Address, u64>,
    pairs: HashSet<[Address; 2]>,
    /// Whether two hosts sent to each other.
    both_ways: bool,
}

impl Watch {
    /// Looks at a packet.
    pub(super) fn enter(&mut self, packet: &Packet) {
        if self.is_full() {
            return;
        }
        self.looked_at += 1;
        let (source, destination) = (packet.source, packet.destination.address());
        if !is_telling(source) {
            return;
        }
        self.packets += 1;
        if self.sources.len() < DISTINCT || self.sources.contains_key(&source) {
            *self.sources.entry(source).or_default() += 1;
        }
        if self.pairs.len() < DISTINCT {
            self.pairs.insert([source, destination]);
        }
        self.both_ways |= source != destination && self.pairs.contains(&[destination, source]);
    }

    /// Whether no more packets are looked at.
    pub(super) fn is_full(&self) -> bool {
        self.looked_at >= PACKETS
    }

    /// Whether two hosts sent to each other.
    pub(super) fn saw_both_ways(&self) -> bool {
        self.both_ways
    }

    /// What was seen.
    pub(super) fn senders(&self) -> Senders {
        Senders::new(self.packets, self.sources.iter().map(|(source, packets)| (*source, *packets)))
    }
}

#[cfg(test)]
mod tests {
    use gomon_common::Endpoint;

    use super::*;

    fn packet(source: u32, destination: u32) -> Packet {
        let address = |number: u32| Address::v4((0x0a00_0000 + number).to_be_bytes());
        let destination = Endpoint::new(address(destination), 17, 53);
        Packet { source: address(source), destination, ..Packet::default() }
    }

    #[test]
    fn the_busiest_come_first_and_equals_by_address() {
        let mut watch = Watch::default();
        for source in [7, 3, 3, 9, 9, 9, 1, 2, 4, 5] {
            watch.enter(&packet(source, 100));
        }
        let senders = watch.senders();
        let busiest: Vec<_> = senders
            .busiest
            .iter()
            .map(|(source, packets)| (source.to_string(), *packets))
            .collect();
        let expected =
            [("10.0.0.9", 3), ("10.0.0.3", 2), ("10.0.0.1", 1), ("10.0.0.2", 1), ("10.0.0.4", 1)];
        assert_eq!(busiest, expected.map(|(source, packets)| (source.to_owned(), packets)));
        assert_eq!(senders.packets, 10);
    }

    #[test]
    fn sources_that_tell_nothing_are_left_out() {
        for (source, expected) in [
            ("0.0.0.0", false),
            ("169.254.0.1", false),
            ("169.253.255.255", true),
            ("224.0.0.1", false),
            ("10.0.0.1", true),
            ("::", false),
            ("fe80::1", false),
            ("febf:ffff::1", false),
            ("fec0::1", true),
            ("ff02::1", false),
            ("2001:db8::1", true),
        ] {
            let source = source.parse::<IpAddr>().unwrap().into();
            assert_eq!(is_telling(source), expected, "{source}");
            let mut watch = Watch::default();
            watch.enter(&Packet { source, ..packet(1, 100) });
            assert_eq!(watch.senders().is_empty(), !expected, "{source}");
        }
    }

    #[test]
    fn hosts_that_send_to_each_other_show_both_directions() {
        let mut watch = Watch::default();
        for [source, destination] in [[1, 2], [1, 3], [2, 3], [4, 4]] {
            watch.enter(&packet(source, destination));
            assert!(!watch.saw_both_ways(), "{source} to {destination}");
        }
        watch.enter(&packet(3, 1));
        assert!(watch.saw_both_ways());
    }

    #[test]
    fn memory_and_work_are_bounded() {
        let mut watch = Watch::default();
        for number in 0..200_000 {
            watch.enter(&packet(number, number + 1_000_000));
        }
        assert!(watch.sources.len() <= DISTINCT && watch.pairs.len() <= DISTINCT);
        assert!(watch.is_full() && watch.senders().packets == PACKETS);
    }
}

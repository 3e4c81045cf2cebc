//! A sample of the hosts that send, to detect a wrong bot address.
//!
//! With a wrong address nothing is counted. With [`Sources::Any`](super::Sources::Any) and a capture of both
//! directions, the victims are counted as bots. The first packets show either mistake, and a warning that names the
//! busiest sources helps the user to find the right address. The sample is bounded in packets and in distinct
//! sources.

use std::net::IpAddr;

use gomon_common::{Address, Packet};
use hashbrown::{HashMap, HashSet};

/// The maximum number of packets in the sample.
const PACKETS: u64 = 1 << 16;
/// The most distinct sources, and the most distinct pairs of source and destination, that are tracked.
const DISTINCT: usize = 1024;
/// The number of sources that the warning names.
const NAMED: usize = 5;
/// The number of packets that make the sample sufficient before the end of the run. With fewer, the bot may still
/// be silent while other hosts resolve names or solicit routers.
const SUFFICIENT: u64 = 10;

/// Whether a source address identifies a host. Unspecified and link-local ones do not, since every host uses
/// them while it configures its interface; nor do multicast ones, which are not valid as a source.
#[must_use]
pub fn identifies_host(source: Address) -> bool {
    let ip = source.ip();
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(is_link_local || ip.is_unspecified() || ip.is_multicast())
}

/// The busiest sources in a sample of packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Senders {
    /// Sampled packets whose source [identifies a host](identifies_host).
    pub packets: u64,
    /// The busiest sources and their sampled packets, the busiest first.
    pub busiest: Vec<(Address, u64)>,
}

impl Senders {
    /// Selects the busiest of `sources`: distinct addresses with their packets. `packets` is the size of the
    /// sample.
    #[must_use]
    pub fn new(packets: u64, sources: impl IntoIterator<Item = (Address, u64)>) -> Self {
        let mut busiest: Vec<_> = sources.into_iter().collect();
        busiest.sort_unstable_by_key(|(source, packets)| (u64::MAX - packets, *source));
        busiest.truncate(NAMED);
        Self { packets, busiest }
    }

    /// Whether there is no sender to report.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.busiest.is_empty()
    }

    /// Whether the sample is large enough to question the bot's address before the run ends.
    #[must_use]
    pub fn is_sufficient(&self) -> bool {
        self.packets >= SUFFICIENT
    }
}

/// Samples senders in user space, until a packet of the bot is seen.
#[derive(Debug, Default)]
pub(super) struct SenderObserver {
    /// All sampled packets.
    sampled: u64,
    /// Sampled packets whose source identifies a host.
    packets: u64,
    sources: HashMap<Address, u64>,
    /// Source and destination of sampled packets.
    pairs: HashSet<[Address; 2]>,
    /// Whether two hosts sent to each other.
    both_directions: bool,
}

impl SenderObserver {
    /// Adds a packet to the sample.
    pub(super) fn observe(&mut self, packet: &Packet) {
        if self.is_full() {
            return;
        }
        self.sampled += 1;
        let (source, destination) = (packet.source, packet.destination.address());
        if !identifies_host(source) {
            return;
        }
        self.packets += 1;
        if self.sources.len() < DISTINCT || self.sources.contains_key(&source) {
            *self.sources.entry(source).or_default() += 1;
        }
        if self.pairs.len() < DISTINCT {
            self.pairs.insert([source, destination]);
        }
        self.both_directions |=
            source != destination && self.pairs.contains(&[destination, source]);
    }

    /// Whether the sample is complete.
    pub(super) fn is_full(&self) -> bool {
        self.sampled >= PACKETS
    }

    /// Whether two hosts sent to each other.
    pub(super) fn has_both_directions(&self) -> bool {
        self.both_directions
    }

    /// Returns the senders so far.
    #[expect(clippy::disallowed_methods, reason = "`Senders::new` sorts")]
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
    fn senders_are_sorted_by_packets_then_by_address() {
        let mut observer = SenderObserver::default();
        for source in [7, 3, 3, 9, 9, 9, 1, 2, 4, 5] {
            observer.observe(&packet(source, 100));
        }
        let senders = observer.senders();
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
    fn sources_that_identify_no_host_are_left_out() {
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
            assert_eq!(identifies_host(source), expected, "{source}");
            let mut observer = SenderObserver::default();
            observer.observe(&Packet { source, ..packet(1, 100) });
            assert_eq!(observer.senders().is_empty(), !expected, "{source}");
        }
    }

    #[test]
    fn both_directions_are_detected_when_hosts_send_to_each_other() {
        let mut observer = SenderObserver::default();
        for [source, destination] in [[1, 2], [1, 3], [2, 3], [4, 4]] {
            observer.observe(&packet(source, destination));
            assert!(!observer.has_both_directions(), "{source} to {destination}");
        }
        observer.observe(&packet(3, 1));
        assert!(observer.has_both_directions());
    }

    #[test]
    fn the_sample_is_bounded() {
        let mut observer = SenderObserver::default();
        for number in 0..200_000 {
            observer.observe(&packet(number, number + 1_000_000));
        }
        assert!(observer.sources.len() <= DISTINCT && observer.pairs.len() <= DISTINCT);
        assert!(observer.is_full() && observer.senders().packets == PACKETS);
    }
}

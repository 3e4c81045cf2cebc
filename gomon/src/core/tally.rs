//! Counting packet by packet, for sources that see every packet.

use gomon_common::{Address, Endpoint, Flags, LinkType, Packet, Skip, V4Packet, hash, protocol};
use hashbrown::HashMap;

use super::endpoint_table::{EndpointKey, EndpointTable};
use super::host_table::HostTable;
use super::senders::SenderObserver;
use super::{
    ContactTimes, Counts, Ledger, Overflow, PacketFilter, PacketSource, Senders, Sources, Span,
    Timestamp, WindowCounts,
};

/// The counts of the open pane.
///
/// Memory is bounded by `capacity`, the most hosts and the most endpoints that are listed. Packets to
/// unlisted ones are counted in [`Overflow`], but a listed host keeps its exact total even when there is no
/// room for more of its endpoints. Replies add no entries.
#[derive(Debug)]
pub struct Tally {
    filter: PacketFilter,
    /// The bot's address, if it is a single IPv4 address and senders are not observed. Enables the fast tiers.
    bot: Option<[u8; 4]>,
    /// Observes senders until a packet of the bot is seen.
    sender_observer: Option<Box<SenderObserver>>,
    capacity: usize,
    /// The only table that a packet to a listed endpoint, the common case, accesses.
    endpoints: EndpointTable,
    /// For [`Sources::Any`]: the source of the packets to each endpoint.
    endpoint_sources: HashMap<Endpoint, PacketSource>,
    /// Contacts of earlier panes that may still be answered.
    pending_replies: HashMap<Endpoint, ContactTimes>,
    both_directions: bool,
    hosts: HostTable,
    overflow: Overflow,
    ledger: Ledger,
}

impl Tally {
    /// Creates a tally of the packets that `filter` selects, with up to `capacity` listed hosts and endpoints
    /// in a pane.
    #[must_use]
    pub fn new(filter: PacketFilter, capacity: usize) -> Self {
        Self {
            bot: None,
            sender_observer: Some(Box::default()),
            filter,
            capacity,
            endpoints: EndpointTable::default(),
            endpoint_sources: HashMap::new(),
            pending_replies: HashMap::new(),
            both_directions: false,
            hosts: HostTable::new(capacity),
            overflow: Overflow::default(),
            ledger: Ledger::default(),
        }
    }

    /// Returns the filter of packets.
    #[must_use]
    pub fn filter(&self) -> &PacketFilter {
        &self.filter
    }

    /// Returns the ledger of the open pane.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the ledger of the open pane, for the caller to add late and implausible frames.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Whether `host` is a listed host.
    #[must_use]
    pub fn is_listed(&self, host: Address) -> bool {
        self.hosts.contains(host)
    }

    /// Whether a frame that starts with a `link` header can be the bot's, by its sender's MAC address. The first
    /// frame may determine the bot's MAC address.
    pub fn is_sent_by_bot(&mut self, link: LinkType, frame: &[u8]) -> bool {
        self.filter.learn_sender(link, frame);
        self.filter.is_sent_by_bot(link, frame)
    }

    /// Records a packet that is not from the bot.
    pub fn count_not_from_bot(&mut self, packet: &Packet, time: Timestamp) {
        self.ledger.not_from_bot += 1;
        self.record_reply(packet, time);
        self.observe_sender(packet);
    }

    /// Records a skipped frame: one without an IP packet, or a malformed one.
    #[inline]
    pub fn skip(&mut self, skip: Skip) {
        self.ledger.skip(skip);
    }

    /// The general tier: records a packet seen at `time` in a frame of `length` bytes on the wire.
    #[inline(never)]
    pub fn count(&mut self, packet: &Packet, length: u32, time: Timestamp) {
        if !self.filter.is_from_bot(packet) {
            return self.count_not_from_bot(packet, time);
        }
        if self.counts_every_sender() {
            self.record_reply(packet, time);
            self.observe_sender(packet);
        } else if self.sender_observer.is_some() {
            self.stop_observing_senders();
        }
        let frame = Counts::frame(length);
        let host = packet.destination.address();
        if let Some(hash) = self.hosts.rejected_hash(host) {
            return self.count_rejected(host, hash, frame);
        }
        if let Some(entry) = self.endpoints.get_mut(&packet.destination) {
            entry.counts += frame;
            entry.contacts.record_sent(packet.contact, time);
            self.ledger.counted += 1;
            return self.add_source(packet);
        }
        self.count_new(packet, frame, time);
    }

    /// The plain IPv4 tier: records a packet like [`Tally::count`].
    #[inline]
    pub fn count_v4(&mut self, packet: &V4Packet, length: u32, time: Timestamp) {
        let host = Address::v4(packet.destination);
        if self.bot == Some(packet.source)
            && let Some(hash) = self.hosts.rejected_hash(host)
        {
            return self.count_rejected(host, hash, Counts::frame(length));
        }
        // No count depends on the flags.
        self.count(&packet.packet(Flags::NONE), length, time);
    }

    /// The cached tier: records a packet like [`Tally::count_v4`] if that needs no hash map, and returns whether it
    /// did. It does so for a packet from the bot's only address to an endpoint in the cache of recent endpoints, and
    /// for a packet of another source that can't be a UDP reply to the bot.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::inline_always, reason = "the innermost loop of a replay")]
    pub fn try_count_cached(&mut self, packet: &V4Packet, length: u32, time: Timestamp) -> bool {
        let Some(bot) = self.bot else { return false };
        if packet.source == bot {
            let key = EndpointKey::new(packet.destination, packet.protocol, packet.port);
            let Some(entry) = self.endpoints.cached_mut(key) else { return false };
            entry.counts += Counts::frame(length);
            entry.contacts.record_sent(packet.contact(), time);
            self.ledger.counted += 1;
        } else {
            let to_bot = packet.destination == bot;
            if to_bot && packet.protocol != protocol::TCP {
                return false;
            }
            self.both_directions |= to_bot;
            self.ledger.not_from_bot += 1;
        }
        true
    }

    /// Records the time of a packet that may be a reply to the bot, without counting it. Only UDP replies are
    /// recorded: the bot's next TCP segment shows that it received a reply.
    pub fn record_reply(&mut self, packet: &Packet, time: Timestamp) {
        let to_bot = self.filter.sources().is_bot(packet.destination.address());
        self.both_directions |= to_bot;
        if packet.destination.protocol() != protocol::UDP
            || !(to_bot || matches!(self.filter.sources(), Sources::Any))
        {
            return;
        }
        let replier = packet.source_endpoint();
        let listed = self.endpoints.get_mut(&replier).map(|entry| &mut entry.contacts);
        if let Some(contacts) = listed.or_else(|| self.pending_replies.get_mut(&replier)) {
            contacts.record_reply(time);
            // With `Sources::Any`, only replies show that the capture has both directions.
            self.both_directions = true;
        }
    }

    /// Records the source of a packet to a listed endpoint.
    fn add_source(&mut self, packet: &Packet) {
        if matches!(self.filter.sources(), Sources::Any) {
            let source = PacketSource::One(packet.source);
            *self.endpoint_sources.entry(packet.destination).or_insert(source) += source;
        }
    }

    /// Whether every packet counts as the bot's, and may be a reply to it as well.
    #[inline]
    fn counts_every_sender(&self) -> bool {
        matches!(self.filter.sources(), Sources::Any) && !self.filter.has_mac_rule()
    }

    /// Observes the sender of a packet, unless that was stopped.
    fn observe_sender(&mut self, packet: &Packet) {
        let Some(observer) = &mut self.sender_observer else { return };
        observer.observe(packet);
        if observer.is_full() {
            // The senders are reported at the end of the pane; later packets need not be observed.
            self.bot = self.filter.sources().only_v4();
        }
    }

    #[cold]
    fn stop_observing_senders(&mut self) {
        self.sender_observer = None;
        self.bot = self.filter.sources().only_v4();
    }

    /// Returns the senders to report at the end of this pane, if they suggest that the bot's address is wrong.
    fn senders_to_report(&mut self) -> Senders {
        let Some(observer) = &self.sender_observer else { return Senders::default() };
        let senders = observer.senders();
        let (is_reported, is_enough) = if self.counts_every_sender() {
            (observer.has_both_directions(), true)
        } else {
            (!senders.is_empty(), senders.is_sufficient())
        };
        if (is_reported && is_enough) || observer.is_full() {
            self.stop_observing_senders();
        }
        if is_reported { senders } else { Senders::default() }
    }

    /// Counts a packet to an unlisted host, given with its hash, when the host table is full.
    fn count_rejected(&mut self, host: Address, hash: u64, frame: Counts) {
        if self.filter.is_ignored(host) {
            self.ledger.ignored += 1;
            return;
        }
        self.ledger.counted += 1;
        self.overflow.add_unlisted(hash, frame);
    }

    /// Counts a packet to an unlisted endpoint, which is listed if there is room.
    fn count_new(&mut self, packet: &Packet, frame: Counts, time: Timestamp) {
        let endpoint = packet.destination;
        let host = endpoint.address();
        if self.filter.is_ignored(host) {
            self.ledger.ignored += 1;
            return;
        }
        self.ledger.counted += 1;
        match self.hosts.entry(host) {
            Some(_) if self.endpoints.len() < self.capacity => {
                let mut contacts = ContactTimes::default();
                contacts.record_sent(packet.contact, time);
                self.endpoints.insert(endpoint, frame, contacts);
                self.add_source(packet);
            }
            Some(unlisted_endpoints) => {
                *unlisted_endpoints += frame;
                self.overflow.endpoints += frame;
            }
            None => self.overflow.add_unlisted(hash::hash(host.halves()), frame),
        }
    }

    /// Closes the pane: returns its counts, and starts the next pane.
    pub fn close_pane(&mut self, span: Span) -> WindowCounts {
        self.close_pane_at(span, span.end)
    }

    /// Closes a pane during which the clock was set. Pending replies are kept; [`Tally::clock_set`] moves
    /// them.
    pub fn close_truncated_pane(&mut self, span: Span) -> WindowCounts {
        let contacts = self.endpoints.iter().map(|entry| entry.contacts.clamped_to(span));
        let latest =
            contacts.flat_map(|contacts| [contacts.attempt(), contacts.reply()]).flatten().max();
        let end = latest.unwrap_or(span.start);
        WindowCounts { truncated_at: Some(end), ..self.close_pane_at(span, end) }
    }

    /// Moves the times of pending replies, after the clock was set forward by `by` nanoseconds (negative:
    /// back).
    pub fn clock_set(&mut self, by: i64) {
        #[expect(clippy::disallowed_methods, reason = "independent of the order")]
        self.pending_replies.values_mut().for_each(|contacts| *contacts = contacts.shifted_by(by));
    }

    /// Closes a pane that was observed until `end`.
    fn close_pane_at(&mut self, span: Span, end: Timestamp) -> WindowCounts {
        let contacts = self.carry_over(span, end);
        let senders = self.senders_to_report();
        let counts = WindowCounts::from_entries(
            span,
            std::mem::take(&mut self.ledger),
            self.endpoints.drain(),
            self.hosts.drain(),
            std::mem::take(&mut self.overflow),
        );
        #[expect(clippy::disallowed_methods, reason = "the sources of a pane are sorted")]
        let counts = WindowCounts { senders, ..counts }
            .with_endpoint_sources(self.endpoint_sources.drain().collect());
        counts.with_contacts(contacts, std::mem::take(&mut self.both_directions))
    }

    /// Returns the contacts of the pane `span`. Contacts that may still be answered after `end` become pending
    /// replies, up to `capacity`. A further one loses its attempt and so is no contact, because its reply would not
    /// be seen.
    fn carry_over(&mut self, span: Span, end: Timestamp) -> Vec<(Endpoint, ContactTimes)> {
        let endpoints = self.endpoints.iter();
        let mut all: Vec<_> =
            endpoints.map(|entry| (entry.endpoint, entry.contacts.clamped_to(span))).collect();
        // Sorted so that the selection of at most `capacity` of them is deterministic.
        all.sort_unstable_by_key(|(endpoint, contacts)| (contacts.attempt(), *endpoint));
        #[expect(clippy::disallowed_methods, reason = "the contacts of a pane are sorted")]
        let earlier = self.pending_replies.iter();
        let replies: Vec<_> =
            earlier.map(|(endpoint, contacts)| (*endpoint, contacts.without_attempt())).collect();
        #[expect(clippy::disallowed_methods, reason = "independent of the order")]
        self.pending_replies.retain(|endpoint, contacts| contacts.awaits_reply(endpoint, end));
        for (endpoint, contacts) in &mut all {
            if contacts.awaits_reply(endpoint, end) && !self.pending_replies.contains_key(endpoint)
            {
                if self.pending_replies.len() < self.capacity {
                    self.pending_replies.insert(*endpoint, *contacts);
                } else {
                    *contacts = contacts.without_attempt();
                }
            }
        }
        all.extend(replies);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use gomon_common::ContactFlag;
    use proptest::prelude::*;

    use super::*;
    use crate::core::Prefix;

    fn host(n: u8) -> Address {
        Address::v4([192, 0, 2, n])
    }

    fn tally(capacity: usize) -> Tally {
        let bot = Sources::Bot { first: host(0), others: vec![] };
        Tally::new(PacketFilter::new(bot, vec![Prefix::host(host(1))]), capacity)
    }

    /// `(source, destination, port, frame length)` over few values, so that keys repeat.
    fn packets() -> impl Strategy<Value = Vec<(u8, u8, u16, u32)>> {
        prop::collection::vec((0u8..2, 0u8..12, 0u16..4, 60u32..1500), 0..300)
    }

    proptest! {
        #[test]
        fn counts_are_conserved_and_listed_destinations_are_exact(packets in packets(), capacity in 0usize..16) {
            let mut tally = tally(capacity);
            let mut truth: BTreeMap<Endpoint, Counts> = BTreeMap::new();
            for &(source, destination, port, length) in &packets {
                let destination = Endpoint::new(host(destination), 17, port);
                let packet = Packet { source: host(source), destination, contact: ContactFlag::ATTEMPT, ..Packet::default() };
                let before = tally.ledger().counted;
                tally.count(&packet, length, Timestamp::default());
                if tally.ledger().counted > before {
                    *truth.entry(destination).or_default() += Counts::frame(length);
                }
            }
            let counts = tally.close_pane(Span::default());

            prop_assert_eq!(counts.ledger.seen(), packets.len() as u64);
            let sent: u64 = truth.values().map(|c| c.packets).sum();
            prop_assert_eq!(counts.ledger.counted, sent);
            let listed: u64 = counts.endpoints.iter().map(|(_, c)| c.packets).sum();
            prop_assert_eq!(listed + counts.overflow.endpoints.packets, sent);
            prop_assert_eq!(counts.total().packets, sent);
            prop_assert!(counts.hosts.len() <= capacity && counts.endpoints.len() <= capacity);
            for (endpoint, seen) in &counts.endpoints {
                prop_assert_eq!(seen, &truth[endpoint]);
            }
            for (host, seen) in &counts.hosts {
                let mut total = Counts::default();
                truth.iter().filter(|(e, _)| e.address() == *host).for_each(|(_, c)| total += *c);
                prop_assert_eq!(*seen, total);
            }
            let hosts: BTreeSet<_> = truth.keys().map(Endpoint::address).collect();
            let unlisted = counts.overflow.distinct.as_ref().map_or(0, super::super::HyperLogLog::estimate);
            prop_assert_eq!(counts.hosts.len() as u64 + unlisted, hosts.len() as u64, "the estimate is exact for few hosts");
            prop_assert!(tally.pending_replies.len() <= capacity);
            let rest = WindowCounts { senders: Senders::default(), ..tally.close_pane(Span::default()) };
            prop_assert_eq!(rest, WindowCounts::default());
        }

        /// The cached and the plain IPv4 tier against the general one, on packets (`tests/replay/fast_path.rs`
        /// compares them on frames).
        #[test]
        fn the_fast_tiers_count_what_the_general_one_counts(
            packets in prop::collection::vec((0u8..3, 0u8..12, 0u16..4, any::<[bool; 2]>()), 0..300),
            capacity in 0usize..16,
        ) {
            let (mut fast, mut general) = (tally(capacity), tally(capacity));
            for (second, (source, destination, port, [is_tcp, is_attempt])) in (0..).zip(packets) {
                let time = Timestamp::from_nanoseconds(second * 1_000_000_000);
                let packet = V4Packet {
                    source: [192, 0, 2, source],
                    source_port: port,
                    destination: [192, 0, 2, destination],
                    protocol: if is_tcp { protocol::TCP } else { protocol::UDP },
                    port,
                    is_attempt: is_attempt || !is_tcp,
                };
                general.count(&packet.packet(Flags::NONE), 60, time);
                if !fast.try_count_cached(&packet, 60, time) {
                    fast.count_v4(&packet, 60, time);
                }
                if second % 50 == 49 {
                    let span = Span::starting(Timestamp::default(), 300_000_000_000);
                    prop_assert_eq!(fast.close_pane(span), general.close_pane(span));
                }
            }
            prop_assert_eq!(fast.close_pane(Span::default()), general.close_pane(Span::default()));
        }
    }
}

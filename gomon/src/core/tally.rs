//! Counting packet by packet, for sources that see every packet.

use gomon_common::{Address, Endpoint, Flags, LinkType, Packet, Skip, hash, protocol};
use hashbrown::HashMap;

use super::endpoint_table::EndpointTable;
use super::host_table::HostTable;
use super::senders::SenderObserver;
use super::{
    ContactTimes, Counts, Fate, Ledger, Origin, Overflow, PacketFilter, Senders, Sources, Span,
    Timestamp, V4Packet, WindowCounts,
};

/// The counts of the pane that is open.
///
/// Memory is bounded by `capacity`: so many hosts and so many endpoints are counted each on their
/// own. What goes elsewhere is in [`Overflow`], but a host that is known keeps its own exact total
/// also when its endpoints no longer fit. Answers enter nothing that is not there.
#[derive(Debug)]
pub struct Tally {
    selection: PacketFilter,
    /// The only address of the bot, if it has one of IPv4 and no other; not as long as every packet has
    /// to be looked at.
    bot: Option<[u8; 4]>,
    /// Looks at who sends, as long as nothing was the bot's.
    watch: Option<Box<SenderObserver>>,
    capacity: usize,
    /// A packet to a known endpoint, the common case, touches these alone.
    endpoints: EndpointTable,
    /// Where every source counts, whose packets went to each endpoint.
    origins: HashMap<Endpoint, Origin>,
    /// Contacts of the panes before that may still be answered.
    awaited: HashMap<Endpoint, ContactTimes>,
    both_directions: bool,
    hosts: HostTable,
    overflow: Overflow,
    ledger: Ledger,
}

impl Tally {
    /// Counts what `selection` chooses, up to `capacity` hosts and endpoints a pane.
    #[must_use]
    pub fn new(selection: PacketFilter, capacity: usize) -> Self {
        Self {
            bot: None,
            watch: Some(Box::default()),
            selection,
            capacity,
            endpoints: EndpointTable::default(),
            origins: HashMap::new(),
            awaited: HashMap::new(),
            both_directions: false,
            hosts: HostTable::new(capacity),
            overflow: Overflow::default(),
            ledger: Ledger::default(),
        }
    }

    /// Which packets count.
    #[must_use]
    pub fn selection(&self) -> &PacketFilter {
        &self.selection
    }

    /// What became of the frames of the open pane.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The same, for what only the caller knows (late and implausible frames).
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Whether `host` is among the hosts that are counted on their own.
    #[must_use]
    pub fn knows(&self, host: Address) -> bool {
        self.hosts.contains(host)
    }

    /// Whether a frame that starts with a `link` header can be the bot's by its sender. The first frame
    /// may decide whose are.
    pub fn is_sent_by_bot(&mut self, link: LinkType, frame: &[u8]) -> bool {
        self.selection.learn_sender(link, frame);
        self.selection.is_sent_by_bot(link, frame)
    }

    /// Enters a packet that is not from the bot.
    pub fn count_not_from_bot(&mut self, packet: &Packet, time: Timestamp) -> Fate {
        self.ledger.not_from_bot += 1;
        self.answer(packet, time);
        self.watch(packet);
        Fate::NotFromBot
    }

    /// Enters a frame that held no packet.
    #[inline]
    pub fn skip(&mut self, skip: Skip) {
        self.ledger.skip(skip);
    }

    /// Enters a packet seen at `time` whose frame was `length` bytes long on the wire.
    #[inline(never)]
    pub fn count(&mut self, packet: &Packet, length: u32, time: Timestamp) -> Fate {
        if !self.selection.is_from_bot(packet) {
            return self.count_not_from_bot(packet, time);
        }
        if self.is_everybody() {
            self.answer(packet, time);
            self.watch(packet);
        } else if self.watch.is_some() {
            self.watch_no_more();
        }
        let frame = Counts::frame(length);
        let host = packet.destination.address();
        if let Some(hash) = self.hosts.rejected_hash(host) {
            return self.count_rejected(host, hash, frame);
        }
        if let Some(known) = self.endpoints.get_mut(&packet.destination) {
            known.counts += frame;
            known.contacts.record_sent(packet.contact, time);
            self.ledger.counted += 1;
            self.enter_origin(packet);
            return Fate::Counted;
        }
        self.count_new(packet, frame, time)
    }

    /// The same for a packet of the common kind.
    #[inline]
    pub fn count_v4(&mut self, packet: &V4Packet, length: u32, time: Timestamp) -> Fate {
        let host = Address::v4(packet.destination);
        if self.bot == Some(packet.source)
            && let Some(hash) = self.hosts.rejected_hash(host)
        {
            return self.count_rejected(host, hash, Counts::frame(length));
        }
        // Nothing that is counted depends on its flags.
        self.count(&packet.packet(Flags::NONE), length, time)
    }

    /// The same, if that is done at once, and says whether it is: for packets of the one bot to an
    /// endpoint it sends to a lot, and those of somebody else that tell nothing.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::inline_always, reason = "the innermost loop of a replay")]
    pub fn try_count_cached(&mut self, packet: &V4Packet, length: u32, time: Timestamp) -> bool {
        let Some(bot) = self.bot else { return false };
        if packet.source == bot {
            let Some(known) = self.endpoints.cached_mut(packet.key()) else { return false };
            known.counts += Counts::frame(length);
            known.contacts.record_sent(packet.contact(), time);
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

    /// Enters a packet that may be an answer to the bot, and is not counted here. Those of TCP show
    /// themselves in what the bot sends next.
    pub fn answer(&mut self, packet: &Packet, time: Timestamp) {
        let to_bot = self.selection.sources().is_bot(packet.destination.address());
        self.both_directions |= to_bot;
        if packet.destination.protocol() != protocol::UDP
            || !(to_bot || matches!(self.selection.sources(), Sources::Any))
        {
            return;
        }
        let origin = packet.origin();
        let listed = self.endpoints.get_mut(&origin).map(|known| &mut known.contacts);
        if let Some(contacts) = listed.or_else(|| self.awaited.get_mut(&origin)) {
            contacts.record_reply(time);
            // Of everybody's packets, the answers show that both directions are there.
            self.both_directions = true;
        }
    }

    /// Enters whose packet went to an endpoint that is listed.
    fn enter_origin(&mut self, packet: &Packet) {
        if matches!(self.selection.sources(), Sources::Any) {
            let origin = Origin::One(packet.source);
            *self.origins.entry(packet.destination).or_insert(origin) += origin;
        }
    }

    /// Whether every packet is the bot's, and may be an answer to it as well.
    #[inline]
    fn is_everybody(&self) -> bool {
        matches!(self.selection.sources(), Sources::Any) && !self.selection.has_mac_rule()
    }

    /// Looks at who sent a packet, as long as that matters.
    fn watch(&mut self, packet: &Packet) {
        let Some(watch) = &mut self.watch else { return };
        watch.observe(packet);
        if watch.is_full() {
            // What was seen is reported at the end of the pane; later packets need no look.
            self.bot = self.selection.sources().only_v4();
        }
    }

    #[cold]
    fn watch_no_more(&mut self) {
        self.watch = None;
        self.bot = self.selection.sources().only_v4();
    }

    /// Who sent, if it has to be told at the end of this pane.
    fn doubtful_senders(&mut self) -> Senders {
        let Some(watch) = &self.watch else { return Senders::default() };
        let senders = watch.senders();
        let (tells, is_enough) = if self.is_everybody() {
            (watch.has_both_directions(), true)
        } else {
            (!senders.is_empty(), senders.is_sufficient())
        };
        if (tells && is_enough) || watch.is_full() {
            self.watch_no_more();
        }
        if tells { senders } else { Senders::default() }
    }

    /// Counts a packet to a host that there is no room for and that has this hash.
    fn count_rejected(&mut self, host: Address, hash: u64, frame: Counts) -> Fate {
        if self.selection.is_ignored(host) {
            self.ledger.ignored += 1;
            return Fate::Ignored;
        }
        self.ledger.counted += 1;
        self.overflow.add_unlisted(hash, frame);
        Fate::Counted
    }

    /// Counts the first packet to an endpoint, or one for which there is no room.
    fn count_new(&mut self, packet: &Packet, frame: Counts, time: Timestamp) -> Fate {
        let endpoint = packet.destination;
        let host = endpoint.address();
        if self.selection.is_ignored(host) {
            self.ledger.ignored += 1;
            return Fate::Ignored;
        }
        self.ledger.counted += 1;
        match self.hosts.entry(host) {
            Some(_) if self.endpoints.len() < self.capacity => {
                let mut contacts = ContactTimes::default();
                contacts.record_sent(packet.contact, time);
                self.endpoints.insert(endpoint, frame, contacts);
                self.enter_origin(packet);
            }
            Some(beside) => {
                *beside += frame;
                self.overflow.endpoints += frame;
            }
            None => self.overflow.add_unlisted(hash::hash(host.halves()), frame),
        }
        Fate::Counted
    }

    /// Closes the pane: its counts, and an empty tally for the next.
    pub fn take(&mut self, span: Span) -> WindowCounts {
        self.take_until(span, span.end)
    }

    /// The same where the clock was set before the end of the pane. What is awaited goes along with
    /// [`Tally::clock_set`].
    pub fn take_cut(&mut self, span: Span) -> WindowCounts {
        let contacts = self.endpoints.iter().map(|entry| entry.contacts.clamped_to(span));
        let latest =
            contacts.flat_map(|contacts| [contacts.attempt(), contacts.reply()]).flatten().max();
        let cut = latest.unwrap_or(span.start);
        WindowCounts { truncated_at: Some(cut), ..self.take_until(span, cut) }
    }

    /// The clock was set by so many nanoseconds.
    pub fn clock_set(&mut self, by: i64) {
        #[expect(clippy::disallowed_methods, reason = "independent of the order")]
        self.awaited.values_mut().for_each(|contacts| *contacts = contacts.shifted_by(by));
    }

    /// Closes a pane that is watched up to `end`.
    fn take_until(&mut self, span: Span, end: Timestamp) -> WindowCounts {
        let contacts = self.carry_over(span, end);
        let senders = self.doubtful_senders();
        let counts = WindowCounts::from_entries(
            span,
            std::mem::take(&mut self.ledger),
            self.endpoints.take(),
            self.hosts.take(),
            std::mem::take(&mut self.overflow),
        );
        #[expect(clippy::disallowed_methods, reason = "the origins of a pane are sorted")]
        let counts =
            WindowCounts { senders, ..counts }.with_origins(self.origins.drain().collect());
        counts.with_contacts(contacts, std::mem::take(&mut self.both_directions))
    }

    /// The contacts of the pane `span`. Contacts that may still be answered after `end` are awaited from
    /// here on, up to `capacity`; another one is no contact, since its answer would not be seen.
    fn carry_over(&mut self, span: Span, end: Timestamp) -> Vec<(Endpoint, ContactTimes)> {
        let endpoints = self.endpoints.iter();
        let mut all: Vec<_> =
            endpoints.map(|entry| (entry.endpoint, entry.contacts.clamped_to(span))).collect();
        // Which ones find room must not hang on the order of a hash.
        all.sort_unstable_by_key(|(endpoint, contacts)| (contacts.attempt(), *endpoint));
        #[expect(clippy::disallowed_methods, reason = "the contacts of a pane are sorted")]
        let before = self.awaited.iter();
        let answers: Vec<_> =
            before.map(|(endpoint, contacts)| (*endpoint, contacts.without_attempt())).collect();
        #[expect(clippy::disallowed_methods, reason = "independent of the order")]
        self.awaited.retain(|endpoint, contacts| contacts.awaits_reply(endpoint, end));
        for (endpoint, contacts) in &mut all {
            if contacts.awaits_reply(endpoint, end) && !self.awaited.contains_key(endpoint) {
                if self.awaited.len() < self.capacity {
                    self.awaited.insert(*endpoint, *contacts);
                } else {
                    *contacts = contacts.without_attempt();
                }
            }
        }
        all.extend(answers);
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
        fn counts_are_conserved_and_known_destinations_exact(packets in packets(), capacity in 0usize..16) {
            let mut tally = tally(capacity);
            let mut truth: BTreeMap<Endpoint, Counts> = BTreeMap::new();
            for &(source, destination, port, length) in &packets {
                let destination = Endpoint::new(host(destination), 17, port);
                let packet = Packet { source: host(source), destination, contact: ContactFlag::ATTEMPT, ..Packet::default() };
                if tally.count(&packet, length, Timestamp::default()) == Fate::Counted {
                    *truth.entry(destination).or_default() += Counts::frame(length);
                }
            }
            let counts = tally.take(Span::default());

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
            prop_assert_eq!(counts.hosts.len() as u64 + unlisted, hosts.len() as u64, "few hosts are estimated exactly");
            prop_assert!(tally.awaited.len() <= capacity);
            let rest = WindowCounts { senders: Senders::default(), ..tally.take(Span::default()) };
            prop_assert_eq!(rest, WindowCounts::default());
        }

        /// Packets of the common kind, counted as the innermost loop of a replay does.
        #[test]
        fn the_quick_ways_count_as_the_slow_one(
            packets in prop::collection::vec((0u8..3, 0u8..12, 0u16..4, any::<[bool; 2]>()), 0..300),
            capacity in 0usize..16,
        ) {
            let (mut quick, mut slow) = (tally(capacity), tally(capacity));
            for (second, (source, destination, port, [is_tcp, opens])) in (0..).zip(packets) {
                let time = Timestamp::from_nanoseconds(second * 1_000_000_000);
                let packet = V4Packet {
                    source: [192, 0, 2, source],
                    source_port: port,
                    destination: [192, 0, 2, destination],
                    protocol: if is_tcp { protocol::TCP } else { protocol::UDP },
                    port,
                    opens: opens || !is_tcp,
                };
                slow.count(&packet.packet(Flags::NONE), 60, time);
                if !quick.try_count_cached(&packet, 60, time) {
                    quick.count_v4(&packet, 60, time);
                }
                if second % 50 == 49 {
                    let span = Span::starting(Timestamp::default(), 300_000_000_000);
                    prop_assert_eq!(quick.take(span), slow.take(span));
                }
            }
            prop_assert_eq!(quick.take(Span::default()), slow.take(Span::default()));
        }
    }
}

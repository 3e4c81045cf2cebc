//! Which packets are counted: those the bot sends, except to ignored destinations.

use gomon_common::{Address, LinkType, Mac, Packet};

use super::prefix::Prefix;
use super::ranges::Ranges;

/// Whose packets are counted, by source address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sources {
    /// Those of every source. Everything that comes in at a bot's tap is the bot's, whatever the source address.
    Any,
    /// Those of one bot. Its records carry the first address.
    Bot {
        /// The address that records carry.
        first: Address,
        /// Further addresses of the same bot.
        others: Vec<Address>,
    },
}

impl Sources {
    /// Whether `address` is one of the bot's. With `Any`, no address is known to be.
    #[must_use]
    pub fn is_bot(&self, address: Address) -> bool {
        match self {
            Self::Any => false,
            Self::Bot { first, others } => *first == address || others.contains(&address),
        }
    }

    /// Returns the bot's address, if it is a single IPv4 address.
    #[must_use]
    pub fn only_v4(&self) -> Option<[u8; 4]> {
        match self {
            Self::Bot { first, others } if first.is_v4() && others.is_empty() => {
                first.bytes().last_chunk().copied()
            }
            Self::Bot { .. } | Self::Any => None,
        }
    }

    /// The bot's addresses; none for `Any`.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        let (first, others) = match self {
            Self::Any => (None, &[][..]),
            Self::Bot { first, others } => (Some(*first), others.as_slice()),
        };
        first.into_iter().chain(others.iter().copied())
    }
}

/// Which frames are the bot's, by the MAC address of their sender. In a capture of both directions it
/// separates the bot's packets from those of others, whatever their source addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BotMac {
    /// Those of the sender of the first frame.
    First,
    /// Those of this sender.
    Is(Mac),
    /// None: the header of the first frame contains no MAC address.
    Unknown,
}

/// Selects the packets to count: those from the bot's addresses and MAC address, except to ignored
/// destinations and to the bot itself.
///
/// It configures both counters: [`Tally`](super::Tally) counts by it in user space, and the kernel
/// program's maps are filled from it.
#[derive(Clone, Debug)]
pub struct PacketFilter {
    sources: Sources,
    /// The sender of the bot's frames; `None` for any.
    bot_mac: Option<BotMac>,
    /// The addresses in `prefixes`, and the bot's own.
    ignored: Ranges,
    /// Ignored destinations, sorted and without duplicates.
    prefixes: Vec<Prefix>,
}

impl PacketFilter {
    /// Selects what `sources` send, except to the bot itself and to `ignored`.
    #[must_use]
    pub fn new(sources: Sources, ignored: Vec<Prefix>) -> Self {
        let mut prefixes = ignored;
        prefixes.sort_unstable();
        prefixes.dedup();
        let own = sources.addresses().map(Prefix::host);
        let ranges = prefixes.iter().copied().chain(own).flat_map(Prefix::ranges).collect();
        Self { sources, bot_mac: None, ignored: Ranges::new(ranges), prefixes }
    }

    /// Selects only frames that `bot_mac` sent, or those of any sender for `None`.
    #[must_use]
    pub fn with_bot_mac(self, bot_mac: Option<BotMac>) -> Self {
        Self { bot_mac, ..self }
    }

    /// The sender of the bot's frames; `None` for any.
    #[must_use]
    pub fn bot_mac(&self) -> Option<BotMac> {
        self.bot_mac
    }

    /// The ignored destinations other than the bot's own addresses.
    #[must_use]
    pub fn ignored_prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }

    /// Returns the entries of a longest-prefix-match trie, each with whether its addresses are ignored. A trie
    /// filled in this order matches the same addresses as [`PacketFilter::is_ignored`], except for the bot's
    /// own.
    ///
    /// The first entry covers all IPv4 addresses and ignores none: an IPv6 prefix does not apply to them, even
    /// if it covers the IPv4-mapped block. IPv4 prefixes are longer, or replace it.
    pub fn lpm_entries(&self) -> impl Iterator<Item = (Prefix, bool)> {
        let guard = (Prefix::IPV4, false);
        [guard].into_iter().chain(self.prefixes.iter().map(|prefix| (*prefix, true)))
    }

    /// Whether frames are selected by their sender.
    #[inline]
    #[must_use]
    pub fn has_mac_rule(&self) -> bool {
        self.bot_mac.is_some()
    }

    /// Whether the sender of a frame that starts with a `link` header may be the bot.
    #[must_use]
    pub fn is_sent_by_bot(&self, link: LinkType, frame: &[u8]) -> bool {
        match self.bot_mac {
            None => true,
            Some(BotMac::Is(bot_mac)) => Mac::of_sender(link, frame) == Some(bot_mac),
            Some(BotMac::First | BotMac::Unknown) => false,
        }
    }

    /// With [`BotMac::First`], sets the bot's MAC address to that of the sender of this frame, the first one.
    pub(super) fn learn_sender(&mut self, link: LinkType, frame: &[u8]) {
        if self.bot_mac == Some(BotMac::First) {
            self.bot_mac = Some(Mac::of_sender(link, frame).map_or(BotMac::Unknown, BotMac::Is));
        }
    }

    /// Whose packets are counted, by source address.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Whether the packet's source address is the bot's.
    #[inline]
    #[must_use]
    pub fn is_from_bot(&self, packet: &Packet) -> bool {
        match &self.sources {
            Sources::Any => true,
            bot @ Sources::Bot { .. } => bot.is_bot(packet.source),
        }
    }

    /// Whether packets to `host` are ignored.
    #[inline]
    #[must_use]
    pub fn is_ignored(&self, host: Address) -> bool {
        self.ignored.contains(host)
    }

    /// The remote hosts whose artifacts a packet belongs to: its destination if the bot sent it, and its
    /// source if it may be a reply to the bot.
    #[must_use]
    pub fn remote_hosts(&self, packet: &Packet) -> [Option<Address>; 2] {
        let destination = packet.destination.address();
        let unless_ignored = |host| (!self.is_ignored(host)).then_some(host);
        match &self.sources {
            // Every packet is the bot's, and may be a reply to it as well.
            Sources::Any if packet.source == destination => [unless_ignored(destination), None],
            Sources::Any => [unless_ignored(destination), unless_ignored(packet.source)],
            bot @ Sources::Bot { .. } if bot.is_bot(packet.source) => {
                [unless_ignored(destination), None]
            }
            bot @ Sources::Bot { .. } if bot.is_bot(destination) => {
                [None, unless_ignored(packet.source)]
            }
            Sources::Bot { .. } => [None, None],
        }
    }

    /// Returns the [remote hosts](PacketFilter::remote_hosts) of a packet, given its frame: with a MAC address,
    /// no packet is both the bot's and a reply to it.
    #[must_use]
    pub fn remote_hosts_of_frame(
        &self,
        packet: &Packet,
        link: LinkType,
        frame: &[u8],
    ) -> [Option<Address>; 2] {
        let [to, from] = self.remote_hosts(packet);
        match &self.sources {
            _ if !self.has_mac_rule() => [to, from],
            Sources::Any if self.is_sent_by_bot(link, frame) => [to, None],
            Sources::Any => [None, (!self.is_ignored(packet.source)).then_some(packet.source)],
            Sources::Bot { .. } if self.is_sent_by_bot(link, frame) => [to, from],
            Sources::Bot { .. } => [None, from],
        }
    }
}

#[cfg(test)]
mod tests {
    use gomon_common::{ContactFlag, Endpoint};
    use proptest::prelude::*;

    use super::*;

    fn packet(source: u8, destination: u8) -> Packet {
        Packet {
            source: Address::v4([10, 0, 0, source]),
            destination: Endpoint::new(Address::v4([10, 0, 0, destination]), 17, 53),
            source_port: 53,
            contact: ContactFlag::ATTEMPT,
            ..Packet::default()
        }
    }

    fn host(n: u8) -> Address {
        Address::v4([10, 0, 0, n])
    }

    #[test]
    fn with_a_mac_rule_a_packet_has_one_direction() {
        let frame = |sender: u8| [0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, sender];
        let both = [frame(1), frame(2)];
        let bot = Sources::Bot { first: host(5), others: vec![] };
        let filter = |sources: Sources| {
            let mut filter = PacketFilter::new(sources, vec![Prefix::host(host(9))])
                .with_bot_mac(Some(BotMac::First));
            // The first frame decides, and no later one does.
            for frame in &both {
                filter.learn_sender(LinkType::Ethernet, frame);
            }
            filter
        };
        let hosts = |sources: &Sources, source, destination, sender: usize| {
            let packet = packet(source, destination);
            let filter = filter(sources.clone());
            filter.remote_hosts_of_frame(&packet, LinkType::Ethernet, &both[sender])
        };
        assert_eq!(hosts(&Sources::Any, 5, 1, 0), [Some(host(1)), None]);
        assert_eq!(hosts(&Sources::Any, 1, 5, 1), [None, Some(host(1))]);
        assert_eq!(hosts(&Sources::Any, 9, 5, 1), [None, None]);
        assert_eq!(hosts(&bot, 5, 1, 0), [Some(host(1)), None]);
        assert_eq!(hosts(&bot, 5, 1, 1), [None, None]);
        assert_eq!(hosts(&bot, 1, 5, 1), [None, Some(host(1))]);
    }

    #[test]
    fn artifacts_hold_both_directions_of_the_bot() {
        let bot = Sources::Bot { first: host(5), others: vec![host(6)] };
        let filter = PacketFilter::new(bot, vec![Prefix::host(host(9))]);
        assert_eq!(filter.remote_hosts(&packet(6, 1)), [Some(host(1)), None]);
        assert_eq!(filter.remote_hosts(&packet(1, 5)), [None, Some(host(1))]);
        assert_eq!(filter.remote_hosts(&packet(1, 2)), [None, None]);
        assert_eq!(filter.remote_hosts(&packet(5, 9)), [None, None]);
        assert_eq!(filter.remote_hosts(&packet(5, 6)), [None, None]);
    }

    /// Whether a longest-prefix-match trie with a filter's entries ignores an address.
    fn matches_in_trie(filter: &PacketFilter, address: Address) -> bool {
        let mut trie = std::collections::BTreeMap::new();
        trie.extend(filter.lpm_entries());
        let matching = |prefix: &Prefix| Prefix::new(address, prefix.bits()) == *prefix;
        let longest = trie.keys().filter(|prefix| matching(prefix)).max_by_key(|p| p.bits());
        longest.is_some_and(|longest| trie[longest])
    }

    /// Addresses in and around the IPv4-mapped block, close to each other, so that prefixes match.
    fn address() -> impl Strategy<Value = Address> {
        let v4 = (10u8..12, 0u8..4).prop_map(|(high, low)| Address::v4([high, 0, 0, low]));
        let block = prop_oneof![Just(0u128), Just(0xfffe), Just(0xffff), Just(0x1_0000)];
        let number = (block, any::<u32>()).prop_map(|(block, low)| block << 32 | u128::from(low));
        let v6 = prop_oneof![number, any::<u128>()];
        prop_oneof![v4, v6.prop_map(|number| Address::v6(number.to_be_bytes()))]
    }

    proptest! {
        #[test]
        fn kernel_and_user_space_ignore_the_same_addresses(
            ignored in prop::collection::vec((address(), 0u32..=128), 0..8),
            addresses in prop::collection::vec(address(), 1..8),
        ) {
            let prefixes: Vec<_> = ignored.iter().map(|&(a, bits)| Prefix::new(a, bits)).collect();
            let filter = PacketFilter::new(Sources::Any, prefixes.clone());
            let ends = prefixes.iter().flat_map(|prefix| prefix.ranges()).flat_map(|(a, b)| [a, b]);
            for address in addresses.into_iter().chain(ends) {
                prop_assert_eq!(filter.is_ignored(address), matches_in_trie(&filter, address));
            }
        }
    }

    #[test]
    fn a_prefix_of_one_family_leaves_the_other_alone() {
        let ignored = |prefix: (&str, u32), address: &str| {
            let parse = |text: &str| text.parse::<std::net::IpAddr>().unwrap().into();
            let prefix = Prefix::new(parse(prefix.0), prefix.1);
            PacketFilter::new(Sources::Any, vec![prefix]).is_ignored(parse(address))
        };
        assert!(ignored(("::", 0), "2001:db8::1") && ignored(("::", 0), "::1"));
        assert!(!ignored(("::", 0), "192.0.2.1") && !ignored(("::", 8), "255.255.255.255"));
        assert!(ignored(("0.0.0.0", 96), "192.0.2.1") && !ignored(("0.0.0.0", 96), "2001:db8::1"));
        assert!(ignored(("::ffff:192.0.2.0", 120), "192.0.2.1"));
    }
}

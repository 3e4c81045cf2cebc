//! Which packets count: those the bot sends, to destinations that are not left out.

use gomon_common::{Address, LinkType, Mac, Packet};

use super::Ranges;

/// Whose packets count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sources {
    /// Everybody's: what leaves a bot's tap is the bot's, whatever source address it bears.
    Any,
    /// One bot's. The first address is the one its records carry.
    Bot {
        /// The address records carry.
        first: Address,
        /// Further addresses of the same bot.
        others: Vec<Address>,
    },
}

impl Sources {
    /// Whether `address` is one of the bot's. Of `Any`, no address is known to be.
    #[must_use]
    pub fn is_bot(&self, address: Address) -> bool {
        match self {
            Self::Any => false,
            Self::Bot { first, others } => *first == address || others.contains(&address),
        }
    }

    /// The address of a bot that has one of IPv4 and no other.
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

/// Whose frames are the bot's, by the hardware address of their sender. Where a capture has both
/// directions, it tells the bot's packets from those of others whatever source address they bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BotMac {
    /// Those of whoever sent the first frame.
    First,
    /// Those of this sender.
    Is(Mac),
    /// No frame: the first one did not name its sender.
    Unknown,
}

/// Decides which packets count.
#[derive(Clone, Debug)]
pub struct PacketFilter {
    sources: Sources,
    /// Without one, frames of all senders can be the bot's.
    bot_mac: Option<BotMac>,
    ignored: Ranges,
}

impl PacketFilter {
    /// Counts what `sources` send, except to the bot itself and to `ignored`, given as ranges from a
    /// first to a last address.
    #[must_use]
    pub fn new(sources: Sources, mut ignored: Vec<(Address, Address)>) -> Self {
        ignored.extend(sources.addresses().map(|address| (address, address)));
        Self { sources, bot_mac: None, ignored: Ranges::new(ignored) }
    }

    /// The same of frames that the bot's MAC address sent.
    #[must_use]
    pub fn sent_by(self, bot_mac: Option<BotMac>) -> Self {
        Self { bot_mac, ..self }
    }

    /// Whether the sender of a frame matters.
    #[inline]
    #[must_use]
    pub fn looks_at_senders(&self) -> bool {
        self.bot_mac.is_some()
    }

    /// Whether a frame that starts with a `link` header can be the bot's by its sender.
    #[must_use]
    pub fn is_sent_by_bot(&self, link: LinkType, frame: &[u8]) -> bool {
        match self.bot_mac {
            None => true,
            Some(BotMac::Is(bot_mac)) => Mac::of_sender(link, frame) == Some(bot_mac),
            Some(BotMac::First | BotMac::Unknown) => false,
        }
    }

    /// Learns from a frame, the first one of all, who the bot is, if that is how it is to be known.
    pub(super) fn learn_sender(&mut self, link: LinkType, frame: &[u8]) {
        if self.bot_mac == Some(BotMac::First) {
            self.bot_mac = Some(Mac::of_sender(link, frame).map_or(BotMac::Unknown, BotMac::Is));
        }
    }

    /// Whose packets count.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Whether the packet comes from the bot.
    #[inline]
    #[must_use]
    pub fn is_from_bot(&self, packet: &Packet) -> bool {
        match &self.sources {
            Sources::Any => true,
            bot @ Sources::Bot { .. } => bot.is_bot(packet.source),
        }
    }

    /// Whether nothing sent to `host` counts.
    #[inline]
    #[must_use]
    pub fn is_ignored(&self, host: Address) -> bool {
        self.ignored.contains(host)
    }

    /// The remote host of a packet that belongs into an artifact, whichever way it goes: to the host
    /// from the bot, or back from it.
    #[must_use]
    pub fn remote_hosts(&self, packet: &Packet) -> [Option<Address>; 2] {
        let destination = packet.destination.address();
        let wanted = |host| (!self.is_ignored(host)).then_some(host);
        match &self.sources {
            // Everything is the bot's, and everything may be an answer to it.
            Sources::Any if packet.source == destination => [wanted(destination), None],
            Sources::Any => [wanted(destination), wanted(packet.source)],
            bot @ Sources::Bot { .. } if bot.is_bot(packet.source) => [wanted(destination), None],
            bot @ Sources::Bot { .. } if bot.is_bot(destination) => [None, wanted(packet.source)],
            Sources::Bot { .. } => [None, None],
        }
    }

    /// The same where the packet's frame is known: with a MAC address, no packet is both the bot's and an
    /// answer to it.
    #[must_use]
    pub fn remote_hosts_of_frame(
        &self,
        packet: &Packet,
        link: LinkType,
        frame: &[u8],
    ) -> [Option<Address>; 2] {
        let [to, from] = self.remote_hosts(packet);
        match &self.sources {
            _ if !self.looks_at_senders() => [to, from],
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
    fn with_a_card_a_packet_goes_one_way() {
        let frame = |sender: u8| [0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, sender];
        let both = [frame(1), frame(2)];
        let bot = Sources::Bot { first: host(5), others: vec![] };
        let selection = |sources: Sources| {
            let mut selection =
                PacketFilter::new(sources, vec![(host(9), host(9))]).sent_by(Some(BotMac::First));
            // The first frame decides, and no later one does.
            for frame in &both {
                selection.learn_sender(LinkType::Ethernet, frame);
            }
            selection
        };
        let hosts = |sources: &Sources, source, destination, sender: usize| {
            let packet = packet(source, destination);
            let selection = selection(sources.clone());
            selection.remote_hosts_of_frame(&packet, LinkType::Ethernet, &both[sender])
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
        let selection = PacketFilter::new(bot, vec![(host(9), host(9))]);
        assert_eq!(selection.remote_hosts(&packet(6, 1)), [Some(host(1)), None]);
        assert_eq!(selection.remote_hosts(&packet(1, 5)), [None, Some(host(1))]);
        assert_eq!(selection.remote_hosts(&packet(1, 2)), [None, None]);
        assert_eq!(selection.remote_hosts(&packet(5, 9)), [None, None]);
        assert_eq!(selection.remote_hosts(&packet(5, 6)), [None, None]);
    }
}

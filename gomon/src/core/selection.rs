//! Which packets count: those the bot sends, to destinations that are not left out.

use gomon_common::{Address, Packet};

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

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It counts.
    Counted,
    /// Somebody else sent it.
    NotFromBot,
    /// The bot sent it to a destination that is left out.
    Ignored,
}

/// Decides the [`Fate`] of packets.
#[derive(Clone, Debug)]
pub struct Selection {
    sources: Sources,
    ignored: Ranges,
}

impl Selection {
    /// Counts what `sources` send, except to the bot itself and to `ignored`, given as ranges from a
    /// first to a last address.
    #[must_use]
    pub fn new(sources: Sources, mut ignored: Vec<(Address, Address)>) -> Self {
        ignored.extend(sources.addresses().map(|address| (address, address)));
        Self { sources, ignored: Ranges::new(ignored) }
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
}

#[cfg(test)]
mod tests {
    use gomon_common::{Endpoint, Sign};

    use super::*;

    fn packet(source: u8, destination: u8) -> Packet {
        Packet {
            source: Address::v4([10, 0, 0, source]),
            destination: Endpoint::new(Address::v4([10, 0, 0, destination]), 17, 53),
            source_port: 53,
            sign: Sign::OPENING,
        }
    }

    fn host(n: u8) -> Address {
        Address::v4([10, 0, 0, n])
    }

    #[test]
    fn artifacts_hold_both_directions_of_the_bot() {
        let bot = Sources::Bot { first: host(5), others: vec![host(6)] };
        let selection = Selection::new(bot, vec![(host(9), host(9))]);
        assert_eq!(selection.remote_hosts(&packet(6, 1)), [Some(host(1)), None]);
        assert_eq!(selection.remote_hosts(&packet(1, 5)), [None, Some(host(1))]);
        assert_eq!(selection.remote_hosts(&packet(1, 2)), [None, None]);
        assert_eq!(selection.remote_hosts(&packet(5, 9)), [None, None]);
        assert_eq!(selection.remote_hosts(&packet(5, 6)), [None, None]);
    }
}

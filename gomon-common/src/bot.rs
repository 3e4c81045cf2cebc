//! How the eBPF programs find the bots of an interface, and the state of each bot.
//!
//! The programs are loaded once for all bots. Each bot has a *slot*: the index of its [`BotEntry`], and of
//! its own maps in the maps of maps. A frame's bot is found by the index of its interface: an
//! [`InterfaceEntry`] names the slot of the bot there. An interface with several bots has a slot of its own,
//! that of a *group*: packets are counted in the group's ledger, and the bots that sent and receive a packet
//! are found by their addresses.

use crate::address::Address;
use crate::kernel::GENERATIONS;

/// The buckets of the table of interfaces. The kernel numbers interfaces consecutively, so they fill the
/// buckets evenly. A power of two.
pub const BUCKETS: u32 = 2048;
/// The interfaces that a bucket has room for. With a bucket of a cache line, a lookup is one array access.
pub const BUCKET_ENTRIES: usize = 8;

/// Returns the bucket of the interface with this index.
#[must_use]
#[inline]
pub const fn bucket(interface: u32) -> u32 {
    interface % BUCKETS
}

/// An interface with bots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct InterfaceEntry {
    /// The index of the interface; 0 if the entry is free.
    pub interface: u32,
    /// The slot of the bot on the interface, or of the group.
    pub slot: u32,
}

/// The interfaces of a bucket, in any order.
pub type InterfaceBucket = [InterfaceEntry; BUCKET_ENTRIES];

const _: () = assert!(size_of::<InterfaceBucket>() == 64);

impl InterfaceEntry {
    /// Returns the entry as one word, in the layout of the struct.
    #[must_use]
    pub const fn word(self) -> u64 {
        pair(self.interface, self.slot)
    }

    /// Returns the entry in a word.
    #[must_use]
    pub fn from_word(word: u64) -> Self {
        let bytes = word.to_ne_bytes();
        let (numbers, _) = bytes.as_chunks();
        let number = |at: usize| numbers.get(at).map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        Self { interface: number(0), slot: number(1) }
    }
}

/// Returns two numbers as one word, the first at the lower address.
const fn pair(first: u32, second: u32) -> u64 {
    let (first, second) = (first as u64, second as u64);
    if cfg!(target_endian = "little") { first | second << 32 } else { first << 32 | second }
}

/// Returns the index of a bot's generation among the generations of all bots.
#[must_use]
#[inline]
pub const fn cell(slot: u32, generation: u32) -> u32 {
    slot * GENERATIONS + generation
}

/// A range of parts of the [flow cache](crate::flow_cache).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CacheRange {
    /// The index of the first part.
    pub first: u32,
    /// The number of parts, a power of two; 0 for no cache.
    pub parts: u32,
}

/// What is in a slot.
pub mod flags {
    /// Every source is the bot's.
    pub const ANY_SOURCE: u64 = 1;
    /// The bot has more than one address.
    pub const MORE_SOURCES: u64 = 1 << 1;
    /// There are ignored destinations.
    pub const HAS_IGNORED: u64 = 1 << 2;
    /// Contact times are recorded, which sweep detection needs.
    pub const TRACK_CONTACTS: u64 = 1 << 3;
    /// The slot is that of a group.
    pub const GROUP: u64 = 1 << 4;
}

/// A bot, as the programs see it. User space writes it: all of it before the interface refers to the slot,
/// and later `generation`, and the next generation's pane end and cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BotEntry {
    /// The current generation.
    pub generation: u64,
    /// The scheduled end of each generation's pane, in nanoseconds on the monotonic clock.
    pub pane_ends: [u64; GENERATIONS as usize],
    /// The MAC address that the bot's frames come from, as encoded by
    /// [`mac_to_u64`](crate::kernel::mac_to_u64). 0 matches every sender.
    pub mac: u64,
    /// The bot's first address.
    pub address: Address,
    /// The flow cache of each generation.
    pub caches: [CacheRange; GENERATIONS as usize],
    /// The [`flags`].
    pub flags: u64,
    /// The maximum number of packets per host sent to user space in a
    /// [`RATE_INTERVAL`](crate::kernel::RATE_INTERVAL). 0 turns packet capture off.
    pub packets_per_host: u32,
    /// The number of parts in a generation's [Bloom filter](crate::bloom).
    pub bloom_parts: u32,
}

/// The `u64` words in a [`BotEntry`].
pub const BOT_WORDS: usize = 10;

const _: () = assert!(size_of::<BotEntry>() == BOT_WORDS * size_of::<u64>());

impl BotEntry {
    /// Returns the words of the entry, in the layout of the struct.
    #[must_use]
    pub fn words(&self) -> [u64; BOT_WORDS] {
        let [first, second] = self.caches.map(|cache| pair(cache.first, cache.parts));
        // In memory an address is in network byte order.
        let [high, low] = self.address.halves().map(u64::to_be);
        let [end0, end1] = self.pane_ends;
        let numbers = pair(self.packets_per_host, self.bloom_parts);
        [self.generation, end0, end1, self.mac, high, low, first, second, self.flags, numbers]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_the_layout_of_the_struct() {
        let entry = BotEntry {
            generation: 1,
            pane_ends: [2, 3],
            mac: 4,
            address: Address::v6(*b"0123456789abcdef"),
            caches: [CacheRange { first: 5, parts: 6 }, CacheRange { first: 7, parts: 8 }],
            flags: 9,
            packets_per_host: 10,
            bloom_parts: 11,
        };
        let word = |a: u32, b: u32| [a.to_ne_bytes(), b.to_ne_bytes()].concat();
        let mut bytes: Vec<u8> = [1u64, 2, 3, 4].iter().flat_map(|n| n.to_ne_bytes()).collect();
        bytes.extend(b"0123456789abcdef");
        bytes.extend([word(5, 6), word(7, 8), 9u64.to_ne_bytes().to_vec(), word(10, 11)].concat());
        let words: Vec<u8> = entry.words().iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(words, bytes);
        let offset = std::mem::offset_of!(BotEntry, address);
        assert_eq!(&bytes[offset..offset + 16], entry.address.bytes());
        assert_eq!(std::mem::offset_of!(BotEntry, caches), 48);
        assert_eq!(std::mem::offset_of!(BotEntry, bloom_parts), 76);
    }

    #[test]
    fn interface_entries_round_trip_as_words() {
        let entry = InterfaceEntry { interface: 0x0102_0304, slot: 0x0506_0708 };
        assert_eq!(InterfaceEntry::from_word(entry.word()), entry);
        assert_eq!(InterfaceEntry::from_word(0), InterfaceEntry::default());
    }
}

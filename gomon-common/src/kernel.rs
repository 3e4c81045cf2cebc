//! The interface between the eBPF programs and their loader: names, value layouts, and limits.
//!
//! The counts of each [bot](crate::bot) are kept in two *generations* of maps. A program reads the bot's
//! current generation once per packet and updates only that generation's maps. To close a pane, the loader
//! makes the other generation current, waits until no program that read the old value is still running, and
//! then has exclusive access to the old generation's maps.

use crate::address::Address;
use crate::mac::Mac;
use crate::parse::{Malformed, Skip};

/// The number of generations of counts: one is updated by the programs, the other is drained and cleared.
pub const GENERATIONS: u32 = 2;

/// The names of programs, maps, and globals in the object. A map name has at most 15 bytes
/// (`BPF_OBJ_NAME_LEN`).
pub mod names {
    /// XDP program for frames in a single linear buffer.
    pub const XDP: &str = "gomon_xdp";
    /// XDP program that supports multi-buffer frames (Linux 5.18).
    pub const XDP_FRAGS: &str = "gomon_xdp_frags";
    /// TC classifier for ingress traffic of the interface.
    pub const TC: &str = "gomon_tc";
    /// TC classifier for egress traffic of the interface, which is sent to the bot. It records replies and
    /// does not count.
    pub const TC_EGRESS: &str = "gomon_tc_egress";
    /// All programs.
    pub const PROGRAMS: [&str; 4] = [XDP, XDP_FRAGS, TC, TC_EGRESS];

    /// Array of [`BotEntry`](crate::bot::BotEntry)s, by slot. Written by the loader.
    pub const BOTS: &str = "BOTS";
    /// Array of [`InterfaceBucket`](crate::bot::InterfaceBucket)s. Written by the loader.
    pub const INTERFACES: &str = "INTERFACES";
    /// Array of hash maps, by [cell](crate::bot::cell): [`Endpoint`](crate::Endpoint) to seven `u64`s,
    /// which are a [`DestinationValue`](super::DestinationValue), a [`ContactValue`](super::ContactValue),
    /// and the source [`Address`](crate::Address) of the endpoint's packets or
    /// [`SEVERAL_SOURCES`](super::SEVERAL_SOURCES). The source is only meaningful if every source is the
    /// bot's.
    pub const ENDPOINTS: &str = "ENDPOINTS";
    /// Array of hash maps, by cell: [`Address`](crate::Address) to
    /// [`DestinationValue`](super::DestinationValue).
    pub const HOSTS: &str = "HOSTS";
    /// Per-CPU array: cell to [`CpuLedger`](super::CpuLedger).
    pub const LEDGER: &str = "LEDGER";
    /// Array of arrays, by slot: generation to the registers of the [`hyperloglog`](crate::hyperloglog)
    /// sketch.
    pub const HLL_REGISTERS: &str = "HLL_REGISTERS";
    /// Array of arrays, by slot: the parts of each generation's [Bloom filter](crate::bloom) of listed
    /// hosts.
    pub const BLOOM_FILTER: &str = "BLOOM_FILTER";
    /// Per-CPU array of the parts of all [flow caches](crate::flow_cache).
    pub const FLOW_CACHE: &str = "FLOW_CACHE";
    /// Array of hash maps, by slot: [`Endpoint`](crate::Endpoint) to the time of its reply as in
    /// [`ContactValue::replied`](super::ContactValue::replied). Contacts of earlier panes that may still be
    /// answered. The loader adds and removes the entries.
    pub const PENDING_REPLIES: &str = "PENDING_REPLIES";
    /// Array of per-CPU arrays, by slot: generation to the source addresses of a
    /// [sample](super::SENDER_SAMPLES) of the packets that are not the bot's.
    pub const SENDERS: &str = "SENDERS";
    /// LPM trie: slot and prefix to 1 if its addresses are not counted, or 0 if they are.
    pub const IGNORED: &str = "IGNORED";
    /// Hash map from a [`SourceKey`](super::SourceKey) to the slot of the bot that has the address. With the
    /// slot of a bot it has the bot's addresses other than the first, with the slot of a group those of all
    /// bots in the group.
    pub const SOURCES: &str = "SOURCES";
    /// Perf event array, one buffer per CPU: packets for artifacts, each a
    /// [`PacketRecord`](super::PacketRecord) followed by the bytes of the frame.
    pub const PACKETS: &str = "PACKETS";

    /// All maps.
    pub const MAPS: [&str; 13] = [
        BOTS,
        INTERFACES,
        ENDPOINTS,
        HOSTS,
        LEDGER,
        HLL_REGISTERS,
        BLOOM_FILTER,
        FLOW_CACHE,
        PENDING_REPLIES,
        SENDERS,
        IGNORED,
        SOURCES,
        PACKETS,
    ];
}

/// The maximum number of a bot's ignored prefixes, including the one that excludes IPv4-mapped addresses from
/// IPv6 prefixes.
pub const MAX_IGNORED: usize = 16_384;
/// The maximum number of a bot's addresses other than the first.
pub const MAX_SOURCES: usize = 1024;
/// The size of a CPU's sample of the sources of packets that are not the bot's. The first this many packets
/// of a pane are all sampled, and after that about one in this many, which replaces an earlier one. A power
/// of two.
pub const SENDER_SAMPLES: usize = 64;
/// The capacity of the endpoint and host maps of a generation, unless the loader sets another one.
pub const DEFAULT_DESTINATIONS: usize = 1024;

/// The halves of an address, and a slot.
pub type SourceKey = [u64; 3];

/// Returns the key of an address in the map of sources.
#[must_use]
#[inline]
pub const fn source_key(slot: u32, address: Address) -> SourceKey {
    let [high, low] = address.halves();
    [high, low, slot as u64]
}

/// The data of a key of the LPM trie of ignored prefixes: the slot of the bot, and an address. As `u64`s, so
/// that the address is aligned.
pub type IgnoredKey = [u64; 3];

/// The bits of an [`IgnoredKey`] in front of the address.
pub const IGNORED_SLOT_BITS: u32 = 64;

/// Returns the key of an address in the LPM trie of ignored prefixes.
#[must_use]
#[inline]
pub const fn ignored_key(slot: u32, address: Address) -> IgnoredKey {
    let [high, low] = address.halves();
    // A trie compares bytes in the order of memory.
    [slot as u64, high.to_be(), low.to_be()]
}

/// Encodes a MAC address as a number that is never 0.
#[must_use]
#[inline]
#[expect(clippy::many_single_char_names, reason = "one name for each of six bytes")]
pub const fn mac_to_u64(mac: Mac) -> u64 {
    let [a, b, c, d, e, f] = mac.octets();
    u64::from_ne_bytes([a, b, c, d, e, f, 0, 1])
}

/// The length in nanoseconds of the interval over which the packets sent to user space are limited.
/// Intervals are counted back from the end of the pane, so that the last one, number 0, ends with the pane.
pub const RATE_INTERVAL: u64 = 100_000_000;
/// The number of packets that a CPU sends to user space in an interval, for all hosts together. After that
/// it sends only the first [`MIN_PACKETS_PER_HOST`] of each host. The last interval of a pane has no such
/// limit, because artifacts need the last packets.
pub const PACKETS_PER_INTERVAL: u64 = 1024;
/// The number of packets of each host that are sent in an interval regardless of the number of hosts.
pub const MIN_PACKETS_PER_HOST: u32 = 4;
/// The maximum number of bytes of a frame that are sent to user space. Together with its headers this is
/// the longest perf buffer record, whose length field has 16 bits.
pub const MAX_CAPTURED: u32 = 65_400;

/// The packets and bytes sent to a destination, in host byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// The length of the packets' frames in bytes.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Counters>() == 16);

/// The state of a listed destination, which is an endpoint or a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DestinationValue {
    /// For an endpoint, what was sent to it. For a host, what was sent to its endpoints that are not
    /// listed.
    pub counters: Counters,
    /// The latest rate-limit interval in which one of its packets was sent to user space.
    pub interval: u32,
    /// The number of packets sent to user space in `interval`.
    pub sent: u32,
}

const _: () = assert!(size_of::<DestinationValue>() == 24);

/// The contact times of an endpoint in a pane, in nanoseconds on the monotonic clock; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ContactValue {
    /// The first attempt: a SYN, or a UDP datagram.
    pub attempted: u64,
    /// The first evidence of a reply.
    pub replied: u64,
}

const _: () = assert!(size_of::<ContactValue>() == 16);

/// The source address stored with an endpoint that has packets from more than one source.
pub const SEVERAL_SOURCES: Address = Address::v6([0xff; 16]);

/// The header of a packet sent to user space. The bytes of the frame follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PacketRecord {
    /// Nanoseconds on the monotonic clock, in host byte order.
    time: [u8; 8],
    /// The remote host: the host the bot sends to, or the host that replies to the bot.
    host: [u8; 16],
    /// The length of the frame in bytes, in host byte order.
    length: [u8; 4],
    /// The number of bytes of the frame that follow, in host byte order.
    captured: [u8; 4],
    /// The VLAN tag that the kernel moved from the frame into the skb, as it was in the frame; zeros for
    /// none.
    tag: [u8; 4],
    /// The [cell](crate::bot::cell) that the packet belongs to, in host byte order.
    cell: [u8; 4],
}

const _: () = assert!(size_of::<PacketRecord>() == 40 && align_of::<PacketRecord>() == 1);

impl PacketRecord {
    /// Creates the header for a packet between the bot and `host` in a frame of `length` bytes.
    #[must_use]
    #[inline]
    pub const fn new(time: u64, host: Address, length: u32, captured: u32, cell: u32) -> Self {
        Self {
            time: time.to_ne_bytes(),
            host: host.bytes(),
            length: length.to_ne_bytes(),
            captured: captured.to_ne_bytes(),
            tag: [0; 4],
            cell: cell.to_ne_bytes(),
        }
    }

    /// Adds the VLAN tag that the kernel moved into the skb: its protocol identifier (TPID) and tag control
    /// information (TCI).
    #[must_use]
    #[inline]
    pub const fn with_tag(mut self, tpid: u16, tci: u16) -> Self {
        let ([p0, p1], [c0, c1]) = (tpid.to_be_bytes(), tci.to_be_bytes());
        self.tag = [p0, p1, c0, c1];
        self
    }

    /// Splits a perf buffer sample into the header and the bytes of the frame. Returns `None` if the sample
    /// is truncated.
    #[must_use]
    pub fn split(sample: &[u8]) -> Option<(Self, &[u8])> {
        let (time, rest) = sample.split_first_chunk()?;
        let (host, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (captured, rest) = rest.split_first_chunk()?;
        let (tag, rest) = rest.split_first_chunk()?;
        let (cell, rest) = rest.split_first_chunk()?;
        let record = Self {
            time: *time,
            host: *host,
            length: *length,
            captured: *captured,
            tag: *tag,
            cell: *cell,
        };
        let frame = rest.get(..u32::from_ne_bytes(*captured) as usize)?;
        Some((record, frame))
    }

    /// Returns the time of the packet in nanoseconds on the monotonic clock.
    #[must_use]
    pub const fn time(&self) -> u64 {
        u64::from_ne_bytes(self.time)
    }

    /// Returns the remote host.
    #[must_use]
    pub const fn host(&self) -> Address {
        Address::v6(self.host)
    }

    /// Returns the length of the frame on the wire in bytes.
    #[must_use]
    pub const fn length(&self) -> u32 {
        u32::from_ne_bytes(self.length)
    }

    /// Returns the four bytes of the VLAN tag that the kernel moved into the skb.
    #[must_use]
    pub const fn tag(&self) -> Option<[u8; 4]> {
        match self.tag {
            [0, 0, _, _] => None,
            tag => Some(tag),
        }
    }

    /// Returns the [cell](crate::bot::cell) that the packet belongs to.
    #[must_use]
    pub const fn cell(&self) -> u32 {
        u32::from_ne_bytes(self.cell)
    }
}

/// The index of a counter, or of other per-CPU state, in a [`CpuLedger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "same names as in the ledger of user space")]
pub enum LedgerEntry {
    /// Packets of the bot that count, to listed hosts.
    Counted,
    /// Packets of the bot that count, to unlisted hosts.
    UnlistedPackets,
    NotFromBot,
    Ignored,
    NotIp,
    Truncated,
    Version,
    HeaderLength,
    TotalLength,
    Nesting,
    /// The bytes of `UnlistedPackets`.
    UnlistedBytes,
    /// The part of `Counted` that was sent to unlisted endpoints of listed hosts.
    OverflowPackets,
    /// The bytes of `OverflowPackets`.
    OverflowBytes,
    /// Not 0 once the host map is full. It saves inserting into a full map, which costs more than all other
    /// work on a packet: 28 microseconds on kernels before 6.0.
    HostsFull,
    /// Not 0 once the endpoint map is full.
    EndpointsFull,
    /// Packets that were lost because the perf buffer was full.
    PacketsLost,
    /// The latest rate-limit interval in which a packet was sent to user space.
    Interval,
    /// The number of packets sent to user space in `Interval`.
    IntervalPackets,
    /// The latest jiffies value that was read.
    Jiffies,
    /// The monotonic clock when `Jiffies` was read.
    JiffiesTime,
    /// For a bot in a group, packets of the bot. For the group, all packets.
    InGroup,
}

/// The ledger of one generation on one CPU, indexed by [`LedgerEntry`]. The length is a power of two, so
/// that a mask keeps an index in bounds. From [`PACKET_WORD`] on it holds the packet that the CPU is counting.
pub type CpuLedger = [u64; 32];

/// The index of the first word of a [`CpuLedger`] that is not a ledger entry.
pub const PACKET_WORD: usize = 24;

impl LedgerEntry {
    /// Returns the counter of frames skipped for this reason.
    #[must_use]
    #[inline]
    pub const fn of(skip: Skip) -> Self {
        match skip {
            Skip::NotIp => Self::NotIp,
            Skip::Malformed(Malformed::Truncated) => Self::Truncated,
            Skip::Malformed(Malformed::Version) => Self::Version,
            Skip::Malformed(Malformed::HeaderLength) => Self::HeaderLength,
            Skip::Malformed(Malformed::TotalLength) => Self::TotalLength,
            Skip::Malformed(Malformed::Nesting) => Self::Nesting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_entries_are_contiguous_and_in_the_order_of_their_reasons() {
        for (position, reason) in Malformed::ALL.into_iter().enumerate() {
            assert_eq!(
                LedgerEntry::of(Skip::Malformed(reason)) as usize,
                LedgerEntry::Truncated as usize + position
            );
        }
        assert!((LedgerEntry::InGroup as usize) < PACKET_WORD);
    }

    #[test]
    fn packet_records_round_trip_and_truncated_samples_are_rejected() {
        let host = Address::v4([192, 0, 2, 1]);
        let record = PacketRecord::new(7, host, 1500, 3, 1);
        let mut sample = record.time.to_vec();
        sample.extend(host.bytes());
        sample.extend([record.length, record.captured, record.tag].concat());
        sample.extend(1u32.to_ne_bytes());
        sample.extend(b"abc-padding");
        assert_eq!(PacketRecord::split(&sample), Some((record, &b"abc"[..])));
        assert_eq!((record.time(), record.length(), record.cell()), (7, 1500, 1));
        assert_eq!(record.tag(), None);
        assert_eq!(record.with_tag(0x8100, 7).tag(), Some([0x81, 0, 0, 7]));
        for length in 0..size_of::<PacketRecord>() + 3 {
            assert_eq!(PacketRecord::split(&sample[..length]), None, "{length}");
        }
    }
}

//! What the kernel program and its loader share besides keys: names, shapes, places.
//!
//! Counts are kept in two *generations*. The program reads the current one once a packet and counts in
//! its maps alone; to close a window the loader makes the other one current, waits until no program is
//! left that read the old number, and then owns the old generation's maps alone.

use crate::parse::Malformed;
use crate::{Address, Mac, Skip};

/// Generations of counts: one is counted into, the other is drained and made ready.
pub const GENERATIONS: u32 = 2;

/// Names of programs and maps, as they stand in the object.
pub mod names {
    /// XDP program for frames in one buffer.
    pub const XDP: &str = "gomon_xdp";
    /// XDP program that takes frames in several buffers too (Linux 5.18).
    pub const XDP_FRAGS: &str = "gomon_xdp_frags";
    /// TC classifier of what comes in at the interface.
    pub const TC: &str = "gomon_tc";
    /// TC classifier of what goes out at the interface, to the bot. Counts nothing.
    pub const TC_EGRESS: &str = "gomon_tc_egress";
    /// Every program.
    pub const PROGRAMS: [&str; 4] = [XDP, XDP_FRAGS, TC, TC_EGRESS];

    /// Array of one [`CurrentGeneration`](super::CurrentGeneration): the generation that is counted into.
    pub const CURRENT: &str = "CURRENT";
    /// Per generation a hash of [`Endpoint`](crate::Endpoint) to [`DestinationValue`](super::DestinationValue),
    /// [`Contact`](super::Contact) and a source, for which see [`SEVERAL`](super::SEVERAL).
    pub const ENDPOINTS: &str = "ENDPOINTS";
    /// Per generation a hash of [`Address`](crate::Address) to [`DestinationValue`](super::DestinationValue).
    pub const HOSTS: &str = "HOSTS";
    /// Per generation and CPU the numbers of [`LedgerEntry`](super::LedgerEntry).
    pub const LEDGER: &str = "LEDGER";
    /// Per generation and CPU the registers of [`registers`](crate::registers).
    pub const HLL_REGISTERS: &str = "HLL_REGISTERS";
    /// Per generation the [`sieve`](crate::sieve) of its known hosts, in parts.
    pub const BLOOM_FILTER: &str = "BLOOM_FILTER";
    /// Per generation and CPU the places [near](crate::near) at hand, in parts.
    pub const FLOW_CACHE: &str = "FLOW_CACHE";
    /// A hash of [`Endpoint`](crate::Endpoint) to the time of its answer, as in
    /// [`Contact`](super::Contact): contacts of earlier panes that may still be answered. The loader
    /// fills it.
    pub const PENDING_REPLIES: &str = "PENDING_REPLIES";
    /// Per generation and CPU the sources of [some](super::SAMPLES) of the packets that are not the
    /// bot's.
    pub const SENDERS: &str = "SENDERS";
    /// Prefixes that are not counted.
    pub const IGNORED: &str = "IGNORED";
    /// The bot's addresses beside the first.
    pub const SOURCES: &str = "SOURCES";
    /// Per CPU a perf buffer of packets for artifacts, each a [`PacketRecord`](super::PacketRecord) with the bytes
    /// of its frame behind it.
    pub const PACKETS: &str = "PACKETS";

    /// Every map.
    pub const MAPS: [&str; 12] = [
        CURRENT,
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

    /// Global: the bot's first address, 16 bytes.
    pub const BOT: &str = "BOT";
    /// Global, one byte: 1 when every source is the bot's.
    pub const ANY_SOURCE: &str = "ANY_SOURCE";
    /// Global, a `u64`: the sender of the bot's frames, by [`mac`](super::mac); 0 when it can be anybody.
    pub const BOT_MAC: &str = "BOT_MAC";
    /// Global, one byte: 1 when the bot has more addresses than the first.
    pub const MORE_SOURCES: &str = "MORE_SOURCES";
    /// Global, one byte: 1 when there are destinations to leave out.
    pub const IGNORES: &str = "IGNORES";
    /// Global, a `u32`: the parts of a generation's sieve.
    pub const BLOOM_PARTS: &str = "BLOOM_PARTS";
    /// Global, a `u32`: the parts of a generation's places near at hand; 0 where there are none.
    pub const FLOW_CACHE_PARTS: &str = "FLOW_CACHE_PARTS";
    /// Global, a `u32`: packets sent up of one host in a [slot](super::SLOT); 0 sends none.
    pub const PACKETS_PER_HOST: &str = "PACKETS_PER_HOST";
    /// Global, one byte: 1 when contacts are looked at.
    pub const SWEEPS: &str = "SWEEPS";
}

/// Prefixes that can be ignored, the guard of IPv4 included.
pub const MAX_IGNORED: usize = 16_384;
/// Addresses a bot can have beside the first.
pub const MAX_SOURCES: usize = 1024;
/// Sources that a CPU keeps of packets that are not the bot's: those of the first so many packets of a
/// pane, and then of about one in so many, each in the place of an earlier one. A power of two.
pub const SAMPLES: usize = 64;
/// Endpoints and hosts of a generation, where the loader asks for no other number.
pub const DEFAULT_DESTINATIONS: usize = 1024;

/// A sender as one number, which is not 0.
#[must_use]
#[inline]
#[expect(clippy::many_single_char_names, reason = "six bytes side by side")]
pub const fn mac(mac: Mac) -> u64 {
    let [a, b, c, d, e, f] = mac.octets();
    u64::from_ne_bytes([a, b, c, d, e, f, 0, 1])
}

/// Nanoseconds of a slot. Slots are counted back from the end of the pane, so that the last one ends
/// with it.
pub const SLOT: u64 = 100_000_000;
/// Packets a CPU sends up in a slot, of all hosts together; past that, each host's first
/// [`FEW_PACKETS`]. The last slot of a pane has no such limit: what an artifact wants is there.
pub const PACKETS_PER_SLOT: u64 = 1024;
/// Packets of a host that are sent up in a slot however many hosts there are.
pub const FEW_PACKETS: u32 = 4;
/// Bytes of a frame that are sent up at most: with what stands before them they are the longest record
/// a perf buffer takes, whose length has 16 bits.
pub const MAX_CAPTURED: u32 = 65_400;

/// Which generation is counted into, and when the pane of each ends on the monotonic clock, in
/// nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CurrentGeneration {
    /// The generation that is counted into.
    pub generation: u64,
    /// The end of each generation's pane, as far as it is planned.
    pub ends: [u64; GENERATIONS as usize],
}

const _: () = assert!(size_of::<CurrentGeneration>() == 24);

/// Packets and bytes of a destination, in the byte order of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Counters>() == 16);

/// What is kept of a known destination, an endpoint or a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DestinationValue {
    /// What went to the endpoint; to the host, as far as it is in no endpoint.
    pub counters: Counters,
    /// The slot of the latest packet that was sent up, and how many there were in it.
    pub slot: u32,
    /// See `slot`.
    pub sent: u32,
}

const _: () = assert!(size_of::<DestinationValue>() == 24);

/// What is kept of the contact with an endpoint: when it was first tried, and when it first answered,
/// in nanoseconds on the monotonic clock; 0 for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Contact {
    /// The first SYN, or datagram, of the pane.
    pub tried: u64,
    /// The first sign of an answer in the pane.
    pub answered: u64,
}

const _: () = assert!(size_of::<Contact>() == 16);

/// Behind the contact of an endpoint is the source of its packets, where every source is the bot's; this
/// when there are several.
pub const SEVERAL: Address = Address::v6([0xff; 16]);

/// What stands before the bytes of a packet that is sent up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PacketRecord {
    /// Nanoseconds on the monotonic clock, in the byte order of the host.
    time: [u8; 8],
    /// The other end: whom the bot sends to, or who answers it.
    host: [u8; 16],
    /// Bytes of the frame, and how many of them follow, in the byte order of the host.
    length: [u8; 4],
    captured: [u8; 4],
    /// The VLAN tag that the kernel took out of the frame, as it stood there; zeros for none.
    tag: [u8; 4],
    /// The generation the packet belongs to.
    generation: u8,
    padding: [u8; 3],
}

const _: () = assert!(size_of::<PacketRecord>() == 40 && align_of::<PacketRecord>() == 1);

impl PacketRecord {
    /// A packet between the bot and `host`, in a frame of `length` bytes.
    #[must_use]
    #[inline]
    pub const fn new(
        time: u64,
        host: Address,
        length: u32,
        captured: u32,
        generation: u32,
    ) -> Self {
        Self {
            time: time.to_ne_bytes(),
            host: host.bytes(),
            length: length.to_ne_bytes(),
            captured: captured.to_ne_bytes(),
            tag: [0; 4],
            generation: (generation % GENERATIONS).to_ne_bytes()[0],
            padding: [0; 3],
        }
    }

    /// The same with a VLAN tag that was taken out: its Ethernet type and its control information.
    #[must_use]
    #[inline]
    pub const fn tagged(mut self, kind: u16, control: u16) -> Self {
        let ([k0, k1], [c0, c1]) = (kind.to_be_bytes(), control.to_be_bytes());
        self.tag = [k0, k1, c0, c1];
        self
    }

    /// Splits what came up into this and the bytes of the frame; `None` when it is cut off.
    #[must_use]
    pub fn split(record: &[u8]) -> Option<(Self, &[u8])> {
        let (time, rest) = record.split_first_chunk()?;
        let (host, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (captured, rest) = rest.split_first_chunk()?;
        let (tag, rest) = rest.split_first_chunk()?;
        let ([generation, ..], rest) = rest.split_first_chunk::<4>()?;
        let saved = Self {
            time: *time,
            host: *host,
            length: *length,
            captured: *captured,
            tag: *tag,
            generation: *generation,
            padding: [0; 3],
        };
        let frame = rest.get(..u32::from_ne_bytes(*captured) as usize)?;
        Some((saved, frame))
    }

    /// Nanoseconds on the monotonic clock.
    #[must_use]
    pub const fn time(&self) -> u64 {
        u64::from_ne_bytes(self.time)
    }

    /// The other end.
    #[must_use]
    pub const fn host(&self) -> Address {
        Address::v6(self.host)
    }

    /// Bytes of the frame on the wire.
    #[must_use]
    pub const fn length(&self) -> u32 {
        u32::from_ne_bytes(self.length)
    }

    /// The VLAN tag that was taken out, as its four bytes in the frame.
    #[must_use]
    pub const fn tag(&self) -> Option<[u8; 4]> {
        match self.tag {
            [0, 0, _, _] => None,
            tag => Some(tag),
        }
    }

    /// The generation the packet belongs to.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation as u32
    }
}

/// A place in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "as in the ledger of user space")]
pub enum LedgerEntry {
    /// Packets of the bot that count, to known hosts.
    Counted,
    /// The others: to hosts there was no room for.
    UnlistedPackets,
    NotFromBot,
    Ignored,
    NotIp,
    Truncated,
    Version,
    HeaderLength,
    TotalLength,
    Nesting,
    /// Bytes of `UnlistedPackets`.
    UnlistedBytes,
    /// Of `Counted`, packets to endpoints there was no room for, and their bytes.
    OverflowPackets,
    OverflowBytes,
    /// Not 0 once there is no room for one more host, or endpoint: trying to insert into a full map
    /// costs more than all the rest, 28 microseconds on kernels before 6.0.
    HostsFull,
    EndpointsFull,
    /// Packets that were to be sent up, and for which the perf buffer had no room.
    PacketsLost,
    /// The latest slot in which packets were sent up, and how many there were in it.
    Slot,
    SlotPackets,
    /// The latest tick of the kernel's timer that was looked at, and the monotonic clock then.
    Tick,
    TickTime,
}

/// The ledger of one generation on one CPU. A power of two, so that a place can be kept on it by a mask.
pub type CpuLedger = [u64; 32];

impl LedgerEntry {
    /// Where a frame without a packet is entered.
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
    fn malformed_frames_are_entered_side_by_side_in_the_order_of_their_reasons() {
        for (position, reason) in Malformed::ALL.into_iter().enumerate() {
            assert_eq!(
                LedgerEntry::of(Skip::Malformed(reason)) as usize,
                LedgerEntry::Truncated as usize + position
            );
        }
        assert!((LedgerEntry::TickTime as usize) < size_of::<CpuLedger>() / size_of::<u64>());
    }

    #[test]
    fn a_packet_that_is_sent_up_comes_out_as_it_went_in() {
        let host = Address::v4([192, 0, 2, 1]);
        let saved = PacketRecord::new(7, host, 1500, 3, 1);
        let mut record = saved.time.to_vec();
        record.extend(host.bytes());
        record.extend([saved.length, saved.captured, saved.tag].concat());
        record.extend([1, 0, 0, 0]);
        record.extend(b"abc-padding");
        assert_eq!(PacketRecord::split(&record), Some((saved, &b"abc"[..])));
        assert_eq!((saved.time(), saved.length(), saved.generation()), (7, 1500, 1));
        assert_eq!(saved.tag(), None);
        assert_eq!(saved.tagged(0x8100, 7).tag(), Some([0x81, 0, 0, 7]));
        for length in 0..size_of::<PacketRecord>() + 3 {
            assert_eq!(PacketRecord::split(&record[..length]), None, "{length}");
        }
    }
}

//! What the kernel program and its loader share besides keys: names, shapes, places.
//!
//! Counts are kept in two *generations*. The program reads the current one once a packet and counts in
//! its maps alone; to close a window the loader makes the other one current, waits until no program is
//! left that read the old number, and then owns the old generation's maps alone.

use crate::Skip;
use crate::parse::Malformed;

/// Generations of counts: one is counted into, the other is drained and made ready.
pub const GENERATIONS: u32 = 2;

/// Names of programs and maps, as they stand in the object.
pub mod names {
    /// XDP program for frames in one buffer.
    pub const XDP: &str = "gomon_xdp";
    /// XDP program that takes frames in several buffers too (Linux 5.18).
    pub const XDP_FRAGS: &str = "gomon_xdp_frags";
    /// TC classifier.
    pub const TC: &str = "gomon_tc";

    /// Array of one `u32`: the generation that is counted into.
    pub const CURRENT: &str = "CURRENT";
    /// Per generation a hash of [`Endpoint`](crate::Endpoint) to [`Counted`](super::Counted).
    pub const ENDPOINTS: &str = "ENDPOINTS";
    /// Per generation a hash of [`Address`](crate::Address) to [`Counted`](super::Counted): what went
    /// to a known host and is in no endpoint.
    pub const HOSTS: &str = "HOSTS";
    /// Per generation and CPU the numbers of [`Entry`](super::Entry).
    pub const LEDGER: &str = "LEDGER";
    /// Per generation and CPU the registers of [`registers`](crate::registers).
    pub const REGISTERS: &str = "REGISTERS";
    /// Prefixes that are not counted.
    pub const IGNORED: &str = "IGNORED";
    /// The bot's addresses beside the first.
    pub const SOURCES: &str = "SOURCES";

    /// Every map.
    pub const MAPS: [&str; 7] = [CURRENT, ENDPOINTS, HOSTS, LEDGER, REGISTERS, IGNORED, SOURCES];

    /// Global: the bot's first address, 16 bytes.
    pub const BOT: &str = "BOT";
    /// Global, one byte: 1 when every source is the bot's.
    pub const ANY_SOURCE: &str = "ANY_SOURCE";
    /// Global, one byte: 1 when the bot has more addresses than the first.
    pub const MORE_SOURCES: &str = "MORE_SOURCES";
}

/// Prefixes that can be ignored, the bot's own addresses and the guard of IPv4 included.
pub const MAX_IGNORED: usize = 16_384;
/// Addresses a bot can have beside the first.
pub const MAX_SOURCES: usize = 1024;
/// Endpoints and hosts of a generation, where the loader asks for no other number.
pub const DEFAULT_DESTINATIONS: usize = 1024;

/// Packets and bytes of a destination, in the byte order of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counted {
    /// Packets.
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Counted>() == 16);

/// A place in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "as in the ledger of user space")]
pub enum Entry {
    Counted,
    NotFromBot,
    Ignored,
    NotIp,
    Truncated,
    Version,
    HeaderLength,
    TotalLength,
    Nesting,
    /// Packets and bytes to endpoints there was no room for.
    OverflowPackets,
    OverflowBytes,
    /// Of these, to hosts there was no room for.
    OverflowHostPackets,
    OverflowHostBytes,
    /// Not 0 once there is no room for one more host, or endpoint: trying to insert into a full map
    /// costs more than all the rest, 28 microseconds on kernels before 6.0.
    HostsFull,
    EndpointsFull,
}

/// The ledger of one generation on one CPU.
pub type LedgerPage = [u64; 16];

impl Entry {
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
                Entry::of(Skip::Malformed(reason)) as usize,
                Entry::Truncated as usize + position
            );
        }
        assert!((Entry::EndpointsFull as usize) < size_of::<LedgerPage>() / size_of::<u64>());
    }
}

//! A section of a pcapng capture: its byte order and interfaces, and how its packet blocks are parsed.
//!
//! The format is <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>.

use anyhow::{Result, anyhow, bail, ensure};
use gomon_common::LinkType;
use pcap_parser::pcapng::{
    EnhancedPacketBlock, InterfaceDescriptionBlock, OptionCode, SimplePacketBlock,
    parse_enhancedpacketblock_be, parse_enhancedpacketblock_le, parse_interfacedescriptionblock_be,
    parse_interfacedescriptionblock_le, parse_simplepacketblock_be, parse_simplepacketblock_le,
};
use pcap_parser::traits::PcapNGPacketBlock;

use crate::core::Timestamp;
use crate::frame::{Frame, FrameLink};

/// The longest block that is read into memory. libpcap and Wireshark have the same limit.
pub(in crate::source::replay) const MAX_BLOCK: usize = 16 << 20;
/// The most interfaces of a section.
const MAX_INTERFACES: usize = 1 << 16;

pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
/// The packet block that the enhanced packet block replaced.
const OBSOLETE_PACKET: u32 = 2;
pub(in crate::source::replay) const SIMPLE_PACKET: u32 = 3;
pub(super) const ENHANCED_PACKET: u32 = 6;

/// Whether blocks of type `kind` have a packet.
pub(in crate::source::replay) fn is_packet(kind: u32) -> bool {
    matches!(kind, ENHANCED_PACKET | SIMPLE_PACKET | OBSOLETE_PACKET)
}

/// What the packet blocks of a section depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::source::replay) struct PcapngSection {
    pub(in crate::source::replay) big_endian: bool,
    pub(in crate::source::replay) interfaces: Vec<Interface>,
}

/// The description of an interface in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::replay) struct Interface {
    pub(super) link: FrameLink,
    /// In bytes, 0 for no limit.
    snap_length: u32,
    /// Nanoseconds in a tick, or 0 if that is not a whole number.
    tick: u64,
    /// The offset of timestamps in nanoseconds, 0 if it does not fit.
    offset: i64,
    ticks_per_second: u128,
    offset_seconds: i64,
}

impl PcapngSection {
    /// A section without interfaces.
    pub(in crate::source::replay) fn new(big_endian: bool) -> Self {
        Self { big_endian, interfaces: Vec::new() }
    }

    /// Reads a number in the byte order of the section.
    pub(in crate::source::replay) fn number(&self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    /// Adds the interface that `block` describes, and returns it.
    ///
    /// # Errors
    ///
    /// When the block can't be parsed, and when there are too many interfaces.
    pub(in crate::source::replay) fn add_interface(&mut self, block: &[u8]) -> Result<Interface> {
        ensure!(self.interfaces.len() < MAX_INTERFACES, "more than {MAX_INTERFACES} interfaces");
        let parse = if self.big_endian {
            parse_interfacedescriptionblock_be
        } else {
            parse_interfacedescriptionblock_le
        };
        let (_, description) =
            parse(block).map_err(|_| anyhow!("an interface description that can't be read"))?;
        let number = description.linktype.0.unsigned_abs();
        let interface = Interface::new(
            LinkType::from_number(number).map_or(FrameLink::Unsupported(number), FrameLink::Known),
            description.snaplen,
            description.if_tsresol,
            offset_seconds(&description, self.big_endian),
        );
        self.interfaces.push(interface);
        Ok(interface)
    }

    /// Returns the type of the block that `bytes` start with, and the block, if it is complete.
    pub(in crate::source::replay) fn block<'a>(&self, bytes: &'a [u8]) -> Option<(u32, &'a [u8])> {
        let &[t0, t1, t2, t3, l0, l1, l2, l3] = bytes.first_chunk()?;
        let length = self.number([l0, l1, l2, l3]) as usize;
        let is_valid = length >= 12 && length.is_multiple_of(4);
        Some((self.number([t0, t1, t2, t3]), bytes.get(..length).filter(|_| is_valid)?))
    }

    /// Parses a packet block of type `kind`. An obsolete one is converted in `buffer`.
    ///
    /// # Errors
    ///
    /// When it is malformed, or its interface is not described.
    pub(in crate::source::replay) fn parse_packet<'a>(
        &self,
        kind: u32,
        block: &'a [u8],
        buffer: &'a mut Vec<u8>,
    ) -> Result<Frame<'a>> {
        match kind {
            SIMPLE_PACKET => self.parse_simple(block),
            OBSOLETE_PACKET => {
                buffer.clear();
                buffer.extend_from_slice(block);
                self.convert_obsolete_packet(buffer);
                self.parse_enhanced(buffer)
            }
            _ => self.parse_enhanced(block),
        }
    }

    /// Converts an obsolete packet block to an enhanced one. They differ in the interface number, which has 16
    /// bits in the obsolete block, followed by a drop count.
    fn convert_obsolete_packet(&self, block: &mut [u8]) {
        if let [t0, t1, t2, t3, _, _, _, _, a, b, c, d, ..] = block {
            let kind = if self.big_endian {
                [*c, *d] = [*a, *b];
                [*a, *b] = [0, 0];
                ENHANCED_PACKET.to_be_bytes()
            } else {
                [*c, *d] = [0, 0];
                ENHANCED_PACKET.to_le_bytes()
            };
            [*t0, *t1, *t2, *t3] = kind;
        }
    }

    /// Parses an enhanced packet block.
    ///
    /// # Errors
    ///
    /// When it is malformed, or its interface is not described.
    fn parse_enhanced<'a>(&self, block: &'a [u8]) -> Result<Frame<'a>> {
        let parse = if self.big_endian {
            parse_enhancedpacketblock_be
        } else {
            parse_enhancedpacketblock_le
        };
        let (_, packet): (_, EnhancedPacketBlock<'_>) =
            parse(block).map_err(|_| anyhow!("a packet block that can't be read"))?;
        let interface = usize::try_from(packet.if_id).ok().and_then(|n| self.interfaces.get(n));
        let Some(interface) = interface else {
            bail!("a packet of interface {}, which is not described", packet.if_id);
        };
        let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
        let length = usize::try_from(packet.caplen).unwrap_or(usize::MAX).min(packet.data.len());
        Ok(Frame {
            time: Some(interface.time(ticks)),
            link: interface.link,
            length: packet.origlen,
            data: &packet.data[..length],
        })
    }

    /// Parses a simple packet block: a packet of the first interface, without a timestamp.
    ///
    /// # Errors
    ///
    /// When it is malformed, or no interface is described.
    fn parse_simple<'a>(&self, block: &'a [u8]) -> Result<Frame<'a>> {
        let parse =
            if self.big_endian { parse_simplepacketblock_be } else { parse_simplepacketblock_le };
        let (_, packet): (_, SimplePacketBlock<'_>) =
            parse(block).map_err(|_| anyhow!("a packet block that can't be read"))?;
        let Some(interface) = self.interfaces.first() else {
            bail!("a packet before the first interface is described");
        };
        let mut data: &[u8] = packet.data;
        let captured = match interface.snap_length {
            0 => packet.orig_len(),
            limit => packet.orig_len().min(limit),
        };
        data = data.get(..captured as usize).unwrap_or(data);
        Ok(Frame { time: None, link: interface.link, length: packet.origlen, data })
    }
}

impl Interface {
    /// An interface with timestamps in units of `resolution`, which is encoded as in `if_tsresol`.
    fn new(link: FrameLink, snap_length: u32, resolution: u8, offset_seconds: i64) -> Self {
        let offset = offset_seconds.checked_mul(1_000_000_000);
        let tick = match resolution {
            0..=9 if offset.is_some() => 10_u64.pow(9 - u32::from(resolution)),
            _ => 0,
        };
        Self {
            link,
            snap_length,
            tick,
            offset: offset.unwrap_or(0),
            ticks_per_second: ticks_per_second(resolution),
            offset_seconds,
        }
    }

    /// Returns the time of a timestamp, saturating at the ends of the range.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the innermost loop of a replay")]
    pub(super) fn time(&self, ticks: u64) -> Timestamp {
        if self.tick > 0
            && let Some(nanoseconds) = ticks.checked_mul(self.tick)
            && let Ok(nanoseconds) = i64::try_from(nanoseconds)
            && let Some(nanoseconds) = nanoseconds.checked_add(self.offset)
        {
            return Timestamp::from_nanoseconds(nanoseconds);
        }
        self.exact_time(ticks)
    }

    /// Does what [`Interface::time`] does, for every resolution and offset, with a division.
    #[inline(never)]
    fn exact_time(&self, ticks: u64) -> Timestamp {
        // At most 2^64 * 10^9, and at most 2^63 * 10^9: no overflow in 127 bits.
        let nanoseconds = u128::from(ticks) * 1_000_000_000 / self.ticks_per_second;
        let offset = i128::from(self.offset_seconds) * 1_000_000_000;
        Timestamp::saturating(
            i128::try_from(nanoseconds).unwrap_or(i128::MAX).saturating_add(offset),
        )
    }
}

/// Returns the unit of `if_tsresol`: a negative power of 10, or of 2 if the highest bit is set. With units too
/// small for 128 bits, every time is 0.
fn ticks_per_second(resolution: u8) -> u128 {
    let exponent = u32::from(resolution & 0x7f);
    let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(exponent).unwrap_or(u128::MAX)
}

/// Returns `if_tsoffset`, in the section's byte order (`pcap-parser` 0.17 always reads it as little-endian).
fn offset_seconds(description: &InterfaceDescriptionBlock<'_>, big_endian: bool) -> i64 {
    let option = description.options.iter().find(|o| o.code == OptionCode::IfTsoffset);
    match option.and_then(|option| option.value.first_chunk()) {
        Some(bytes) if big_endian => i64::from_be_bytes(*bytes),
        Some(bytes) => i64::from_le_bytes(*bytes),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interface(resolution: u8, offset_seconds: i64) -> Interface {
        Interface::new(FrameLink::Known(LinkType::Ethernet), 0, resolution, offset_seconds)
    }

    #[test]
    fn resolutions_and_offsets() {
        assert_eq!(interface(6, 0).time(1_500_000).nanoseconds(), 1_500_000_000);
        assert_eq!(interface(9, 10).time(5).nanoseconds(), 10_000_000_005);
        assert_eq!(interface(0x81, 0).time(3).nanoseconds(), 1_500_000_000);
        assert_eq!(interface(0, 0).time(u64::MAX).nanoseconds(), i64::MAX);
        assert_eq!(interface(0x7f, 0).time(u64::MAX).nanoseconds(), 0);
        assert_eq!(interface(0, i64::MIN).time(0).nanoseconds(), i64::MIN);
    }

    proptest! {
        #[test]
        fn times_without_a_division_are_exact(
            resolution in prop_oneof![4 => 0u8..13, 1 => any::<u8>()],
            offset in prop_oneof![
                Just(0),
                any::<i64>(),
                -10_000_000_000i64..10_000_000_000,
                prop::sample::select(vec![i64::MIN, i64::MAX, i64::MAX / 1_000_000_000]),
            ],
            ticks in prop_oneof![any::<u64>(), (0u32..64, any::<u64>()).prop_map(|(n, ticks)| ticks >> n)],
        ) {
            let interface = interface(resolution, offset);
            prop_assert_eq!(interface.time(ticks), interface.exact_time(ticks));
        }
    }
}

//! pcapng captures.
//!
//! libpcap reads them only if every interface has the link type and snap length of the first, so blocks are
//! parsed with `pcap-parser` here. Block boundaries are found without it, which provides the byte offset for
//! messages and bounds the cost of a malicious length.

use std::io::{self, BufRead, Read};

use anyhow::{Context, Result, anyhow, bail, ensure};
use gomon_common::LinkType;
use pcap_parser::pcapng::{
    EnhancedPacketBlock, InterfaceDescriptionBlock, OptionCode, SimplePacketBlock,
    parse_enhancedpacketblock_be, parse_enhancedpacketblock_le, parse_interfacedescriptionblock_be,
    parse_interfacedescriptionblock_le, parse_sectionheaderblock, parse_simplepacketblock_be,
    parse_simplepacketblock_le,
};
use pcap_parser::traits::PcapNGPacketBlock;

use super::concatenated;
use super::format::RECORD_HEADER;
use super::read_ahead::{MAX_WAIT_BYTES, ReadAhead};
use crate::core::Timestamp;
use crate::frame::{Frame, FrameLink};

/// The longest block that is read into memory. libpcap and Wireshark have the same limit.
const MAX_BLOCK: usize = 16 << 20;
/// The most interfaces of a section.
const MAX_INTERFACES: usize = 1 << 16;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
/// The packet block that the enhanced packet block replaced.
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// A pcapng capture.
pub struct Pcapng {
    input: ReadAhead,
    block: Vec<u8>,
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// The offsets of the block in `block`, and of the next block.
    block_start: u64,
    position: u64,
    frames: u64,
}

/// The description of an interface in a section.
struct Interface {
    link: FrameLink,
    /// In bytes, 0 for no limit.
    snap_length: u32,
    ticks_per_second: u128,
    offset_seconds: i64,
}

impl Pcapng {
    /// The first bytes of every pcapng capture, in either byte order.
    pub const MAGIC: [u8; 4] = SECTION_HEADER.to_be_bytes();

    /// Whether a capture that starts with these bytes is pcapng.
    #[must_use]
    pub fn recognise(head: &[u8]) -> bool {
        head.starts_with(&Self::MAGIC)
    }

    /// Whether `bytes` start with a section header, including its byte-order magic.
    pub(super) fn starts_section(bytes: &[u8]) -> bool {
        let order = bytes.get(8..12);
        Self::recognise(bytes)
            && matches!(order, Some([0x1a, 0x2b, 0x3c, 0x4d] | [0x4d, 0x3c, 0x2b, 0x1a]))
    }

    /// Reads the capture from its start.
    ///
    /// # Errors
    ///
    /// When the thread that reads it can't be created.
    pub fn new(input: impl Read + Send + 'static) -> io::Result<Self> {
        Ok(Self {
            input: ReadAhead::new(input)?,
            block: Vec::new(),
            big_endian: false,
            interfaces: Vec::new(),
            block_start: 0,
            position: 0,
            frames: 0,
        })
    }

    /// Returns the number of bytes read so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns the input.
    pub(super) fn input(&mut self) -> &mut ReadAhead {
        &mut self.input
    }

    /// Returns the next frame, or `None` at the end, and when the wait for it timed out.
    ///
    /// # Errors
    ///
    /// When the capture is damaged, with the frame's number and the block's offset.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>> {
        let kind = loop {
            self.block_start = self.position;
            if !self.wait_for_block().with_context(|| self.location())? {
                return Ok(None);
            }
            match self.read_block().with_context(|| self.location())? {
                None => return Ok(None),
                Some(SECTION_HEADER) => self.section().with_context(|| self.location())?,
                Some(INTERFACE_DESCRIPTION) => self.interface().with_context(|| self.location())?,
                Some(kind @ (ENHANCED_PACKET | SIMPLE_PACKET | OBSOLETE_PACKET)) => break kind,
                Some(_) => {}
            }
        };
        let location = self.location();
        self.frames += 1;
        if kind == OBSOLETE_PACKET {
            self.convert_obsolete_packet();
        }
        let frame = if kind == SIMPLE_PACKET { self.simple() } else { self.enhanced() };
        frame.map(Some).context(location)
    }

    /// Returns the context of an error before the next frame could be returned.
    fn location(&self) -> String {
        format!("frame {}, block at byte {}", self.frames + 1, self.block_start)
    }

    /// Reads the next block into `self.block` and returns its type, or `None` at the end of the input. The bodies
    /// of unused blocks are skipped.
    fn read_block(&mut self) -> Result<Option<u32>> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut header = [0; 12]; // the shortest block; a section header has its byte-order magic in it
        self.fill(&mut header)?;
        let [t0, t1, t2, t3, l0, l1, l2, l3, magic @ ..] = header;
        if [t0, t1, t2, t3] == SECTION_HEADER.to_be_bytes() {
            self.big_endian = match magic {
                [0x1a, 0x2b, 0x3c, 0x4d] => true,
                [0x4d, 0x3c, 0x2b, 0x1a] => false,
                _ => bail!("a section header without byte-order magic"),
            };
        }
        let kind = self.number([t0, t1, t2, t3]);
        let length = self.number([l0, l1, l2, l3]);
        ensure!(length >= 12 && length.is_multiple_of(4), "a block length of {length}");
        let length = length as usize;
        if !matches!(
            kind,
            SECTION_HEADER
                | INTERFACE_DESCRIPTION
                | OBSOLETE_PACKET
                | SIMPLE_PACKET
                | ENHANCED_PACKET
        ) {
            self.skip(length - header.len())?;
            return Ok(Some(kind));
        }
        ensure!(length <= MAX_BLOCK, "a block length of {length}, more than {MAX_BLOCK}");
        self.block.clear();
        self.block.extend_from_slice(&header);
        let body = (length - header.len()) as u64;
        let got = (&mut self.input).take(body).read_to_end(&mut self.block)?;
        self.position += got as u64;
        ensure!(got as u64 == body, "the capture ends in the middle of a block");
        Ok(Some(kind))
    }

    /// Waits until the next block, or what there is of it before the end, is buffered. Returns false if the
    /// deadline passed first.
    fn wait_for_block(&mut self) -> io::Result<bool> {
        // No block with a frame is shorter.
        if !self.input.wait_for(RECORD_HEADER)? {
            return Ok(false);
        }
        if concatenated::starts_pcap(self.input.buffered()) {
            return Err(concatenated::unread_capture(
                "pcap capture",
                self.position,
                concatenated::OTHER_FORMAT,
            ));
        }
        let Some(&[t0, t1, t2, t3, l0, l1, l2, l3]) = self.input.buffered().first_chunk() else {
            return Ok(true);
        };
        if [t0, t1, t2, t3] == SECTION_HEADER.to_be_bytes() {
            // Its length may be in the other byte order. Programs write it together with the frames after it.
            return Ok(true);
        }
        match self.number([l0, l1, l2, l3]) as usize {
            length @ ..=MAX_BLOCK => self.input.wait_for(length.min(MAX_WAIT_BYTES)),
            _ => Ok(true), // damaged, or unused
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..])? {
                0 => bail!("the capture ends in the middle of a block"),
                read => filled += read,
            }
        }
        self.position += filled as u64;
        Ok(())
    }

    fn skip(&mut self, length: usize) -> Result<()> {
        let length = length as u64;
        let skipped = io::copy(&mut (&mut self.input).take(length), &mut io::sink())?;
        self.position += skipped;
        ensure!(skipped == length, "the capture ends in the middle of a block");
        Ok(())
    }

    fn number(&self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn section(&mut self) -> Result<()> {
        let (_, header) = parse_sectionheaderblock(&self.block)
            .map_err(|_| anyhow!("a section header that can't be read"))?;
        let (major, minor) = (header.major_version, header.minor_version);
        ensure!(major == 1, "pcapng version {major}.{minor} is not supported");
        self.interfaces.clear();
        Ok(())
    }

    fn interface(&mut self) -> Result<()> {
        ensure!(self.interfaces.len() < MAX_INTERFACES, "more than {MAX_INTERFACES} interfaces");
        let parse = if self.big_endian {
            parse_interfacedescriptionblock_be
        } else {
            parse_interfacedescriptionblock_le
        };
        let (_, description) = parse(&self.block)
            .map_err(|_| anyhow!("an interface description that can't be read"))?;
        let number = description.linktype.0.unsigned_abs();
        let interface = Interface {
            link: LinkType::from_number(number)
                .map_or(FrameLink::Unsupported(number), FrameLink::Known),
            snap_length: description.snaplen,
            ticks_per_second: ticks_per_second(description.if_tsresol),
            offset_seconds: offset_seconds(&description, self.big_endian),
        };
        self.interfaces.push(interface);
        Ok(())
    }

    /// Converts an obsolete packet block to an enhanced one. They differ in the interface number, which has 16
    /// bits in the obsolete block, followed by a drop count.
    fn convert_obsolete_packet(&mut self) {
        if let [t0, t1, t2, t3, _, _, _, _, a, b, c, d, ..] = self.block.as_mut_slice() {
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
    fn enhanced(&self) -> Result<Frame<'_>> {
        let parse = if self.big_endian {
            parse_enhancedpacketblock_be
        } else {
            parse_enhancedpacketblock_le
        };
        let (_, packet): (_, EnhancedPacketBlock<'_>) =
            parse(&self.block).map_err(|_| anyhow!("a packet block that can't be read"))?;
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
    fn simple(&self) -> Result<Frame<'_>> {
        let parse =
            if self.big_endian { parse_simplepacketblock_be } else { parse_simplepacketblock_le };
        let (_, packet): (_, SimplePacketBlock<'_>) =
            parse(&self.block).map_err(|_| anyhow!("a packet block that can't be read"))?;
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
    fn time(&self, ticks: u64) -> Timestamp {
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
    use super::*;

    #[test]
    fn resolutions_and_offsets() {
        let interface = |resolution, offset_seconds| Interface {
            link: FrameLink::Known(LinkType::Ethernet),
            snap_length: 0,
            ticks_per_second: ticks_per_second(resolution),
            offset_seconds,
        };
        assert_eq!(interface(6, 0).time(1_500_000).nanoseconds(), 1_500_000_000);
        assert_eq!(interface(9, 10).time(5).nanoseconds(), 10_000_000_005);
        assert_eq!(interface(0x81, 0).time(3).nanoseconds(), 1_500_000_000);
        assert_eq!(interface(0, 0).time(u64::MAX).nanoseconds(), i64::MAX);
        assert_eq!(interface(0x7f, 0).time(u64::MAX).nanoseconds(), 0);
        assert_eq!(interface(0, i64::MIN).time(0).nanoseconds(), i64::MIN);
    }
}

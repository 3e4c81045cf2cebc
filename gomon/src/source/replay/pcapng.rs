//! pcapng captures.
//!
//! libpcap reads them only if every interface has the link type and snap length of the first, so they are read
//! here. Nearly all blocks are enhanced packet blocks, which are parsed where they are buffered, in one loop
//! (`packet.rs`). Any other block, and one that is not buffered completely, is copied and parsed with
//! `pcap-parser` (`section.rs`), after which the loop continues. `tests/replay/pcapng.rs` checks that the loop
//! yields the frames and errors of the thorough parser. Block boundaries are found without `pcap-parser`, which
//! provides the byte offset for messages and bounds the cost of a malicious length.

mod packet;
pub(super) mod section;

use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use pcap_parser::pcapng::parse_sectionheaderblock;

use self::section::{INTERFACE_DESCRIPTION, MAX_BLOCK, PcapngSection, SECTION_HEADER, is_packet};
use super::concatenated;
use super::format::RECORD_HEADER;
use super::index::{CaptureIndex, RecordFormat};
use super::read_ahead::{MAX_WAIT_BYTES, ReadAhead};
use super::recent::RecentBytes;
use super::visitor::FrameVisitor;
use crate::frame::Frame;

/// A pcapng capture.
pub struct Pcapng {
    input: ReadAhead,
    block: Vec<u8>,
    /// For an obsolete packet block, converted to an enhanced one.
    converted: Vec<u8>,
    section: PcapngSection,
    /// Where to add sections and interfaces, for rereading the capture.
    index: Option<CaptureIndex>,
    /// The offsets of the block in `block`, and of the next block.
    block_start: u64,
    position: u64,
    frames: u64,
}

/// What the thorough parser found next.
enum NextBlock {
    /// A packet block of this type, in [`Pcapng::block`].
    Packet(u32),
    /// A block without a packet.
    Other,
    /// The end of the input.
    End,
    /// The wait for a block timed out.
    TimedOut,
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
        let magic = bytes.get(8..).and_then(<[u8]>::first_chunk);
        Self::recognise(bytes) && magic.copied().and_then(is_big_endian).is_some()
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
            converted: Vec::new(),
            section: PcapngSection::default(),
            index: None,
            block_start: 0,
            position: 0,
            frames: 0,
        })
    }

    /// Adds the sections and interfaces of the capture, of which nothing was read yet, to `index`.
    pub(super) fn set_index(&mut self, index: CaptureIndex) {
        self.index = Some(index);
    }

    /// Keeps the bytes of the capture, of which nothing was read yet.
    pub(super) fn keep_bytes(&mut self) -> RecentBytes {
        self.input.keep_bytes(self.position)
    }

    /// Returns the offset of the next block.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns the offset of the block that [`Pcapng::next_frame`] read last.
    #[must_use]
    pub fn block_start(&self) -> u64 {
        self.block_start
    }

    /// Returns the input.
    pub(super) fn input(&mut self) -> &mut ReadAhead {
        &mut self.input
    }

    /// Passes all buffered frames to `visitor`; if there is none, waits until the next block is buffered first. A
    /// block that is too long for the buffer is a batch of its own. Breaks at the end, or when `visitor` does.
    ///
    /// # Errors
    ///
    /// When the capture is damaged, with the frame's number and the block's offset.
    #[inline]
    pub fn read_batch(&mut self, visitor: &mut impl FrameVisitor) -> Result<ControlFlow<()>> {
        let mut waits = true;
        loop {
            let (frames, flow) = if self.section.big_endian {
                self.read_buffered::<true>(visitor)
            } else {
                self.read_buffered::<false>(visitor)
            };
            waits &= frames == 0;
            if flow.is_break() || !waits && !self.is_block_buffered() {
                return Ok(flow);
            }
            match self.next_block()? {
                NextBlock::Packet(kind) => {
                    let position = self.block_start;
                    let frame = self.packet(kind)?;
                    if !visitor.visit_fast(&frame) && visitor.visit(&frame, position).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                NextBlock::Other => {}
                NextBlock::End => return Ok(ControlFlow::Break(())),
                NextBlock::TimedOut => return Ok(ControlFlow::Continue(())),
            }
            if self.position - self.block_start > MAX_WAIT_BYTES as u64 {
                return Ok(ControlFlow::Continue(()));
            }
            waits = false;
        }
    }

    /// Passes the frames of buffered enhanced packet blocks to `visitor`, up to any other block. Returns the
    /// number of frames, and whether `visitor` breaks.
    #[inline]
    fn read_buffered<const BIG_ENDIAN: bool>(
        &mut self,
        visitor: &mut impl FrameVisitor,
    ) -> (u64, ControlFlow<()>) {
        let (section, buffered) = (&self.section, self.input.buffered());
        let end = self.position + buffered.len() as u64;
        let (mut rest, mut frames, mut flow) = (buffered, 0, ControlFlow::Continue(()));
        loop {
            while let Some((frame, after)) = section.enhanced_packet::<BIG_ENDIAN>(rest)
                && visitor.visit_fast(&frame)
            {
                (rest, frames) = (after, frames + 1);
            }
            // Parsed again: keeping the block from the loop above would make every frame slower.
            let Some((frame, after)) = section.enhanced_packet::<BIG_ENDIAN>(rest) else { break };
            flow = visitor.visit(&frame, end - rest.len() as u64);
            (rest, frames) = (after, frames + 1);
            if flow.is_break() {
                break;
            }
        }
        let read = buffered.len() - rest.len();
        self.input.advance(read);
        self.position += read as u64;
        self.frames += frames;
        (frames, flow)
    }

    /// Whether the next block is buffered completely.
    fn is_block_buffered(&self) -> bool {
        let buffered = self.input.buffered();
        let Some([t0, t1, t2, t3, l0, l1, l2, l3, magic @ ..]) = buffered.first_chunk::<12>()
        else {
            return false;
        };
        let length = [*l0, *l1, *l2, *l3];
        let length = match is_big_endian(*magic) {
            Some(big_endian) if [*t0, *t1, *t2, *t3] == Self::MAGIC => {
                PcapngSection::new(big_endian).number(length)
            }
            _ => self.section.number(length),
        };
        length as usize <= buffered.len()
    }

    /// Returns the next frame, or `None` at the end, and when the wait for it timed out. Every block is parsed
    /// thoroughly.
    ///
    /// # Errors
    ///
    /// When the capture is damaged, with the frame's number and the block's offset.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>> {
        loop {
            match self.next_block()? {
                NextBlock::Packet(kind) => return self.packet(kind).map(Some),
                NextBlock::Other => {}
                NextBlock::End | NextBlock::TimedOut => return Ok(None),
            }
        }
    }

    /// Reads the next block. The position stays in front of one that is damaged.
    fn next_block(&mut self) -> Result<NextBlock> {
        self.block_start = self.position;
        let block = self.try_next_block();
        if block.is_err() {
            self.position = self.block_start;
        }
        block.with_context(|| location(self.frames + 1, self.block_start))
    }

    fn try_next_block(&mut self) -> Result<NextBlock> {
        if !self.wait_for_block()? {
            return Ok(NextBlock::TimedOut);
        }
        match self.read_block()? {
            None => return Ok(NextBlock::End),
            Some(SECTION_HEADER) => self.start_section()?,
            Some(INTERFACE_DESCRIPTION) => {
                let interface = self.section.add_interface(&self.block)?;
                if let Some(index) = &self.index {
                    index.add_interface(interface);
                }
            }
            Some(kind) if is_packet(kind) => {
                self.frames += 1;
                return Ok(NextBlock::Packet(kind));
            }
            Some(_) => {}
        }
        Ok(NextBlock::Other)
    }

    /// Parses the packet block that was read, which is of type `kind`.
    fn packet(&mut self, kind: u32) -> Result<Frame<'_>> {
        let location = || location(self.frames, self.block_start);
        self.section.parse_packet(kind, &self.block, &mut self.converted).with_context(location)
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
        if [t0, t1, t2, t3] == Self::MAGIC {
            let Some(big_endian) = is_big_endian(magic) else {
                bail!("a section header without byte-order magic");
            };
            self.section.big_endian = big_endian;
        }
        let kind = self.section.number([t0, t1, t2, t3]);
        let length = self.section.number([l0, l1, l2, l3]);
        ensure!(length >= 12 && length.is_multiple_of(4), "a block length of {length}");
        let length = length as usize;
        if !is_packet(kind) && !matches!(kind, SECTION_HEADER | INTERFACE_DESCRIPTION) {
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
        if [t0, t1, t2, t3] == Self::MAGIC {
            // Its length may be in the other byte order. Programs write it together with the frames after it.
            return Ok(true);
        }
        match self.section.number([l0, l1, l2, l3]) as usize {
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

    /// Starts the section whose header was read.
    fn start_section(&mut self) -> Result<()> {
        let (_, header) = parse_sectionheaderblock(&self.block)
            .map_err(|_| anyhow!("a section header that can't be read"))?;
        let (major, minor) = (header.major_version, header.minor_version);
        ensure!(major == 1, "pcapng version {major}.{minor} is not supported");
        self.section.interfaces.clear();
        if let Some(index) = &self.index {
            let section = Rc::new(self.section.clone());
            index.add_format(self.block_start, RecordFormat::Pcapng(section));
        }
        Ok(())
    }
}

/// Returns the context of an error in a block at which this frame is next.
fn location(frame: u64, block_start: u64) -> String {
    format!("frame {frame}, block at byte {block_start}")
}

/// Returns the byte order of a section by the magic number in its header.
fn is_big_endian(magic: [u8; 4]) -> Option<bool> {
    match magic {
        [0x1a, 0x2b, 0x3c, 0x4d] => Some(true),
        [0x4d, 0x3c, 0x2b, 0x1a] => Some(false),
        _ => None,
    }
}

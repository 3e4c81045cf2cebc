//! From an input to frames, whatever the format and compression. The seam for faster readers.

use std::io::{self, Cursor, Read};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Error, Result, anyhow, bail};

use super::compression::Compression;
use super::concatenated::Formats;
use super::format::{self, FILE_HEADER, MAGIC};
use super::input::Input;
use super::libpcap::Pcap;
use super::pcapng::Pcapng;
use super::plain::Plain;
use super::read_ahead::ReadAhead;
use super::reread::Reread;
use crate::frame::Frame;

/// Bytes that tell every format: the header of a classic pcap file is the longest.
const HEAD: usize = FILE_HEADER;

/// Frames that libpcap and pcapng yield at once.
const BATCH: u32 = 1 << 12;

/// Takes frames one by one. A closure does; a loop that is to be fast says with a type of its own what
/// is compiled into it.
pub trait FrameVisitor {
    /// Takes a frame if it is one of those that are taken without a look at where they lie; never one without
    /// bytes. False leaves it to [`FrameVisitor::frame`].
    #[inline]
    fn visit_fast(&mut self, _frame: &Frame<'_>) -> bool {
        false
    }

    /// Takes a frame whose record starts at the byte `position` of the capture, as far as the reader
    /// knows, and says whether more are wanted.
    fn frame(&mut self, frame: &Frame<'_>, position: u64) -> ControlFlow<()>;
}

impl<F: FnMut(&Frame<'_>, u64) -> ControlFlow<()>> FrameVisitor for F {
    fn frame(&mut self, frame: &Frame<'_>, position: u64) -> ControlFlow<()> {
        self(frame, position)
    }
}

/// Yields the frames of a capture, in the order of the file.
pub struct Reader {
    format: FormatReader,
    /// Bytes taken from an input whose bytes are not those of the capture.
    read: Option<Arc<AtomicU64>>,
    again: Option<Reread>,
    is_stream: bool,
}

enum FormatReader {
    Plain(Box<Plain>),
    Pcap(Box<Pcap>),
    Pcapng(Box<Pcapng>),
    /// Damaged before its first frame.
    Damaged(Option<Error>),
}

impl Reader {
    /// Looks at the first bytes of `input` and starts to read. A capture that is damaged already
    /// there, an empty file for one, says so when its first frame is asked for.
    ///
    /// # Errors
    ///
    /// When this is no capture, or none that could be looked into.
    pub fn new(mut input: Input) -> Result<Self> {
        if let Some(head) = input.peek(HEAD)?
            && let Some(first) = format::PcapFormat::of(&head)
        {
            let formats = Formats::new(first);
            let again = Some(input.again(formats.clone())?);
            let mut plain = Box::new(Plain::new(input)?);
            plain.enter_formats(formats);
            return Ok(Self {
                format: FormatReader::Plain(plain),
                read: None,
                again,
                is_stream: false,
            });
        }
        let read = Some(input.read_counter());
        let is_stream = input.size().is_none();
        let (head, stream) = sniff(Box::new(input))?;
        let format = match Compression::recognise(&head) {
            None => FormatReader::new(&head, stream)?,
            Some(compression) => match compression.reader(stream).and_then(sniff) {
                Ok((head, stream)) => FormatReader::new(&head, stream)?,
                Err(error) => {
                    FormatReader::Damaged(Some(Error::from(error).context(compression.name())))
                }
            },
        };
        Ok(Self { format, read, again: None, is_stream })
    }

    /// Whether the input is a FIFO, a pipe or the like, where more may be long in coming.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Ends the wait for frames of a stream as if it was due; nothing for what libpcap reads.
    pub fn waker(&mut self) -> Option<impl Fn() + Send + 'static> {
        self.ahead().map(|input| input.waker())
    }

    /// Has [`Reader::frames`] wait for a frame no longer than until `due`. What libpcap reads is waited for
    /// in any case.
    pub fn wait_until(&mut self, due: Option<Instant>) {
        if let Some(input) = self.ahead() {
            input.wait_until(due);
        }
    }

    /// Whether [`Reader::frames`] waited in vain.
    pub fn timed_out(&mut self) -> bool {
        self.ahead().is_some_and(|input| input.timed_out())
    }

    fn ahead(&mut self) -> Option<&mut ReadAhead> {
        match &mut self.format {
            FormatReader::Plain(plain) => Some(plain.input()),
            FormatReader::Pcapng(pcapng) => Some(pcapng.input()),
            FormatReader::Pcap(_) | FormatReader::Damaged(_) => None,
        }
    }

    /// Hands the next frames to `each`, so many that it is worth looking up from them. Breaks at the
    /// end, or where `each` does.
    ///
    /// # Errors
    ///
    /// When the capture is damaged here. What came before it was whole.
    #[inline]
    pub fn frames(&mut self, each: &mut impl FrameVisitor) -> Result<ControlFlow<()>> {
        if let FormatReader::Plain(plain) = &mut self.format {
            return plain.frames(each);
        }
        for number in 0..BATCH {
            // Those that are there are worth to be looked up from.
            if number == 1 && self.is_stream {
                self.wait_until(Some(Instant::now()));
            }
            let next = match &mut self.format {
                FormatReader::Pcap(pcap) => pcap.next_frame()?,
                FormatReader::Pcapng(pcapng) => pcapng.next_frame()?,
                FormatReader::Damaged(error) => error.take().map_or(Ok(None), Err)?,
                FormatReader::Plain(_) => None,
            };
            let Some(frame) = next else {
                let ended = !self.timed_out();
                return Ok(if ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
            };
            if !each.visit_fast(&frame) && each.frame(&frame, 0).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What can be read again, if the capture can be.
    pub fn take_reread(&mut self) -> Option<Reread> {
        self.again.take()
    }

    /// Bytes of the input read so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        match (&self.read, &self.format) {
            (Some(read), _) => read.load(Ordering::Relaxed),
            (None, FormatReader::Plain(plain)) => plain.position(),
            (None, FormatReader::Pcapng(pcapng)) => pcapng.position(),
            (None, FormatReader::Pcap(_) | FormatReader::Damaged(_)) => 0,
        }
    }
}

impl FormatReader {
    fn new(head: &[u8], stream: Box<dyn Read + Send>) -> Result<Self> {
        if Pcapng::recognise(head) {
            return Ok(Self::Pcapng(Box::new(Pcapng::new(stream)?)));
        }
        if Plain::recognise(head) {
            return Ok(Self::Plain(Box::new(Plain::new(stream)?)));
        }
        if is_pcap(head) {
            return Ok(Self::Pcap(Box::new(Pcap::from_stream(stream)?)));
        }
        let start = &head[..head.len().min(4)];
        if MAGIC.iter().chain([&Pcapng::MAGIC]).any(|magic| magic.starts_with(start)) {
            let length = head.len();
            let what = anyhow!("the capture ends at byte {length}, in the middle of its header");
            return Ok(Self::Damaged(Some(what)));
        }
        bail!("it is not a pcap or pcapng capture, compressed or not: name one")
    }
}

/// Whether `head` is the whole header of a classic pcap file.
fn is_pcap(head: &[u8]) -> bool {
    head.len() == HEAD && MAGIC.iter().any(|magic| head.starts_with(magic))
}

/// The first bytes of a stream, and the stream with them still in it.
fn sniff(mut stream: Box<dyn Read + Send>) -> io::Result<(Vec<u8>, Box<dyn Read + Send>)> {
    let mut head = Vec::with_capacity(HEAD);
    (&mut stream).take(HEAD as u64).read_to_end(&mut head)?;
    let stream = Cursor::new(head.clone()).chain(stream);
    Ok((head, Box::new(stream)))
}

//! Reads the frames of an input of any supported format and compression.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Error, Result, anyhow, bail};

use super::compression::Compression;
use super::format::{FILE_HEADER, MAGIC};
use super::index::CaptureIndex;
use super::input::Input;
use super::libpcap::Pcap;
use super::pcapng::Pcapng;
use super::plain::Plain;
use super::read_ahead::ReadAhead;
use super::reread::{RereadSource, Rereader};
use super::visitor::FrameVisitor;

/// The number of bytes that identify every format: the file header of classic pcap is the longest.
const HEAD: usize = FILE_HEADER;

/// The most frames in a batch of libpcap.
const BATCH: u32 = 1 << 12;

/// Yields the frames of a capture, in the order of the file.
pub struct Reader {
    format: FormatReader,
    /// Counts the bytes read from the input, if the position in the capture does not.
    read: Option<Arc<AtomicU64>>,
    /// The file and the offset of the capture in it, if it is not compressed.
    file: Option<(File, u64)>,
    /// What rereads the capture, if it is reread.
    rereader: Option<Rereader>,
    is_stream: bool,
}

enum FormatReader {
    Plain(Box<Plain>),
    Pcap(Box<Pcap>),
    Pcapng(Box<Pcapng>),
    /// Damaged before the first frame.
    Damaged(Option<Error>),
}

impl Reader {
    /// Recognises the format of `input` and starts reading. For a capture that is damaged before its first frame,
    /// such as an empty file, the first [`Reader::read_batch`] returns the error.
    ///
    /// # Errors
    ///
    /// When the input is not a capture, or its format or link type is not supported.
    pub fn new(mut input: Input) -> Result<Self> {
        if let Some(head) = input.peek(HEAD)?
            && Plain::recognise(&head)
        {
            let file = Some(input.try_clone_file()?);
            let format = FormatReader::Plain(Box::new(Plain::new(input)?));
            return Ok(Self { format, read: None, file, rereader: None, is_stream: false });
        }
        let read = Some(input.read_counter());
        let is_stream = input.size().is_none();
        let mut file = if is_stream { None } else { Some(input.try_clone_file()?) };
        let (head, stream) = sniff(Box::new(input))?;
        let format = match Compression::recognise(&head) {
            None => FormatReader::new(&head, stream)?,
            Some(compression) => {
                file = None;
                match compression.reader(stream).and_then(sniff) {
                    Ok((head, stream)) => FormatReader::new(&head, stream)?,
                    Err(error) => {
                        FormatReader::Damaged(Some(Error::from(error).context(compression.name())))
                    }
                }
            }
        };
        Ok(Self { format, read, file, rereader: None, is_stream })
    }

    /// Whether the input is a stream (a FIFO or a pipe), where the wait for more frames may be long.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Returns a function that ends the wait for frames of a stream as if the deadline had passed, or `None` if
    /// libpcap reads the stream.
    pub fn waker(&mut self) -> Option<impl Fn() + Send + 'static> {
        self.read_ahead().map(|input| input.waker())
    }

    /// Sets until when [`Reader::read_batch`] waits for a frame. There is no limit if libpcap reads the stream.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        if let Some(input) = self.read_ahead() {
            input.set_deadline(deadline);
        }
    }

    /// Whether the last [`Reader::read_batch`] timed out.
    pub fn timed_out(&mut self) -> bool {
        self.read_ahead().is_some_and(|input| input.timed_out())
    }

    fn read_ahead(&mut self) -> Option<&mut ReadAhead> {
        match &mut self.format {
            FormatReader::Plain(plain) => Some(plain.input()),
            FormatReader::Pcapng(pcapng) => Some(pcapng.input()),
            FormatReader::Pcap(_) | FormatReader::Damaged(_) => None,
        }
    }

    /// Passes the next batch of frames to `visitor`. A batch is large enough that the cost of what the caller does
    /// between two of them is negligible. Breaks at the end, or when `visitor` does.
    ///
    /// # Errors
    ///
    /// When the capture is damaged. All frames before the damage were passed on.
    #[inline]
    pub fn read_batch(&mut self, visitor: &mut impl FrameVisitor) -> Result<ControlFlow<()>> {
        match &mut self.format {
            FormatReader::Plain(plain) => plain.read_batch(visitor),
            FormatReader::Pcapng(pcapng) => pcapng.read_batch(visitor),
            FormatReader::Pcap(pcap) => {
                for _ in 0..BATCH {
                    let Some(frame) = pcap.next_frame()? else { return Ok(ControlFlow::Break(())) };
                    if !visitor.visit_fast(&frame) && visitor.visit(&frame, 0).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
            FormatReader::Damaged(error) => error.take().map_or(Ok(ControlFlow::Break(())), Err),
        }
    }

    /// Returns what rereads the capture: the file, or the bytes of a stream, which are kept from now on. Returns `None`
    /// if libpcap reads it. Nothing must have been read yet. A replay of this reader then maintains the index.
    ///
    /// Of each host, the rereader finds the last `packets_per_host` packets.
    pub fn take_rereader(&mut self, packets_per_host: usize) -> Option<Rereader> {
        let index = CaptureIndex::new();
        let file = self.file.take();
        let recent = match &mut self.format {
            FormatReader::Plain(plain) => {
                plain.set_index(index.clone());
                file.is_none().then(|| plain.keep_bytes())
            }
            FormatReader::Pcapng(pcapng) => {
                pcapng.set_index(index.clone());
                file.is_none().then(|| pcapng.keep_bytes())
            }
            FormatReader::Pcap(_) | FormatReader::Damaged(_) => return None,
        };
        let source = match file {
            Some((file, start)) => RereadSource::File(Rc::new(file), start),
            None => RereadSource::Stream(recent?),
        };
        let rereader = Rereader::new(source, index, packets_per_host);
        self.rereader = Some(rereader.clone());
        Some(rereader)
    }

    /// Returns what rereads the capture, if it is reread.
    pub(super) fn rereader(&self) -> Option<Rereader> {
        self.rereader.clone()
    }

    /// Returns the number of bytes of the input read so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.read.as_ref().map_or_else(|| self.position(), |read| read.load(Ordering::Relaxed))
    }

    /// Returns the position in the capture, decompressed if necessary, which is that of a record between two batches;
    /// 0 if libpcap reads it.
    pub(super) fn position(&self) -> u64 {
        match &self.format {
            FormatReader::Plain(plain) => plain.position(),
            FormatReader::Pcapng(pcapng) => pcapng.position(),
            FormatReader::Pcap(_) | FormatReader::Damaged(_) => 0,
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

/// Whether `head` is a complete file header of a classic pcap file.
fn is_pcap(head: &[u8]) -> bool {
    head.len() == HEAD && MAGIC.iter().any(|magic| head.starts_with(magic))
}

/// Returns the first bytes of a stream, and the stream from its start.
fn sniff(mut stream: Box<dyn Read + Send>) -> io::Result<(Vec<u8>, Box<dyn Read + Send>)> {
    let mut head = Vec::with_capacity(HEAD);
    (&mut stream).take(HEAD as u64).read_to_end(&mut head)?;
    let stream = Cursor::new(head.clone()).chain(stream);
    Ok((head, Box::new(stream)))
}

//! Reads an input ahead, on a separate thread.
//!
//! The thread reads bytes, and decompresses them if needed, while earlier bytes are being counted. It sends
//! blocks of bytes over a channel and gets them back to fill them again, so that no memory is allocated after
//! the start. Mapping the file instead is no faster if frames are short, half as fast if they are long, does not
//! work for a stream, and kills the program with SIGBUS if the file is truncated.

use std::io::{self, BufRead, ErrorKind, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use super::recent::RecentBytes;

/// The size of one read, in bytes: small enough to stay in the processor's cache until it is parsed.
const BLOCK: usize = 512 << 10;
/// The most bytes that can be waited for.
pub(super) const MAX_WAIT_BYTES: usize = 512 << 10;
/// Within this time the reading thread sends the bytes that are available.
const SCHEDULING_DELAY: Duration = Duration::from_millis(100);
/// One block is being filled, one is being parsed, and two are in the channel.
const BLOCKS: usize = 4;

/// The reading end of an input that is read ahead.
#[derive(Debug)]
pub(super) struct ReadAhead {
    block: Block,
    filled: Receiver<Message>,
    emptied: Sender<Block>,
    /// Wakes the thread that waits for bytes.
    wake: SyncSender<Message>,
    ended: bool,
    /// Where to keep the bytes, if they are to be reread.
    recent: Option<RecentBytes>,
    /// When to stop waiting, if at all.
    deadline: Option<Instant>,
    timed_out: bool,
}

/// Bytes, with room in front of them for the unconsumed bytes of the previous block.
#[derive(Debug)]
struct Block {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

/// A message to the thread that waits for bytes.
enum Message {
    Filled(Block),
    Ended(io::Result<()>),
    /// Stop waiting, for a reason that has nothing to do with the input.
    Wake,
}

impl ReadAhead {
    /// Starts reading `input`.
    ///
    /// # Errors
    ///
    /// When the thread can't be created.
    pub(super) fn new(input: impl Read + Send + 'static) -> io::Result<Self> {
        let (fill, filled) = mpsc::sync_channel(BLOCKS - 2);
        let (emptied, empty) = mpsc::channel();
        for _ in 1..BLOCKS {
            // Can't fail: the receiver still exists.
            let _ = emptied.send(Block::new());
        }
        // The thread is not joined: it may be blocked on an input that never closes, and it exits when the
        // channel is closed.
        let wake = fill.clone();
        thread::Builder::new().name("reader".into()).spawn(move || read(input, &empty, &fill))?;
        let block = Block::new();
        let (ended, timed_out) = (false, false);
        Ok(Self { block, filled, emptied, wake, ended, recent: None, deadline: None, timed_out })
    }

    /// Keeps the bytes from now on. Nothing is buffered yet, and the position of the first byte is `start`.
    pub(super) fn keep_bytes(&mut self, start: u64) -> RecentBytes {
        self.recent.insert(RecentBytes::new(start)).clone()
    }

    /// Returns the bytes that are available without waiting.
    #[inline]
    pub(super) fn buffered(&self) -> &[u8] {
        &self.block.bytes[self.block.start..self.block.end]
    }

    /// Consumes `bytes` of the buffered bytes.
    #[inline]
    pub(super) fn advance(&mut self, bytes: usize) {
        self.block.start = self.block.end.min(self.block.start + bytes);
    }

    /// Sets until when [`Self::wait_for`] waits, without a limit for `None`.
    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
        self.timed_out = false;
    }

    /// Returns a function that ends the wait in [`Self::wait_for`] as if the deadline had passed, from any thread.
    pub(super) fn waker(&self) -> impl Fn() + Send + 'static {
        let wake = self.wake.clone();
        // If the channel is full there is no wait to end.
        move || drop(wake.try_send(Message::Wake))
    }

    /// Whether a wait has timed out since the deadline was set.
    pub(super) fn timed_out(&self) -> bool {
        self.timed_out
    }

    /// Waits until `wanted` bytes, at most [`MAX_WAIT_BYTES`], are buffered or the input ends. Returns false
    /// if the deadline passed first.
    ///
    /// # Errors
    ///
    /// As [`Self::fill`].
    pub(super) fn wait_for(&mut self, wanted: usize) -> io::Result<bool> {
        while self.buffered().len() < wanted && !self.ended {
            let message = match self.deadline {
                Some(deadline) => {
                    self.filled.recv_timeout(deadline.saturating_duration_since(Instant::now()))
                }
                None => self.filled.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                // The whole process may not have run until now: the reading thread gets time to run first.
                Err(RecvTimeoutError::Timeout) if self.is_overdue() => {
                    self.deadline = Some(Instant::now() + SCHEDULING_DELAY);
                }
                Ok(Message::Wake) | Err(RecvTimeoutError::Timeout) => {
                    self.timed_out = true;
                    return Ok(false);
                }
                Ok(message) => self.handle(message)?,
                Err(RecvTimeoutError::Disconnected) => return Err(failed()),
            }
        }
        Ok(true)
    }

    /// Whether the deadline passed much earlier.
    fn is_overdue(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline.elapsed() > SCHEDULING_DELAY)
    }

    /// Waits until `wanted` bytes, at most [`MAX_WAIT_BYTES`], are buffered, without a deadline. Returns false if
    /// the input ends before that.
    ///
    /// # Errors
    ///
    /// When the input can't be read. All bytes before the failure are buffered.
    pub(super) fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        while self.buffered().len() < wanted {
            if self.ended {
                return Ok(false);
            }
            let message = self.filled.recv().map_err(|_| failed())?;
            self.handle(message)?;
        }
        Ok(true)
    }

    /// Handles a message.
    fn handle(&mut self, message: Message) -> io::Result<()> {
        match message {
            Message::Filled(block) => {
                self.append(block);
                Ok(())
            }
            Message::Ended(how) => {
                self.ended = true;
                how
            }
            Message::Wake => Ok(()),
        }
    }

    /// Appends the bytes of the next block to the buffered ones. The shorter of the two is copied, so that the
    /// total cost is linear for a stream that arrives byte by byte.
    fn append(&mut self, mut next: Block) {
        if let Some(recent) = &self.recent {
            recent.append(&next.bytes[next.start..next.end]);
        }
        let left = self.buffered().len();
        let more = next.end - next.start;
        if more < left && more <= self.block.bytes.len() - self.block.end {
            let after = self.block.end..self.block.end + more;
            self.block.bytes[after].copy_from_slice(&next.bytes[next.start..next.end]);
            self.block.end += more;
        } else {
            let in_front = next.start - left..next.start;
            next.bytes[in_front].copy_from_slice(self.buffered());
            next.start -= left;
            std::mem::swap(&mut self.block, &mut next);
        }
        // At the end of the input the reading thread is gone.
        let _ = self.emptied.send(next);
    }
}

/// Returns the error for a reading thread that exited without a message.
fn failed() -> io::Error {
    io::Error::other("the thread that reads the input failed")
}

impl BufRead for ReadAhead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill(1)?;
        Ok(self.buffered())
    }

    fn consume(&mut self, bytes: usize) {
        self.advance(bytes);
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl Block {
    fn new() -> Self {
        let bytes = vec![0; MAX_WAIT_BYTES + BLOCK].into_boxed_slice();
        Self { bytes, start: MAX_WAIT_BYTES, end: MAX_WAIT_BYTES }
    }
}

/// Ends the input when the reading thread panics: the channel itself stays open, because wakers hold senders.
struct EndOnPanic<'a>(&'a SyncSender<Message>);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.0.send(Message::Ended(Err(failed())));
        }
    }
}

/// Fills blocks until the input ends or the channel is closed. A block is sent after one read, however short,
/// because it is unknown when there will be more bytes.
fn read(mut input: impl Read, empty: &Receiver<Block>, fill: &SyncSender<Message>) {
    let _end_on_panic = EndOnPanic(fill);
    let how = loop {
        let Ok(mut block) = empty.recv() else { return };
        let read = loop {
            match input.read(&mut block.bytes[MAX_WAIT_BYTES..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match read {
            Ok(0) => break Ok(()),
            Ok(read) => (block.start, block.end) = (MAX_WAIT_BYTES, MAX_WAIT_BYTES + read),
            Err(error) => break Err(error),
        }
        if fill.send(Message::Filled(block)).is_err() {
            return;
        }
    };
    // The receiver may have been dropped.
    let _ = fill.send(Message::Ended(how));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Yields bytes in pieces of the given lengths, and then fails.
    struct Pieces {
        bytes: Vec<u8>,
        at: usize,
        lengths: Vec<usize>,
    }

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.lengths.pop().unwrap_or(usize::MAX).max(1);
            let piece = &self.bytes[self.at..];
            if piece.is_empty() {
                return Err(io::Error::other("failed"));
            }
            let read = piece.len().min(length).min(buffer.len());
            buffer[..read].copy_from_slice(&piece[..read]);
            self.at += read;
            Ok(read)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_byte_is_read_once_and_in_order(
            length in 0usize..3_000_000,
            lengths in prop::collection::vec(prop_oneof![1usize..40, 1usize..1_000_000], 0..200),
            wanted in prop::collection::vec(prop_oneof![1usize..100, 1usize..=MAX_WAIT_BYTES], 1..40),
        ) {
            let bytes: Vec<u8> = (0..length).map(|n| (n * 31 + n / 251).to_le_bytes()[0]).collect();
            let mut ahead = ReadAhead::new(Pieces { bytes: bytes.clone(), at: 0, lengths }).unwrap();
            let mut seen = 0;
            for wanted in wanted.into_iter().cycle() {
                match ahead.fill(wanted) {
                    Ok(is_filled) => {
                        prop_assert!(is_filled && ahead.buffered().len() >= wanted);
                        prop_assert_eq!(&ahead.buffered()[..wanted], &bytes[seen..seen + wanted]);
                        ahead.advance(wanted);
                        seen += wanted;
                    }
                    Err(error) => {
                        prop_assert_eq!(error.to_string(), "failed");
                        prop_assert_eq!(ahead.buffered(), &bytes[seen..]);
                        prop_assert!(ahead.buffered().len() < wanted);
                        prop_assert!(!ahead.fill(wanted).unwrap(), "the failure is returned once, then the end");
                        break;
                    }
                }
            }
        }
    }
}

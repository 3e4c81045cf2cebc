//! Input that is read ahead of the one who looks at it.
//!
//! A thread of its own fetches bytes, and decompresses them where that is needed, while those before
//! are counted. What crosses is a block, and blocks go back to be filled again: memory stays what it
//! was at the start. Mapping the file instead is no faster where frames are short, half as fast where
//! they are long, can't be done with a stream, and ends the program when the file is cut short.

use std::io::{self, BufRead, ErrorKind, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes fetched at once: small enough to stay in a processor's cache until they are looked at.
const BLOCK: usize = 512 << 10;
/// The most bytes that can be asked for at once.
pub(super) const LONGEST: usize = 512 << 10;
/// In so long the thread that reads hands on what is there.
const TURN: Duration = Duration::from_millis(100);
/// One being filled, one being looked at, and as many on the way.
const BLOCKS: usize = 4;

/// Bytes of an input, in order.
#[derive(Debug)]
pub(super) struct ReadAhead {
    block: Block,
    filled: Receiver<Message>,
    emptied: Sender<Block>,
    /// For whoever else has something to say to the one who waits here.
    wake: SyncSender<Message>,
    ended: bool,
    /// When to give up waiting, if at all.
    due: Option<Instant>,
    timed_out: bool,
}

/// Bytes, with room in front for what is left of the block before.
#[derive(Debug)]
struct Block {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

/// What the reading thread says.
enum Message {
    Filled(Block),
    Ended(io::Result<()>),
    /// There is a reason to look up that has nothing to do with the input.
    Wake,
}

impl ReadAhead {
    /// Starts to read `input`.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub(super) fn new(input: impl Read + Send + 'static) -> io::Result<Self> {
        let (fill, filled) = mpsc::sync_channel(BLOCKS - 2);
        let (emptied, empty) = mpsc::channel();
        for _ in 1..BLOCKS {
            // The receiver is at hand.
            let _ = emptied.send(Block::new());
        }
        // Nobody waits for it: it may be stuck in an input that stays open, and ends when nobody
        // listens to it any more.
        let wake = fill.clone();
        thread::Builder::new().name("reader".into()).spawn(move || read(input, &empty, &fill))?;
        let block = Block::new();
        Ok(Self { block, filled, emptied, wake, ended: false, due: None, timed_out: false })
    }

    /// What can be looked at without waiting.
    #[inline]
    pub(super) fn at_hand(&self) -> &[u8] {
        &self.block.bytes[self.block.start..self.block.end]
    }

    /// Passes over `bytes` of those at hand.
    #[inline]
    pub(super) fn pass(&mut self, bytes: usize) {
        self.block.start = self.block.end.min(self.block.start + bytes);
    }

    /// From here on [`Self::comes`] waits no longer than until `due`.
    pub(super) fn wait_until(&mut self, due: Option<Instant>) {
        self.due = due;
        self.timed_out = false;
    }

    /// Ends the wait in [`Self::comes`] as if it was due, from whatever thread.
    pub(super) fn waker(&self) -> impl Fn() + Send + 'static {
        let wake = self.wake.clone();
        // Where there is no room in the channel there is no wait.
        move || drop(wake.try_send(Message::Wake))
    }

    /// Whether it waited in vain since it was told until when.
    pub(super) fn timed_out(&self) -> bool {
        self.timed_out
    }

    /// Waits until `wanted` bytes, at most [`LONGEST`], are at hand or the input ends, and says whether
    /// either came in time.
    ///
    /// # Errors
    ///
    /// As [`Self::fetch`].
    pub(super) fn comes(&mut self, wanted: usize) -> io::Result<bool> {
        while self.at_hand().len() < wanted && !self.ended {
            let message = match self.due {
                Some(due) => {
                    self.filled.recv_timeout(due.saturating_duration_since(Instant::now()))
                }
                None => self.filled.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                // The whole process may not have run until now: the thread that reads has its turn first.
                Err(RecvTimeoutError::Timeout) if self.has_overslept() => {
                    self.due = Some(Instant::now() + TURN);
                }
                Ok(Message::Wake) | Err(RecvTimeoutError::Timeout) => {
                    self.timed_out = true;
                    return Ok(false);
                }
                Ok(message) => self.take(message)?,
                Err(RecvTimeoutError::Disconnected) => return Err(failed()),
            }
        }
        Ok(true)
    }

    /// Whether it is much later than it should be.
    fn has_overslept(&self) -> bool {
        self.due.is_some_and(|due| due.elapsed() > TURN)
    }

    /// Waits until `wanted` bytes, at most [`LONGEST`], are at hand, and says whether the input had
    /// them.
    ///
    /// # Errors
    ///
    /// When the input can't be read. All that came before is at hand.
    pub(super) fn fetch(&mut self, wanted: usize) -> io::Result<bool> {
        while self.at_hand().len() < wanted {
            if self.ended {
                return Ok(false);
            }
            let message = self.filled.recv().map_err(|_| failed())?;
            self.take(message)?;
        }
        Ok(true)
    }

    /// Takes what the reading thread says.
    fn take(&mut self, message: Message) -> io::Result<()> {
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

    /// Brings the bytes of the next block behind those at hand. The shorter piece is moved, so that a
    /// stream that comes byte by byte costs no more than it has bytes.
    fn append(&mut self, mut next: Block) {
        let left = self.at_hand().len();
        let more = next.end - next.start;
        if more < left && more <= self.block.bytes.len() - self.block.end {
            let behind = self.block.end..self.block.end + more;
            self.block.bytes[behind].copy_from_slice(&next.bytes[next.start..next.end]);
            self.block.end += more;
        } else {
            let in_front = next.start - left..next.start;
            next.bytes[in_front].copy_from_slice(self.at_hand());
            next.start -= left;
            std::mem::swap(&mut self.block, &mut next);
        }
        // At the end of the input nobody fills it again.
        let _ = self.emptied.send(next);
    }
}

/// The error when the reading thread is gone without a word.
fn failed() -> io::Error {
    io::Error::other("the thread that reads the input failed")
}

impl BufRead for ReadAhead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fetch(1)?;
        Ok(self.at_hand())
    }

    fn consume(&mut self, bytes: usize) {
        self.pass(bytes);
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
        let bytes = vec![0; LONGEST + BLOCK].into_boxed_slice();
        Self { bytes, start: LONGEST, end: LONGEST }
    }
}

/// Ends the input where its thread panics: the channel itself stays open for who wakes the one that waits.
struct TellsOfPanic<'a>(&'a SyncSender<Message>);

impl Drop for TellsOfPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.0.send(Message::Ended(Err(failed())));
        }
    }
}

/// Fills blocks until the input ends, or until nobody wants them. What a read brings goes out at once:
/// nobody knows when there will be more.
fn read(mut input: impl Read, empty: &Receiver<Block>, fill: &SyncSender<Message>) {
    let _tells = TellsOfPanic(fill);
    let how = loop {
        let Ok(mut block) = empty.recv() else { return };
        let read = loop {
            match input.read(&mut block.bytes[LONGEST..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match read {
            Ok(0) => break Ok(()),
            Ok(read) => (block.start, block.end) = (LONGEST, LONGEST + read),
            Err(error) => break Err(error),
        }
        if fill.send(Message::Filled(block)).is_err() {
            return;
        }
    };
    // Without a receiver there is nobody to tell.
    let _ = fill.send(Message::Ended(how));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Yields bytes in pieces of these lengths, and then fails.
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
                return Err(io::Error::other("broken"));
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
        fn every_byte_comes_once_and_in_order(
            length in 0usize..3_000_000,
            lengths in prop::collection::vec(prop_oneof![1usize..40, 1usize..1_000_000], 0..200),
            wanted in prop::collection::vec(prop_oneof![1usize..100, 1usize..=LONGEST], 1..40),
        ) {
            let bytes: Vec<u8> = (0..length).map(|n| (n * 31 + n / 251).to_le_bytes()[0]).collect();
            let mut ahead = ReadAhead::new(Pieces { bytes: bytes.clone(), at: 0, lengths }).unwrap();
            let mut seen = 0;
            for wanted in wanted.into_iter().cycle() {
                match ahead.fetch(wanted) {
                    Ok(there) => {
                        prop_assert!(there && ahead.at_hand().len() >= wanted);
                        prop_assert_eq!(&ahead.at_hand()[..wanted], &bytes[seen..seen + wanted]);
                        ahead.pass(wanted);
                        seen += wanted;
                    }
                    Err(error) => {
                        prop_assert_eq!(error.to_string(), "broken");
                        prop_assert_eq!(ahead.at_hand(), &bytes[seen..]);
                        prop_assert!(ahead.at_hand().len() < wanted);
                        prop_assert!(!ahead.fetch(wanted).unwrap(), "the end is told again, the failure once");
                        break;
                    }
                }
            }
        }
    }
}

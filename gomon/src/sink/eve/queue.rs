//! Lines on their way to the thread that writes, and what became of those before.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use memchr::memchr_iter;

/// Bytes of lines that may wait to be written. One line alone may be longer.
pub(super) const CAPACITY: usize = 16 << 20;
/// Bytes of lines that are taken out of the queue at once.
const BATCH: usize = 64 << 10;
/// Failures of one output are logged no more often than that.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What the source and the thread that writes share.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    /// There is something to write, to reopen or to end.
    pub(super) work: Condvar,
    /// Something was written.
    pub(super) progress: Condvar,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct QueueState {
    pub(super) batches: VecDeque<Vec<u8>>,
    pub(super) bytes: usize,
    /// Lines in the queue, and of the batch that is being written.
    pub(super) waiting: u64,
    pub(super) written: u64,
    pub(super) lost: u64,
    /// The latest reason for which something could not be written.
    pub(super) reason: Option<String>,
    pub(super) logged: Option<Instant>,
    pub(super) reopen: bool,
    /// A stream has no reader.
    pub(super) disconnected: bool,
    /// The lines that were handled when a wait was in vain.
    pub(super) stuck_at: Option<u64>,
    /// No more lines come.
    pub(super) ended: bool,
    /// What was written is of no use.
    pub(super) discarded: bool,
    /// Standard output was closed by its reader.
    pub(super) closed: bool,
    /// The thread is done; what is left to say.
    pub(super) done: Option<Result<()>>,
}

/// What became of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Lines that were written.
    pub written: u64,
    /// Lines that were not.
    pub lost: u64,
}

impl Queue {
    /// Standard output was closed: what is queued is lost.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let queued = state.batches.iter().map(|batch| count(batch)).sum::<u64>();
        state.batches.clear();
        state.bytes = 0;
        state.waiting -= queued;
        state.lost += queued;
        drop(state);
        self.progress.notify_all();
    }

    /// Notes that something could not be written, logs it unless it was logged just before, and says which.
    pub(super) fn fails(&self, name: &str, reason: &str) -> bool {
        // Not while the lock is held: standard error may block.
        let is_due = self.lock().fails(reason);
        if is_due {
            log::error!("writing records to {name}: {reason}");
        }
        is_due
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    pub(super) fn push(&mut self, lines: &[u8]) {
        self.bytes += lines.len();
        match self.batches.back_mut() {
            Some(last) if last.len() + lines.len() <= BATCH => last.extend_from_slice(lines),
            _ => self.batches.push_back(lines.to_vec()),
        }
    }

    /// Lines that were dealt with, in whatever way.
    pub(super) fn handled(&self) -> u64 {
        self.written + self.lost
    }

    /// Notes that something could not be written, and says whether that is to be logged.
    fn fails(&mut self, reason: &str) -> bool {
        self.reason = Some(reason.to_owned());
        let is_due = self.logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL);
        if is_due {
            self.logged = Some(Instant::now());
        }
        is_due
    }
}

/// The lines in some bytes.
pub(super) fn count(lines: &[u8]) -> u64 {
    memchr_iter(b'\n', lines).count() as u64
}

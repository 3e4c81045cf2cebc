//! The queue of lines for the writer thread, with the numbers of lines written and lost.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use memchr::memchr_iter;

/// The maximum number of queued bytes. An empty queue accepts a longer batch, too.
pub(super) const CAPACITY: usize = 16 << 20;
/// The maximum size of a batch that smaller ones are merged into, for a single write.
const BATCH: usize = 64 << 10;
/// The shortest time between log messages about failures of one output.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The state that the source and the writer thread share.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    /// Notified when there is something to write, a file to reopen, or no more lines will be queued.
    pub(super) work: Condvar,
    /// Notified when lines were written or lost, and when the writer thread is done.
    pub(super) progress: Condvar,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate flag")]
pub(super) struct QueueState {
    pub(super) batches: VecDeque<Vec<u8>>,
    pub(super) bytes: usize,
    /// Lines in the queue and in the batch that is being written.
    pub(super) waiting: u64,
    pub(super) written: u64,
    pub(super) lost: u64,
    /// The reason of the latest failed write.
    pub(super) reason: Option<String>,
    pub(super) logged: Option<Instant>,
    pub(super) reopen: bool,
    /// A stream has no reader.
    pub(super) disconnected: bool,
    /// The value of [`QueueState::handled`] when a wait timed out.
    pub(super) stuck_at: Option<u64>,
    /// No more lines will be queued.
    pub(super) ended: bool,
    /// The run did not start: the output is to be discarded.
    pub(super) discarded: bool,
    /// The reader of standard output closed it.
    pub(super) closed: bool,
    /// The result of closing the output, once the writer thread is done.
    pub(super) done: Option<Result<()>>,
}

/// The numbers of lines written and lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Lines that were written.
    pub written: u64,
    /// Lines that were not.
    pub lost: u64,
}

impl Queue {
    /// Records that standard output was closed, and that the queued lines are lost.
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

    /// Records a failed write. Logs it at most once per [`LOG_INTERVAL`], and returns whether it did.
    pub(super) fn record_failure(&self, name: &str, reason: &str) -> bool {
        // Logged without the lock: standard error may block.
        let is_due = self.lock().record_failure(reason);
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

    /// Lines that were written or lost.
    pub(super) fn handled(&self) -> u64 {
        self.written + self.lost
    }

    /// Records a failed write, and returns whether to log it.
    fn record_failure(&mut self, reason: &str) -> bool {
        self.reason = Some(reason.to_owned());
        let is_due = self.logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL);
        if is_due {
            self.logged = Some(Instant::now());
        }
        is_due
    }
}

/// The number of lines in `lines`.
pub(super) fn count(lines: &[u8]) -> u64 {
    memchr_iter(b'\n', lines).count() as u64
}

//! The queues of lines for a writer thread, with the numbers of lines written and lost.
//!
//! The bots that share a target have a lane each. The writer takes a batch from each lane in turn. A lane can use the
//! memory that is free, but each has a share that the others can't use: a bot that writes more than the target accepts
//! loses only its own lines.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use memchr::memchr_iter;

/// The maximum number of queued bytes of all lanes. An empty lane accepts a longer batch, too.
const CAPACITY: usize = 16 << 20;
/// The share of a lane in bytes, if there are too many for an equal share of [`CAPACITY`].
const MIN_SHARE: usize = 256 << 10;
/// The number of queued bytes above which the writer is behind.
const BEHIND: usize = CAPACITY / 4;
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
    /// The lanes of the bots that have not finished.
    pub(super) lanes: BTreeMap<u64, Lane>,
    /// The number of the next lane.
    next_lane: u64,
    /// The lane that the latest batch was taken from.
    latest: u64,
    /// Lines of all lanes that were written or lost.
    pub(super) handled: u64,
    /// Whether a line of a lane was lost, which may have finished.
    pub(super) is_incomplete: bool,
    /// The reason of the latest failed write.
    pub(super) reason: Option<String>,
    pub(super) logged: Option<Instant>,
    pub(super) reopen: bool,
    /// A stream has no reader.
    pub(super) disconnected: bool,
    /// No more lines will be queued.
    pub(super) ended: bool,
    /// The run did not start: the output is to be discarded.
    pub(super) discarded: bool,
    /// The reader of standard output closed it.
    pub(super) closed: bool,
    /// The result of closing the output, once the writer thread is done.
    pub(super) done: Option<Result<()>>,
}

/// The queue of a bot.
#[derive(Default)]
pub(super) struct Lane {
    batches: VecDeque<Vec<u8>>,
    pub(super) bytes: usize,
    /// Lines in the queue and in the batch that is being written.
    pub(super) waiting: u64,
    pub(super) written: u64,
    pub(super) lost: u64,
    /// The value of [`QueueState::handled`] when a wait timed out.
    pub(super) stuck_at: Option<u64>,
}

/// The numbers of lines written and lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
        let ids: Vec<_> = state.lanes.keys().copied().collect();
        for lane in ids {
            state.discard(lane);
        }
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
    /// Adds a lane, and returns its number.
    pub(super) fn add_lane(&mut self) -> u64 {
        let lane = self.next_lane;
        self.next_lane += 1;
        self.lanes.insert(lane, Lane::default());
        lane
    }

    /// Whether a lane can't accept this many bytes: they exceed its share, and the memory that is free.
    pub(super) fn is_full(&self, lane: u64, bytes: usize) -> bool {
        let share = (CAPACITY / self.lanes.len().max(1)).max(MIN_SHARE);
        self.lanes.get(&lane).is_some_and(|lane| {
            lane.bytes > 0 && lane.bytes + bytes > share && self.queued() + bytes > CAPACITY
        })
    }

    /// Whether so much is queued that those who can wait should.
    pub(super) fn is_behind(&self) -> bool {
        self.queued() > BEHIND
    }

    /// Returns the number of queued bytes of all lanes.
    fn queued(&self) -> usize {
        self.lanes.values().map(|lane| lane.bytes).sum()
    }

    /// Takes the next batch, from the lanes in turn. Returns it with the number of its lane.
    pub(super) fn take_batch(&mut self) -> Option<(u64, Vec<u8>)> {
        let after = self.lanes.range(self.latest + 1..).chain(self.lanes.range(..=self.latest));
        let found = after.into_iter().find(|(_, lane)| !lane.batches.is_empty());
        let id = found.map(|(id, _)| *id)?;
        let lane = self.lanes.get_mut(&id)?;
        let batch = lane.batches.pop_front()?;
        lane.bytes -= batch.len();
        self.latest = id;
        Some((id, batch))
    }

    /// Records that lines of a lane were written, or lost.
    pub(super) fn record_handled(&mut self, lane: u64, lines: u64, is_written: bool) {
        self.handled += lines;
        self.is_incomplete |= !is_written && lines > 0;
        // A lane that has finished counted them as lost.
        let Some(lane) = self.lanes.get_mut(&lane) else { return };
        lane.waiting -= lines;
        *(if is_written { &mut lane.written } else { &mut lane.lost }) += lines;
    }

    /// Discards the queued lines of a lane: they are lost.
    pub(super) fn discard(&mut self, lane: u64) {
        let Some(queued) = self.lanes.get_mut(&lane) else { return };
        let lines = queued.batches.drain(..).map(|batch| count(&batch)).sum();
        queued.bytes = 0;
        self.record_handled(lane, lines, false);
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

impl Lane {
    pub(super) fn push(&mut self, lines: &[u8]) {
        self.bytes += lines.len();
        self.waiting += count(lines);
        match self.batches.back_mut() {
            Some(last) if last.len() + lines.len() <= BATCH => last.extend_from_slice(lines),
            _ => self.batches.push_back(lines.to_vec()),
        }
    }

    /// Returns the numbers of lines written and lost. Queued lines count as written.
    pub(super) fn delivery(&self) -> Delivery {
        Delivery { written: self.written + self.waiting, lost: self.lost }
    }
}

/// The number of lines in `lines`.
pub(super) fn count(lines: &[u8]) -> u64 {
    memchr_iter(b'\n', lines).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_take_turns_and_a_full_one_does_not_fill_the_others() {
        let mut state = QueueState::default();
        let lanes = [(); 3].map(|()| state.add_lane());
        let text = [vec![b'x'; BATCH - 1], b"\n".to_vec()].concat();
        while !state.is_full(lanes[0], text.len()) {
            state.lanes.get_mut(&lanes[0]).unwrap().push(&text);
        }
        for lane in &lanes[1..] {
            assert!(!state.is_full(*lane, text.len()));
            state.lanes.get_mut(lane).unwrap().push(&text);
        }
        let order: Vec<_> = (0..5).filter_map(|_| state.take_batch()).map(|(id, _)| id).collect();
        assert_eq!(order, [1, 2, 0, 0, 0]);
        state.discard(lanes[0]);
        let lane = &state.lanes[&lanes[0]];
        assert_eq!(lane.waiting, 3, "the batches that were taken");
        assert_eq!((CAPACITY / BATCH) as u64, lane.waiting + lane.lost);
        assert!(state.is_incomplete && state.take_batch().is_none());
    }
}

//! The way of EVE lines out of the process: a bounded queue, and a thread that writes.
//!
//! Whoever counts never waits for a disk, a socket or the reader of a pipe:
//!
//! | | queue full | at the end |
//! | --- | --- | --- |
//! | live | the new lines are lost, and counted | what is queued is written, while that gets on |
//! | replay | the replay waits, while writing gets on; for standard output however long | the same |
//!
//! "Gets on" means that the wait ends when nothing was written for [`CLOSE_TIMEOUT`]; a replay into a
//! stream (a socket, a FIFO) that has a reader waits for [`READER_TIMEOUT`]. A wait that was in vain is not
//! repeated until something is written. A stream whose reader goes is connected to again, with a back-off
//! (see [`super::writer`]); the line that was being written is then written again from its start.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::queue::{CAPACITY, Delivery, Queue, QueueState, count};
use super::target::Target;
use super::writer::{FIRST_RETRY, OnClose, Writer, watch};
use crate::settings::EveTarget;

/// How long a shutdown, or a replay into a stream without a reader, waits while nothing is written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a replay waits for the reader of a stream that reads nothing.
const READER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a wait looks whether it is to go on.
const LOOK: Duration = Duration::from_millis(50);

/// What a source does with lines for which the queue has no room.
pub enum WhenFull {
    /// They are lost: the source can't wait.
    Lose,
    /// It waits, and no longer than the reader makes it once this says that the run is to stop.
    Wait(Box<dyn Fn() -> bool + Send>),
}

/// An open output.
pub struct Output {
    name: String,
    queue: Arc<Queue>,
    when_full: WhenFull,
    is_stream: bool,
    is_finished: bool,
}

impl Output {
    /// Opens what records are to go to. With `fresh` a file gets its name when it is complete. When the
    /// reader of standard output goes away, `on_close` is called from another thread.
    ///
    /// # Errors
    ///
    /// When it can't be opened for writing, or there is no thread to be had.
    pub fn open(
        target: &EveTarget,
        fresh: bool,
        when_full: WhenFull,
        on_close: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self> {
        let name = target.to_string();
        let target = Target::open(target, fresh)?;
        let is_stream = target.is_stream();
        let queue = Arc::new(Queue::default());
        queue.lock().disconnected = !target.is_connected();
        let pipe = target.pipe();
        let on_close: OnClose = Arc::new(on_close);
        let writer = Writer {
            name: name.clone(),
            queue: Arc::clone(&queue),
            target,
            on_close: Arc::clone(&on_close),
            pause: FIRST_RETRY,
        };
        if let Some(pipe) = pipe {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name("eve-reader".into())
                .spawn(move || watch(&pipe, &queue, &*on_close))
                .context("starting the thread that watches standard output")?;
        }
        thread::Builder::new()
            .name("eve".into())
            .spawn(move || writer.run())
            .context("starting the thread that writes records")?;
        Ok(Self { name, queue, when_full, is_stream, is_finished: false })
    }

    /// Has files reopened by their names, from whatever thread.
    pub fn reopener(&self) -> impl Fn() + Send + 'static {
        let queue = Arc::clone(&self.queue);
        move || {
            queue.lock().reopen = true;
            queue.work.notify_all();
        }
    }

    /// Whether the reader of standard output went away, so that there is no point in going on.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.lock().closed
    }

    /// What became of the lines so far. Those in the queue count as written.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        let state = self.queue.lock();
        Delivery { written: state.written + state.waiting, lost: state.lost }
    }

    /// Queues lines, each of which ends in a line feed.
    pub fn lines(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let mut state = self.queue.lock();
        let is_full = |state: &QueueState| state.bytes > 0 && state.bytes + lines.len() > CAPACITY;
        let is_stuck = state.stuck_at == Some(state.handled());
        if is_full(&state) && !is_stuck && matches!(self.when_full, WhenFull::Wait(_)) {
            state = self.wait_while(state, is_full);
            state.stuck_at = is_full(&state).then(|| state.handled());
        }
        let count = count(lines);
        if state.closed || is_full(&state) {
            state.lost += count;
            let is_closed = state.closed;
            drop(state);
            if !is_closed {
                let _ = self.queue.fails(&self.name, "its reader does not keep up");
            }
            return;
        }
        state.push(lines);
        state.waiting += count;
        drop(state);
        self.queue.work.notify_all();
    }

    /// Ends the output: waits until everything is written, as far as that gets on.
    ///
    /// # Errors
    ///
    /// When lines were lost: how many, and the latest reason.
    pub fn finish(&mut self) -> (Delivery, Result<()>) {
        self.is_finished = true;
        let mut state = self.queue.lock();
        state.ended = true;
        self.queue.work.notify_all();
        state = self.wait_while(state, |state| state.done.is_none());
        if state.done.is_none() {
            state.lost += state.waiting;
            state.reason.get_or_insert_with(|| "its reader does not read".into());
        }
        let delivery = Delivery { written: state.written, lost: state.lost };
        let closing = state.done.take().unwrap_or(Ok(()));
        let reason = state.reason.take().filter(|_| state.lost > 0 && !state.closed);
        let advice = if self.is_stream { "see to its reader" } else { "make room" };
        let outcome = match reason {
            None => closing,
            Some(reason) => {
                let kept = closing.err().map_or(String::new(), |error| format!(": {error}"));
                Err(anyhow!(
                    "writing records to {}: {reason}: {} record(s) are lost{kept}: {advice}, or name \
                     another output",
                    self.name,
                    state.lost
                ))
            }
        };
        (delivery, outcome)
    }

    /// Waits while something holds, as long as writing gets on.
    fn wait_while<'a>(
        &self,
        mut state: MutexGuard<'a, QueueState>,
        holds: impl Fn(&QueueState) -> bool,
    ) -> MutexGuard<'a, QueueState> {
        let mut handled = state.handled();
        let mut since = Instant::now();
        while holds(&state) && (state.ended || !state.closed) {
            if state.handled() > handled {
                (handled, since) = (state.handled(), Instant::now());
            }
            let longest = match &self.when_full {
                WhenFull::Wait(is_stopped) if !is_stopped() && !state.disconnected => {
                    self.is_stream.then_some(READER_TIMEOUT)
                }
                WhenFull::Lose | WhenFull::Wait(_) => Some(CLOSE_TIMEOUT),
            };
            if longest.is_some_and(|longest| since.elapsed() >= longest) {
                break;
            }
            let waited = self.queue.progress.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }
}

impl Drop for Output {
    /// The output of a run that could not be started is of no use.
    fn drop(&mut self) {
        if !self.is_finished {
            self.queue.lock().discarded = true;
            let _ = self.finish();
        }
    }
}

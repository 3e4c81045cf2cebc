//! The output of EVE lines: a bounded queue, and a thread that writes.
//!
//! Counting on an interface never waits for a disk, a socket or the reader of a pipe:
//!
//! | | queue full | at the end |
//! | --- | --- | --- |
//! | live | new lines are dropped and counted | waits until the queue is written, while there is progress |
//! | replay | waits while there is progress; for standard output without a limit | the same |
//!
//! There is no progress when nothing was written for [`CLOSE_TIMEOUT`], or for [`READER_TIMEOUT`] in a replay into a
//! stream (socket or FIFO) that has a reader. After a wait without progress, lines are dropped immediately until
//! something is written again. The writer thread reconnects to a stream that lost its reader, with a back-off (see
//! `writer.rs`), and writes the interrupted line again from its start.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::queue::{CAPACITY, Delivery, Queue, QueueState, count};
use super::target::OpenTarget;
use super::writer::{FIRST_RETRY, OnClose, Writer, watch_reader};
use crate::settings::EveTarget;

/// The time that a shutdown, or a replay into a stream without a reader, waits while nothing is written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The time that a replay waits for the reader of a stream while nothing is written.
const READER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a wait checks whether to continue.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// What happens to new lines while the queue is full.
pub enum OverflowPolicy {
    /// They are dropped, because the source can't wait.
    Drop,
    /// The source blocks. Once the function returns `true`, because the run must stop, the source blocks for at most
    /// `CLOSE_TIMEOUT` without progress.
    Block(Box<dyn Fn() -> bool + Send>),
}

/// An open output.
pub struct Output {
    name: String,
    queue: Arc<Queue>,
    on_overflow: OverflowPolicy,
    is_stream: bool,
    is_finished: bool,
}

impl Output {
    /// Opens an output. With `fresh`, a file is written under a temporary name until it is complete. `on_close` is
    /// called from another thread when the reader of standard output closes it.
    ///
    /// # Errors
    ///
    /// When it can't be opened for writing, or no thread can be started.
    pub fn open(
        target: &EveTarget,
        fresh: bool,
        on_overflow: OverflowPolicy,
        on_close: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self> {
        let name = target.to_string();
        let target = OpenTarget::open(target, fresh)?;
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
                .spawn(move || watch_reader(&pipe, &queue, &*on_close))
                .context("starting the thread that watches standard output")?;
        }
        thread::Builder::new()
            .name("eve".into())
            .spawn(move || writer.run())
            .context("starting the thread that writes records")?;
        Ok(Self { name, queue, on_overflow, is_stream, is_finished: false })
    }

    /// Returns the target as it is written on the command line.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a function that requests that a file is reopened by its path. It may be called from any thread.
    pub fn reopener(&self) -> impl Fn() + Send + 'static {
        let queue = Arc::clone(&self.queue);
        move || {
            queue.lock().reopen = true;
            queue.work.notify_all();
        }
    }

    /// Whether the reader of standard output closed it, so that nothing more can be written.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.lock().closed
    }

    /// Returns the numbers of lines written and lost so far. Queued lines count as written.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        let state = self.queue.lock();
        Delivery { written: state.written + state.waiting, lost: state.lost }
    }

    /// Queues lines, each of which ends with a line feed.
    pub fn queue_lines(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let mut state = self.queue.lock();
        let is_full = |state: &QueueState| state.bytes > 0 && state.bytes + lines.len() > CAPACITY;
        let is_stuck = state.stuck_at == Some(state.handled());
        let can_block = matches!(self.on_overflow, OverflowPolicy::Block(_));
        if is_full(&state) && !is_stuck && can_block {
            state = self.wait_while(state, is_full);
            state.stuck_at = is_full(&state).then(|| state.handled());
        }
        let count = count(lines);
        if state.closed || is_full(&state) {
            state.lost += count;
            let is_closed = state.closed;
            drop(state);
            if !is_closed {
                let _ = self.queue.record_failure(&self.name, "its reader does not keep up");
            }
            return;
        }
        state.push(lines);
        state.waiting += count;
        drop(state);
        self.queue.work.notify_all();
    }

    /// Closes the output: waits until everything is written, while there is progress.
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
        let advice = if self.is_stream { "check its reader" } else { "free some space" };
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

    /// Waits while the condition `holds` is true and there is progress.
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
            let longest = match &self.on_overflow {
                OverflowPolicy::Block(is_stopped) if !is_stopped() && !state.disconnected => {
                    self.is_stream.then_some(READER_TIMEOUT)
                }
                OverflowPolicy::Drop | OverflowPolicy::Block(_) => Some(CLOSE_TIMEOUT),
            };
            if longest.is_some_and(|longest| since.elapsed() >= longest) {
                break;
            }
            let waited = self.queue.progress.wait_timeout(state, CHECK_INTERVAL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }
}

impl Drop for Output {
    /// Discards the output of a run that could not be started.
    fn drop(&mut self) {
        if !self.is_finished {
            self.queue.lock().discarded = true;
            let _ = self.finish();
        }
    }
}

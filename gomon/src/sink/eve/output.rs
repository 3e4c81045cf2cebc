//! The output of EVE lines: a bounded queue, and a thread that writes. Bots may share a target, which has one thread
//! and a queue for each bot.
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

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::queue::{Delivery, Lane, Queue, QueueState, count};
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

/// An open output of a bot.
pub struct Output {
    name: String,
    queue: Arc<Queue>,
    lane: u64,
    on_overflow: OverflowPolicy,
    is_stream: bool,
    is_finished: bool,
}

/// The targets that are open, so that the bots of a process share them. Clones refer to the same targets.
#[derive(Clone, Default)]
pub struct EveTargets(Arc<Mutex<Vec<KnownTarget>>>);

type KnownTarget = (EveTarget, Arc<Mutex<SharedTarget>>);

/// A target that several bots may write to. It is locked while it is opened, which may block.
#[derive(Default)]
struct SharedTarget {
    is_stream: bool,
    queue: Weak<Queue>,
}

impl EveTargets {
    /// Opens an output, or another queue of a target that is open. With `fresh`, a file is written under a temporary
    /// name until it is complete. `on_close` is called from another thread when the reader of standard output closes it.
    /// Of a target that is open already, `fresh` and `on_close` are ignored.
    ///
    /// # Errors
    ///
    /// When it can't be opened for writing, or no thread can be started.
    pub fn open(
        &self,
        target: &EveTarget,
        fresh: bool,
        on_overflow: OverflowPolicy,
        on_close: impl Fn() + Send + Sync + 'static,
    ) -> Result<Output> {
        let shared = self.shared(target);
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = shared.queue.upgrade() {
            let lane = {
                let mut state = queue.lock();
                (!state.ended).then(|| state.add_lane())
            };
            if let Some(lane) = lane {
                let (name, is_stream) = (target.to_string(), shared.is_stream);
                return Ok(Output {
                    name,
                    queue,
                    lane,
                    on_overflow,
                    is_stream,
                    is_finished: false,
                });
            }
        }
        let output = Output::start(target, fresh, on_overflow, on_close)?;
        *shared =
            SharedTarget { is_stream: output.is_stream, queue: Arc::downgrade(&output.queue) };
        Ok(output)
    }

    /// Reopens all files by their paths.
    pub fn reopen(&self) {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A target that is locked is being opened.
        let shared = open.iter().filter_map(|(_, shared)| shared.try_lock().ok());
        for queue in shared.filter_map(|shared| shared.queue.upgrade()) {
            queue.lock().reopen = true;
            queue.work.notify_all();
        }
    }

    /// Returns the entry of a target.
    fn shared(&self, target: &EveTarget) -> Arc<Mutex<SharedTarget>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, shared)| {
            Arc::strong_count(shared) > 1
                || shared.try_lock().is_ok_and(|shared| shared.queue.strong_count() > 0)
        });
        if let Some((_, shared)) = open.iter().find(|(known, _)| known == target) {
            return Arc::clone(shared);
        }
        let shared = Arc::default();
        open.push((target.clone(), Arc::clone(&shared)));
        shared
    }
}

impl Output {
    fn start(
        target: &EveTarget,
        fresh: bool,
        on_overflow: OverflowPolicy,
        on_close: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self> {
        let name = target.to_string();
        let target = OpenTarget::open(target, fresh)?;
        let is_stream = target.is_stream();
        let queue = Arc::new(Queue::default());
        let lane = queue.lock().add_lane();
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
        Ok(Self { name, queue, lane, on_overflow, is_stream, is_finished: false })
    }

    /// Returns the target as it is written on the command line.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the reader of standard output closed it, so that nothing more can be written.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.lock().closed
    }

    /// Returns the numbers of lines written and lost so far. Queued lines count as written.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.monitor().delivery()
    }

    /// Returns a handle to the numbers of lines written and lost.
    #[must_use]
    pub fn monitor(&self) -> OutputMonitor {
        OutputMonitor { queue: Arc::clone(&self.queue), lane: self.lane }
    }

    /// Records lines that were lost before they were formatted.
    pub fn record_lost(&mut self, lines: u64) {
        let mut state = self.queue.lock();
        state.is_incomplete |= lines > 0;
        if let Some(lane) = state.lanes.get_mut(&self.lane) {
            lane.lost += lines;
        }
        if lines > 0 {
            drop(state);
            let _ =
                self.queue.record_failure(&self.name, "the disk of the artifacts does not keep up");
        }
    }

    /// Queues lines, each of which ends with a line feed.
    pub fn queue_lines(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let lane = self.lane;
        let mut state = self.queue.lock();
        let is_full = |state: &QueueState| state.is_full(lane, lines.len());
        let is_stuck = |state: &QueueState| {
            state.lanes.get(&lane).and_then(|lane| lane.stuck_at) == Some(state.handled)
        };
        let can_block = matches!(self.on_overflow, OverflowPolicy::Block(_));
        if is_full(&state) && !is_stuck(&state) && can_block {
            state = self.wait_while(state, is_full);
            let stuck_at = is_full(&state).then_some(state.handled);
            if let Some(lane) = state.lanes.get_mut(&lane) {
                lane.stuck_at = stuck_at;
            }
        }
        let is_lost = state.closed || is_full(&state);
        let is_closed = state.closed;
        state.is_incomplete |= is_lost;
        if let Some(lane) = state.lanes.get_mut(&lane) {
            if is_lost {
                lane.lost += count(lines);
            } else {
                lane.push(lines);
            }
        }
        drop(state);
        if !is_lost {
            self.queue.work.notify_all();
        } else if !is_closed {
            let _ = self.queue.record_failure(&self.name, "its reader does not keep up");
        }
    }

    /// Closes the output: waits until everything is written, while there is progress. The target is closed with its
    /// last output.
    ///
    /// # Errors
    ///
    /// When lines were lost: how many, and the latest reason.
    pub fn finish(&mut self) -> (Delivery, Result<()>) {
        self.is_finished = true;
        let lane = self.lane;
        let mut state = self.queue.lock();
        let is_last = state.lanes.len() <= 1;
        state.ended |= is_last;
        self.queue.work.notify_all();
        state = self.wait_while(state, |state| {
            let is_waiting = state.lanes.get(&lane).is_some_and(|lane| lane.waiting > 0);
            if state.ended { state.done.is_none() } else { is_waiting }
        });
        state.discard(lane);
        let Some(finished) = state.lanes.remove(&lane) else {
            return (Delivery { written: 0, lost: 0 }, Ok(()));
        };
        if finished.waiting > 0 {
            state.is_incomplete = true;
            state.reason.get_or_insert_with(|| "its reader does not read".into());
        }
        // Two that finish at the same time both wait as if the other one continued.
        if state.lanes.is_empty() && !state.ended {
            state.ended = true;
            self.queue.work.notify_all();
            state = self.wait_while(state, |state| state.done.is_none());
        }
        let lost = finished.lost + finished.waiting;
        let delivery = Delivery { written: finished.written, lost };
        let closing = state.done.take().unwrap_or(Ok(()));
        let reason = state.reason.clone().filter(|_| lost > 0 && !state.closed);
        let advice = if self.is_stream { "check its reader" } else { "free some space" };
        let outcome = match reason {
            None => closing,
            Some(reason) => {
                let kept = closing.err().map_or(String::new(), |error| format!(": {error}"));
                Err(anyhow!(
                    "writing records to {}: {reason}: {lost} record(s) are lost{kept}: {advice}, or name \
                     another output",
                    self.name,
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
        let mut handled = state.handled;
        let mut since = Instant::now();
        while holds(&state) && (state.ended || !state.closed) {
            if state.handled > handled {
                (handled, since) = (state.handled, Instant::now());
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

/// A handle to the numbers of lines that an [`Output`] has written and lost.
#[derive(Clone)]
pub struct OutputMonitor {
    queue: Arc<Queue>,
    lane: u64,
}

impl OutputMonitor {
    /// Returns the numbers of lines written and lost so far; none once the output is finished. Queued lines count as
    /// written.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.queue.lock().lanes.get(&self.lane).map_or_else(Delivery::default, Lane::delivery)
    }

    /// Returns how many lines the target has accepted or lost so far, if so much is queued that those who can wait
    /// should.
    #[must_use]
    pub fn progress_if_behind(&self) -> Option<u64> {
        let state = self.queue.lock();
        state.is_behind().then_some(state.handled)
    }
}

impl Drop for Output {
    /// Discards the output of a run that could not be started.
    fn drop(&mut self) {
        if !self.is_finished {
            let mut state = self.queue.lock();
            state.discarded |= state.lanes.len() <= 1;
            drop(state);
            let _ = self.finish();
        }
    }
}

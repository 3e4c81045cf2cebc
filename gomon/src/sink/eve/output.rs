//! The way of EVE lines out of the process: a bounded queue, and a thread that writes.
//!
//! Whoever counts never waits for a disk, a socket or the reader of a pipe:
//!
//! | | queue full | at the end |
//! | --- | --- | --- |
//! | live | the new lines are lost, and counted | what is queued is written, while that gets on |
//! | replay | the replay waits, while writing gets on; for standard output however long | the same |
//!
//! "Gets on" means that the wait ends when nothing was written for [`CLOSE_TIMEOUT`]. A stream (a socket,
//! a FIFO) whose reader goes is connected to again, with a back-off from [`FIRST_RETRY`] to
//! [`LAST_RETRY`]; the line that was being written is then written again from its start.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use memchr::{memchr, memchr_iter};

use super::target::{Failure, Target};
use crate::settings::EveTarget;

/// Bytes of lines that may wait to be written. One line alone may be longer.
const CAPACITY: usize = 16 << 20;
/// Bytes of lines that are taken out of the queue at once.
const BATCH: usize = 64 << 10;
/// How long a shutdown, or a replay into a stream, waits while nothing is written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The pauses between tries to connect again to a stream.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// How often a wait looks whether it is to go on.
const LOOK: Duration = Duration::from_millis(50);
/// Failures of one output are logged no more often than that.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

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
}

/// What the source and the thread that writes share.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// There is something to write, to reopen or to end.
    work: Condvar,
    /// Something was written.
    progress: Condvar,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines in the queue, and of the batch that is being written.
    waiting: u64,
    written: u64,
    lost: u64,
    /// The latest reason for which something could not be written.
    reason: Option<String>,
    logged: Option<Instant>,
    reopen: bool,
    /// No more lines come.
    ended: bool,
    /// Standard output was closed by its reader.
    closed: bool,
    /// The thread is done; what is left to say.
    done: Option<Result<()>>,
}

/// What became of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Lines that were written.
    pub written: u64,
    /// Lines that were not.
    pub lost: u64,
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
        on_close: impl Fn() + Send + 'static,
    ) -> Result<Self> {
        let name = target.to_string();
        let target = Target::open(target, fresh)?;
        let is_stream = target.is_stream();
        let queue = Arc::new(Queue::default());
        let writer = Writer {
            name: name.clone(),
            queue: Arc::clone(&queue),
            target,
            on_close: Box::new(on_close),
        };
        thread::Builder::new()
            .name("eve".into())
            .spawn(move || writer.run())
            .context("starting the thread that writes records")?;
        Ok(Self { name, queue, when_full, is_stream })
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
        let is_full = |state: &State| state.bytes > 0 && state.bytes + lines.len() > CAPACITY;
        if is_full(&state) && matches!(self.when_full, WhenFull::Wait(_)) {
            state = self.wait_while(state, is_full);
        }
        let count = count(lines);
        if state.closed || is_full(&state) {
            state.lost += count;
            let is_closed = state.closed;
            drop(state);
            if !is_closed {
                self.queue.fails(&self.name, "its reader does not keep up");
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
        let outcome = match reason {
            None => closing,
            Some(reason) => Err(anyhow!(
                "writing records to {}: {reason}: {} record(s) are lost: make room, or name another \
                 output",
                self.name,
                state.lost
            )),
        };
        (delivery, outcome)
    }

    /// Waits while something holds, as long as writing gets on.
    fn wait_while<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        holds: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let mut handled = state.handled();
        let mut since = Instant::now();
        while holds(&state) && (state.ended || !state.closed) {
            if state.handled() > handled {
                (handled, since) = (state.handled(), Instant::now());
            }
            let is_bounded = match &self.when_full {
                WhenFull::Lose => true,
                WhenFull::Wait(is_stopped) => self.is_stream || is_stopped(),
            };
            if !is_bounded {
                since = Instant::now();
            } else if since.elapsed() >= CLOSE_TIMEOUT {
                break;
            }
            let waited = self.queue.progress.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }
}

impl Queue {
    /// Notes that something could not be written, and logs it, unless it was logged just before.
    fn fails(&self, name: &str, reason: &str) {
        // Not while the lock is held: standard error may block.
        if self.lock().fails(reason) {
            log::error!("writing records to {name}: {reason}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, lines: &[u8]) {
        self.bytes += lines.len();
        match self.batches.back_mut() {
            Some(last) if last.len() + lines.len() <= BATCH => last.extend_from_slice(lines),
            _ => self.batches.push_back(lines.to_vec()),
        }
    }

    /// Lines that were dealt with, in whatever way.
    fn handled(&self) -> u64 {
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

/// The thread that writes.
struct Writer {
    name: String,
    queue: Arc<Queue>,
    target: Target,
    on_close: Box<dyn Fn() + Send>,
}

impl Writer {
    fn run(mut self) {
        loop {
            let mut state = self.queue.lock();
            if std::mem::take(&mut state.reopen) {
                drop(state);
                self.reopen();
            } else if let Some(batch) = state.batches.pop_front() {
                state.bytes -= batch.len();
                drop(state);
                self.write(&batch);
            } else if state.ended {
                break;
            } else {
                drop(self.queue.work.wait(state));
            }
        }
        let closing = self.target.close();
        self.queue.lock().done = Some(closing);
        self.queue.progress.notify_all();
    }

    fn reopen(&mut self) {
        match self.target.reopen() {
            Ok(true) => log::info!("{} was reopened", self.name),
            Ok(false) => log::info!("{} is not a file that could be reopened", self.name),
            Err(error) => log::error!(
                "reopening {}: {error}: records go on to the file that is open: make it writable",
                self.name
            ),
        }
    }

    fn write(&mut self, mut lines: &[u8]) {
        while !lines.is_empty() {
            let (written, result) = self.target.write(lines);
            self.handled(&lines[..written], true);
            lines = &lines[written..];
            let Err(error) = result else { continue };
            match self.target.failure(&error) {
                Failure::Closed => {
                    self.handled(lines, false);
                    return self.close();
                }
                Failure::Disconnected => {
                    self.queue.fails(&self.name, &error.to_string());
                    self.reconnect();
                }
                Failure::Refused => {
                    self.queue.fails(&self.name, &error.to_string());
                    let end = memchr(b'\n', lines);
                    let (line, rest) = lines.split_at(end.map_or(lines.len(), |end| end + 1));
                    self.handled(line, false);
                    lines = rest;
                }
            }
        }
    }

    /// Notes that lines were written, or lost.
    fn handled(&self, lines: &[u8], written: bool) {
        let lines = count(lines);
        let mut state = self.queue.lock();
        state.waiting -= lines;
        *(if written { &mut state.written } else { &mut state.lost }) += lines;
        drop(state);
        self.queue.progress.notify_all();
    }

    /// The reader of standard output is gone: what is queued is lost.
    fn close(&self) {
        let mut state = self.queue.lock();
        state.closed = true;
        state.lost += std::mem::take(&mut state.waiting);
        state.batches.clear();
        state.bytes = 0;
        drop(state);
        self.queue.progress.notify_all();
        (self.on_close)();
    }

    /// Connects again, as soon as there is a reader.
    fn reconnect(&mut self) {
        let start = Instant::now();
        let mut pause = FIRST_RETRY;
        while let Err(error) = self.target.reconnect() {
            log::debug!("connecting to {} again: {error}", self.name);
            let state = self.queue.lock();
            // A shutdown waits only so long.
            pause = if state.ended { FIRST_RETRY } else { pause };
            let ended = state.ended;
            let woken =
                self.queue.work.wait_timeout_while(state, pause, |state| state.ended == ended);
            drop(woken);
            pause = (pause * 2).min(LAST_RETRY);
        }
        let mut state = self.queue.lock();
        state.logged = None;
        let lost = state.lost;
        drop(state);
        log::info!(
            "connected to {} again after {:.1} s; {lost} record(s) were lost so far",
            self.name,
            start.elapsed().as_secs_f64(),
        );
    }
}

fn count(lines: &[u8]) -> u64 {
    memchr_iter(b'\n', lines).count() as u64
}

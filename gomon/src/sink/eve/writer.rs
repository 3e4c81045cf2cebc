//! The writer thread: writes the lines of the queue, and reconnects to streams.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;
use memchr::memchr;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::queue::{Queue, count};
use super::target::{OpenTarget, WriteFailure};

/// The shortest and the longest pause between attempts to reconnect to a stream.
pub(super) const FIRST_RETRY: Duration = Duration::from_millis(100);
const MAX_RETRY: Duration = Duration::from_secs(5);

/// Called when the reader of standard output closes it.
pub(super) type OnClose = Arc<dyn Fn() + Send + Sync>;

/// The state of the writer thread.
pub(super) struct Writer {
    pub(super) name: String,
    pub(super) queue: Arc<Queue>,
    pub(super) target: OpenTarget,
    pub(super) on_close: OnClose,
    /// The pause before the next attempt to reconnect.
    pub(super) pause: Duration,
}

impl Writer {
    pub(super) fn run(mut self) {
        loop {
            let mut state = self.queue.lock();
            if std::mem::take(&mut state.reopen) {
                drop(state);
                self.reopen();
            } else if let Some((bot, batch)) = state.take_batch() {
                drop(state);
                self.write(bot, &batch);
            } else if state.ended {
                break;
            } else {
                drop(self.queue.work.wait(state));
            }
        }
        let state = self.queue.lock();
        let is_complete = !state.is_incomplete && !state.discarded;
        drop(state);
        let closing = self.target.close(is_complete);
        self.queue.lock().done = Some(closing);
        self.queue.progress.notify_all();
    }

    fn reopen(&mut self) {
        match self.target.reopen() {
            Ok(true) => log::info!("{} was reopened", self.name),
            Ok(false) => log::info!("{} is not a file, and was not reopened", self.name),
            Err(error) => log::error!(
                "reopening {}: {error}: records are still written to the open file: make it writable",
                self.name
            ),
        }
    }

    fn write(&mut self, bot: u64, mut lines: &[u8]) {
        while !lines.is_empty() {
            let (written, result) = self.target.write(lines);
            self.record_handled(bot, &lines[..written], true);
            if written > 0 {
                // Only a connection that accepts bytes resets the back-off.
                self.pause = FIRST_RETRY;
            }
            lines = &lines[written..];
            let Err(error) = result else { continue };
            match self.target.failure(&error) {
                WriteFailure::Closed => {
                    self.record_handled(bot, lines, false);
                    return self.close();
                }
                WriteFailure::Disconnected => {
                    let is_logged = self.queue.record_failure(&self.name, &error.to_string());
                    self.reconnect(is_logged);
                }
                WriteFailure::Rejected => {
                    let _ = self.queue.record_failure(&self.name, &error.to_string());
                    let end = memchr(b'\n', lines);
                    let (line, rest) = lines.split_at(end.map_or(lines.len(), |end| end + 1));
                    self.record_handled(bot, line, false);
                    lines = rest;
                }
            }
        }
    }

    /// Records that lines were written, or lost.
    fn record_handled(&self, bot: u64, lines: &[u8], is_written: bool) {
        self.queue.lock().record_handled(bot, count(lines), is_written);
        self.queue.progress.notify_all();
    }

    /// Called when the reader of standard output has closed it.
    fn close(&self) {
        self.queue.close();
        (self.on_close)();
    }

    /// Reconnects as soon as there is a reader. Logs this at info level if the loss of the reader was logged.
    fn reconnect(&mut self, is_logged: bool) {
        let start = Instant::now();
        self.queue.lock().disconnected = true;
        loop {
            let state = self.queue.lock();
            // A shutdown waits for a limited time, so it retries often.
            let pause = if state.ended { FIRST_RETRY } else { self.pause };
            let ended = state.ended;
            let woken =
                self.queue.work.wait_timeout_while(state, pause, |state| state.ended == ended);
            drop(woken);
            self.pause = (self.pause * 2).min(MAX_RETRY);
            match self.target.reconnect() {
                Ok(()) => break,
                Err(error) => log::debug!("reconnecting to {}: {error}", self.name),
            }
        }
        let mut state = self.queue.lock();
        state.disconnected = false;
        let lost: u64 = state.lanes.values().map(|lane| lane.lost).sum();
        drop(state);
        let level = if is_logged { Level::Info } else { Level::Debug };
        log::log!(
            level,
            "reconnected to {} after {:.1} s; {lost} record(s) were lost so far",
            self.name,
            start.elapsed().as_secs_f64(),
        );
    }
}

/// Waits until the reader of standard output closes it, to detect that while nothing is written.
pub(super) fn watch_reader(pipe: &OwnedFd, queue: &Queue, on_close: &dyn Fn()) {
    // Without requested events, poll(2) reports only POLLERR: there is no reader.
    let is_closed = loop {
        match poll(&mut [PollFd::new(pipe, PollFlags::empty())], None) {
            Err(Errno::INTR) => {}
            result => break result.is_ok(),
        }
    };
    if is_closed {
        queue.close();
        on_close();
    }
}

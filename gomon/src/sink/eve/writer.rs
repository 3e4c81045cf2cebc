//! The thread that writes: takes lines out of the queue, and connects to a stream again.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;
use memchr::memchr;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::queue::{Queue, count};
use super::target::{Failure, Target};

/// The pauses between tries to connect again to a stream.
pub(super) const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// Called when the reader of standard output goes away.
pub(super) type OnClose = Arc<dyn Fn() + Send + Sync>;

/// The thread that writes.
pub(super) struct Writer {
    pub(super) name: String,
    pub(super) queue: Arc<Queue>,
    pub(super) target: Target,
    pub(super) on_close: OnClose,
    /// Before the next try to connect again.
    pub(super) pause: Duration,
}

impl Writer {
    pub(super) fn run(mut self) {
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
        let state = self.queue.lock();
        let is_complete = state.lost == 0 && !state.discarded;
        drop(state);
        let closing = self.target.close(is_complete);
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
            if written > 0 {
                // A connection that takes nothing is no better than none.
                self.pause = FIRST_RETRY;
            }
            lines = &lines[written..];
            let Err(error) = result else { continue };
            match self.target.failure(&error) {
                Failure::Closed => {
                    self.handled(lines, false);
                    return self.close();
                }
                Failure::Disconnected => {
                    let is_logged = self.queue.fails(&self.name, &error.to_string());
                    self.reconnect(is_logged);
                }
                Failure::Refused => {
                    let _ = self.queue.fails(&self.name, &error.to_string());
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

    /// The reader of standard output is gone.
    fn close(&self) {
        self.queue.close();
        (self.on_close)();
    }

    /// Connects again, as soon as there is a reader. That is logged where the loss of the reader was.
    fn reconnect(&mut self, is_logged: bool) {
        let start = Instant::now();
        self.queue.lock().disconnected = true;
        loop {
            let state = self.queue.lock();
            // A shutdown waits only so long.
            let pause = if state.ended { FIRST_RETRY } else { self.pause };
            let ended = state.ended;
            let woken =
                self.queue.work.wait_timeout_while(state, pause, |state| state.ended == ended);
            drop(woken);
            self.pause = (self.pause * 2).min(LAST_RETRY);
            match self.target.reconnect() {
                Ok(()) => break,
                Err(error) => log::debug!("connecting to {} again: {error}", self.name),
            }
        }
        let mut state = self.queue.lock();
        state.disconnected = false;
        let lost = state.lost;
        drop(state);
        let level = if is_logged { Level::Info } else { Level::Debug };
        log::log!(
            level,
            "connected to {} again after {:.1} s; {lost} record(s) were lost so far",
            self.name,
            start.elapsed().as_secs_f64(),
        );
    }
}

/// Waits until the reader of standard output goes, though nothing is written to it.
pub(super) fn watch(pipe: &OwnedFd, queue: &Queue, on_close: &dyn Fn()) {
    // With no events asked for, what is left is that there is no reader any more.
    let gone = loop {
        match poll(&mut [PollFd::new(pipe, PollFlags::empty())], None) {
            Err(Errno::INTR) => {}
            result => break result.is_ok(),
        }
    };
    if gone {
        queue.close();
        on_close();
    }
}

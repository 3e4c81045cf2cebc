//! Output for people on standard error: banner, configuration, log and progress. The summary
//! (`summary.rs`) is written through [`line()`] as well.
//!
//! Nothing here fails a run: errors of writing to standard error are ignored.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use log::{LevelFilter, Log, Metadata, Record};

use super::one_line;

const BANNER: &str = r"
   __ _  ___  _ __ ___   ___  _ __
  / _` |/ _ \| '_ ` _ \ / _ \| '_ \
 | (_| | (_) | | | | | | (_) | | | |
  \__, |\___/|_| |_| |_|\___/|_| |_|
  |___/  what a bot sends, counted
";

/// The progress bar, if there is one. It is suspended while a line is written.
static BAR: OnceLock<ProgressBar> = OnceLock::new();

/// The maximum number of queued lines.
const QUEUED_LINES: usize = 1024;
/// The time that a live run waits at its end while standard error is not read.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The queue of the writer thread, once it is started.
static LINES: OnceLock<SyncSender<QueuedLine>> = OnceLock::new();
/// Whether lines are dropped while the queue is full, and the number of dropped lines.
static DROPS_LINES: AtomicBool = AtomicBool::new(false);
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum QueuedLine {
    Text(String),
    /// Acknowledged once all lines queued before it are written.
    Flush(SyncSender<()>),
}

/// Writes one line to standard error.
pub fn line(text: impl Display) {
    let text = format!("{text}\n");
    let Some(lines) = LINES.get() else { return write(&text) };
    if !DROPS_LINES.load(Ordering::Relaxed) {
        let _ = lines.send(QueuedLine::Text(text));
    } else if lines.try_send(QueuedLine::Text(text)).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

fn write(text: &str) {
    let write = || {
        let _ = io::stderr().write_all(text.as_bytes());
    };
    match BAR.get() {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Drops and counts lines while the queue is full, from now on: counting on an interface must not block because
/// standard error is not read.
pub fn drop_lines_when_full() {
    DROPS_LINES.store(true, Ordering::Relaxed);
}

/// Waits until every line is written; after [`drop_lines_when_full`], for at most `CLOSE_TIMEOUT`.
pub fn finish() {
    let Some(lines) = LINES.get() else { return };
    let (flush, written) = mpsc::sync_channel(1);
    if !DROPS_LINES.load(Ordering::Relaxed) {
        let _ = lines.send(QueuedLine::Flush(flush)).map(|()| written.recv());
        return;
    }
    let deadline = Instant::now() + CLOSE_TIMEOUT;
    while lines.try_send(QueuedLine::Flush(flush.clone())).is_err() {
        if Instant::now() >= deadline {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
}

/// Starts a thread that writes lines, because writing blocks while standard error is not read.
fn start_writer() {
    let (lines, queued) = mpsc::sync_channel(QUEUED_LINES);
    let write_all = move || {
        for line in queued {
            match line {
                QueuedLine::Text(text) => write(&text),
                QueuedLine::Flush(flush) => drop(flush.try_send(())),
            }
            match DROPPED.swap(0, Ordering::Relaxed) {
                0 => {}
                dropped => {
                    write(&format!(
                        "{dropped} lines were lost here: standard error was not read\n"
                    ));
                }
            }
        }
    };
    if thread::Builder::new().name("log".into()).spawn(write_all).is_ok() {
        let _ = LINES.set(lines);
    }
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        // Messages of libraries are left out: their errors are returned and reported by gomon.
        if self.enabled(record.metadata()) && record.target().starts_with("gomon") {
            let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
            line(format_args!(
                "{now} {:5} {}",
                record.level(),
                one_line(&record.args().to_string())
            ));
        }
    }

    fn flush(&self) {}
}

/// Starts the log.
pub fn start_log(level: LevelFilter) {
    start_writer();
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(level);
    }
}

/// Shows the banner and the settings, each with its name.
pub fn show_configuration(settings: &[(&'static str, String)]) {
    line(BANNER);
    line("Configuration:");
    for (name, value) in settings {
        line(format_args!("  {name}: {}", one_line(value)));
    }
}

/// The progress of a replay, shown while it runs.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// Shows a bar over `size` bytes, or a spinner if the size is unknown. Shows nothing if standard error is not a
    /// terminal, or if records are written to standard output and that is a terminal, too.
    #[must_use]
    pub fn new(size: Option<u64>, records_on_stdout: bool) -> Self {
        let is_shared = records_on_stdout && io::stdout().is_terminal();
        if is_shared || !io::stderr().is_terminal() {
            return Self(None);
        }
        let (bar, template) = match size {
            Some(size) => (ProgressBar::new(size), "{percent:>3}% {bar:30} {msg}, {eta} left"),
            None => (ProgressBar::no_length(), "{spinner} {msg}, {bytes} read"),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(4));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let bar = BAR.get_or_init(|| bar).clone();
        Self(Some(bar))
    }

    /// Shows nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Shows the numbers of frames and bytes read so far.
    pub fn update(&self, frames: u64, bytes: u64) {
        if let Some(bar) = &self.0 {
            #[expect(clippy::cast_precision_loss, reason = "for display")]
            let rate = frames as f64 / bar.elapsed().as_secs_f64().max(1e-3);
            bar.set_message(format!("{frames} packets, {rate:.0} packets/s"));
            bar.set_position(bytes);
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

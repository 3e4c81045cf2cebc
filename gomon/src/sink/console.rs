//! What people read: banner, configuration, log and progress, all on standard error; the summary
//! (`summary.rs`) goes the same way.
//!
//! Nothing here fails a run: a closed or full standard error is not gomon's to complain about.

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
use crate::VERSION;
use crate::core::Policy;
use crate::settings::{EveTarget, Settings};

const BANNER: &str = r"
   __ _  ___  _ __ ___   ___  _ __
  / _` |/ _ \| '_ ` _ \ / _ \| '_ \
 | (_| | (_) | | | | | | (_) | | | |
  \__, |\___/|_| |_| |_|\___/|_| |_|
  |___/  what a bot sends, counted
";

/// The bar that log lines must not run into, while there is one.
static BAR: OnceLock<ProgressBar> = OnceLock::new();

/// Lines that may wait to be written.
const WAITING_LINES: usize = 1024;
/// How long the end of a live run waits for a standard error that is not read.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The thread that writes lines, once there is one.
static LINES: OnceLock<SyncSender<Line>> = OnceLock::new();
/// Whether a line that finds no room is lost, and how many were.
static NEVER_WAITS: AtomicBool = AtomicBool::new(false);
static LOST: AtomicU64 = AtomicU64::new(0);

enum Line {
    Text(String),
    /// All lines before are written.
    Mark(SyncSender<()>),
}

/// Writes one line to standard error.
pub fn line(text: impl Display) {
    let text = format!("{text}\n");
    let Some(lines) = LINES.get() else { return write(&text) };
    if !NEVER_WAITS.load(Ordering::Relaxed) {
        let _ = lines.send(Line::Text(text));
    } else if lines.try_send(Line::Text(text)).is_err() {
        LOST.fetch_add(1, Ordering::Relaxed);
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

/// From here on no line is waited for: whoever counts on an interface does not stand still because
/// standard error is not read. Lines that find no room are counted.
pub fn never_wait() {
    NEVER_WAITS.store(true, Ordering::Relaxed);
}

/// Waits until every line is written, for a bounded time where no line is waited for.
pub fn finish() {
    let Some(lines) = LINES.get() else { return };
    let (mark, written) = mpsc::sync_channel(1);
    if !NEVER_WAITS.load(Ordering::Relaxed) {
        let _ = lines.send(Line::Mark(mark)).map(|()| written.recv());
        return;
    }
    let deadline = Instant::now() + CLOSE_TIMEOUT;
    while lines.try_send(Line::Mark(mark.clone())).is_err() {
        if Instant::now() >= deadline {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
}

/// Writes lines in a thread of its own, for standard error may be read slowly, or not at all.
fn start_writing() {
    let (lines, waiting) = mpsc::sync_channel(WAITING_LINES);
    let write_all = move || {
        for line in waiting {
            match line {
                Line::Text(text) => write(&text),
                Line::Mark(mark) => drop(mark.try_send(())),
            }
            match LOST.swap(0, Ordering::Relaxed) {
                0 => {}
                lost => {
                    write(&format!("{lost} lines were lost here: standard error was not read\n"));
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
        // Only gomon's own messages: what a library has to say is in the errors it returns.
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
    start_writing();
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(level);
    }
}

/// Shows the banner and every setting.
pub fn show_configuration(settings: &Settings) {
    line(BANNER);
    line("Configuration:");
    for (name, value) in configuration(settings) {
        line(format_args!("  {name}: {}", one_line(&value)));
    }
}

fn configuration(settings: &Settings) -> Vec<(&'static str, String)> {
    let policy = &settings.policy;
    let bot: Vec<_> = settings.sources.addresses().map(|a| a.to_string()).collect();
    let list =
        |items: Vec<String>| if items.is_empty() { "<none>".into() } else { items.join(", ") };
    vec![
        ("version", VERSION.trim_start_matches("version ").to_owned()),
        ("input", settings.input.display().to_string()),
        ("source-ip", if bot.is_empty() { "any".into() } else { bot.join(", ") }),
        ("bot-mac", settings.bot_mac_text().unwrap_or_else(|| "<none>".into())),
        ("window", humantime::format_duration(policy.window).to_string()),
        ("step", humantime::format_duration(policy.step).to_string()),
        ("packet-threshold", packet_threshold(policy)),
        ("destination-threshold", per_window(policy.destination_threshold, "hosts", policy)),
        (
            "port-threshold",
            policy.port_threshold.map_or("off".into(), |ports| per_window(ports, "ports", policy)),
        ),
        ("scan-detection-mode", policy.scan_mode.name().to_owned()),
        ("sweep-detection", if policy.sweep_hosts.is_some() { "on".into() } else { "off".into() }),
        ("sweep-hosts", settings.sweep_hosts.to_string()),
        ("ignore-dst", list(settings.ignore_dst.iter().map(ToString::to_string).collect())),
        ("c2-ip", list(settings.c2_ip.iter().map(ToString::to_string).collect())),
        ("sensor-name", settings.sensor_name.clone().unwrap_or_else(|| "<none>".into())),
        ("sample-id", settings.sample_id.clone().unwrap_or_else(|| "<none>".into())),
        ("max-destinations", settings.max_destinations.to_string()),
        ("eve-log-path", settings.eve.to_string()),
        ("eve-fresh", settings.eve_fresh.to_string()),
        ("eve-strict", settings.eve_strict.to_string()),
        ("connections", settings.connections.name().to_owned()),
        ("show-idle", settings.show_idle.to_string()),
        ("stats", settings.stats.to_string()),
        ("calibrate", settings.calibrate.to_string()),
        ("save-packets", settings.save_packets.to_string()),
        ("capture-dir", settings.capture_dir.display().to_string()),
        ("attach", settings.attach.name().to_owned()),
        ("die-with-parent", settings.die_with_parent.to_string()),
        ("log-level", settings.log_level.to_string().to_lowercase()),
    ]
}

fn packet_threshold(policy: &Policy) -> String {
    let per_second = policy.packet_threshold;
    let per_window = per_second * policy.window.as_secs_f64();
    format!("{} packets/s ({} packets/window)", short(per_second), short(per_window))
}

fn per_window(threshold: f64, of: &str, policy: &Policy) -> String {
    let per_second = threshold / policy.window.as_secs_f64();
    format!("{} {of}/window ({} {of}/s)", short(threshold), short(per_second))
}

/// A number with at most two decimals, more only where it would otherwise be nothing.
fn short(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.01 {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How far a replay is, shown while it runs.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// A bar over `size` bytes, or without an end when that is not known; nothing when standard error
    /// is no terminal, or when records run over the same terminal.
    #[must_use]
    pub fn new(settings: &Settings, size: Option<u64>) -> Self {
        let records_here = settings.eve == EveTarget::Stdout && !settings.calibrate;
        let shown = io::stderr().is_terminal() && !(records_here && io::stdout().is_terminal());
        if settings.quiet || !shown {
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

    /// No progress to be shown.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Enters the frames and bytes read so far.
    pub fn enter(&self, frames: u64, bytes: u64) {
        if let Some(bar) = &self.0 {
            #[expect(clippy::cast_precision_loss, reason = "for the eye")]
            let rate = frames as f64 / bar.elapsed().as_secs_f64().max(1e-3);
            bar.set_message(format!("{frames} packets, {rate:.0} packets/s"));
            bar.set_position(bytes);
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let short = [5.0, 0.333_333, 10.0, 0.0001, 0.0].map(short);
        assert_eq!(short, ["5", "0.33", "10", "1.0e-4", "0"]);
    }
}

//! `gomon fleet`: reads the configuration, opens the sockets, and watches the bots until a stop is requested.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc::{UnboundedSender, channel, unbounded_channel};
use tokio::task::spawn_blocking;

use super::config::FleetConfig;
use super::control::{self, ControlSocket};
use super::counting;
use super::hotplug::Hotplug;
use super::shell::{Shell, ShellInputs, SignalRequest};
use super::{metrics, service};
use crate::sink::console;
use crate::source::Stop;
use crate::source::live::interface;

/// The maximum number of bots that are counted at the same time. The kernel's memory for each of them that is not used
/// is 800 bytes per CPU.
const MAX_BOTS: u32 = 1024;
/// The maximum number of requests that wait for the shell.
const QUEUED_REQUESTS: usize = 64;
/// How long the thread that waits for a stop sleeps at most.
const FOREVER: Duration = Duration::from_secs(3600);

/// A fleet that is ready to start: its configuration is read, and its sockets are open.
pub struct Fleet {
    path: PathBuf,
    config: FleetConfig,
    stop: Stop,
    runtime: Runtime,
    inputs: ShellInputs,
    counting: counting::CountingHandle,
    control: Option<ControlSocket>,
}

/// Checks a configuration, and returns what would run.
///
/// # Errors
///
/// When it can't be read or is wrong.
pub fn check(path: &Path) -> Result<String> {
    let config = FleetConfig::read(path)?;
    let mut text = String::new();
    let present = interface::names();
    for bot in &config.bots {
        let name = bot.interface();
        let matching: Vec<_> = present.iter().filter(|name| bot.is_on(name)).collect();
        let state = match (bot.is_pattern(), matching.len()) {
            (true, count) => format!("{count} interface(s) now"),
            (false, 0) => "waits for the interface".into(),
            (false, _) => "the interface is there".into(),
        };
        let settings = bot.settings(name)?;
        let window = humantime::format_duration(settings.policy.window);
        let sources: Vec<_> =
            settings.sources.addresses().map(|source| source.to_string()).collect();
        let sources = if sources.is_empty() { "any".into() } else { sources.join(",") };
        let sample = bot.sample_id().map_or(String::new(), |sample| format!(", sample {sample}"));
        writeln!(
            text,
            "bot {name} {sources}: window {window}, records to {}{sample}: {state}",
            settings.eve.target
        )?;
    }
    let listening = [
        config.metrics.map(|address| format!("metrics at http://{address}/metrics\n")),
        config.control.map(|path| format!("control socket {}\n", path.display())),
    ];
    text.extend(listening.into_iter().flatten());
    writeln!(
        text,
        "{} bot(s), windows {}",
        config.bots.len(),
        if config.stagger { "staggered" } else { "on one grid" }
    )?;
    Ok(text)
}

impl Fleet {
    /// Reads the configuration, and opens the sockets.
    ///
    /// # Errors
    ///
    /// When the configuration is wrong, or a socket can't be opened. Nothing was started then.
    pub fn prepare(path: PathBuf) -> Result<Self> {
        let config = FleetConfig::read(&path)?;
        console::start_log(config.log_level);
        let stop = Stop::on_signals().context("listening to signals")?;
        if config.die_with_parent {
            stop.stop_with_parent().context("watching the parent process")?;
        }
        raise_descriptor_limit();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(2 * MAX_BOTS as usize) // a disk that hangs holds one
            .build();
        let runtime = runtime.context("starting the runtime")?;
        let entered = runtime.enter();
        let (requests, received) = channel(QUEUED_REQUESTS);
        let control = config.control.as_deref().map(ControlSocket::bind).transpose()?;
        let control = control.map(|(socket, listener)| {
            runtime.spawn(control::serve(listener, requests.clone()));
            socket
        });
        if let Some(address) = config.metrics {
            let listener = runtime.block_on(TcpListener::bind(address)).map_err(|error| {
                anyhow!("listening for metrics on {address}: {error}: give another address")
            })?;
            runtime.spawn(metrics::serve(listener, requests.clone()));
        }
        let hotplug = Hotplug::new()?;
        let (counting, events) = counting::start(MAX_BOTS, stop.clone())?;
        let (signals, signalled) = unbounded_channel();
        forward_signals(&stop, &signals);
        drop(entered);
        let inputs = ShellInputs { hotplug, requests: received, events, signals: signalled };
        Ok(Self { path, config, stop, runtime, inputs, counting, control })
    }

    /// Watches the bots until a stop is requested, and writes everything. Returns the failures.
    #[must_use]
    pub fn perform(self) -> Vec<Error> {
        let Self { path, config, stop, runtime, inputs, counting, control } = self;
        console::drop_lines_when_full();
        log::info!("watching {} bot(s) of {}", config.bots.len(), path.display());
        let (outcome, failed) = runtime.block_on(async {
            let outcome = Shell::run(&path, config, counting.clone(), inputs).await;
            service::stopping();
            stop.request();
            (outcome, counting.stop().await)
        });
        drop(control);
        // An artifact that the disk does not accept is not waited for.
        runtime.shutdown_background();
        let mut failures: Vec<_> = outcome.err().into_iter().collect();
        if failed > 0 {
            failures.push(anyhow!(
                "ending {failed} bot(s): records or artifacts are missing: see the log"
            ));
        }
        failures
    }
}

/// Passes the requests of signals on to the shell.
fn forward_signals(stop: &Stop, signals: &UnboundedSender<SignalRequest>) {
    let reload = signals.clone();
    stop.on_hangup(move || {
        let _ = reload.send(SignalRequest::Reload);
    });
    let status = signals.clone();
    stop.on_status(move || {
        let _ = status.send(SignalRequest::Status);
    });
    let (stop, signals) = (stop.clone(), signals.clone());
    spawn_blocking(move || {
        while !stop.is_requested() {
            let _ = stop.wait_until(&[], Instant::now() + FOREVER);
        }
        let _ = signals.send(SignalRequest::Stop);
    });
}

/// Raises the limit of open files to the most that is allowed: each bot needs several, and the usual limit of 1,024 is
/// for programs that use select(2).
fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        log::warn!("raising the limit of open files: {error}");
    }
}

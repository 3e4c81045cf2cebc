//! The task that owns the state of the fleet. It receives everything that happens, and starts everything that takes
//! time in tasks, so that it never waits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{self, Interval, MissedTickBehavior};

use super::config::FleetConfig;
use super::counting::{AttachedBot, CountingEvent, CountingHandle};
use super::hotplug::Hotplug;
use super::id::BotId;
use super::report::{self, FleetStatus};
use super::request::{ControlRequest, ShellRequest, sources, wanted_bot};
use super::roster::{BotKey, BotState, FleetStep, Roster};
use super::service;

/// How often bots that failed are tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// The maximum number of bots whose outputs are opened at the same time.
const MAX_OPENING: usize = 32;
/// How long the counting thread may take to notice that an interface was removed. After that, its bot is detached.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the counting thread may take to answer, to be considered alive.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a signal requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalRequest {
    Reload,
    Status,
    Stop,
}

/// The end of something that a task does.
enum TaskEnd {
    Attached(BotId, Result<AttachedBot>),
    Detached(BotId, Result<()>),
    Reloaded(Box<Result<FleetConfig>>, Option<oneshot::Sender<Value>>),
}

/// What the fleet's state is made of, and where it receives what happens from.
pub(super) struct Shell {
    path: PathBuf,
    config: FleetConfig,
    roster: Roster,
    counting: CountingHandle,
    tasks: UnboundedSender<TaskEnd>,
    opening: Arc<Semaphore>,
    started: Instant,
    is_ready: bool,
    /// The latest reason why a bot could not be attached.
    failures: BTreeMap<BotKey, String>,
    /// Clients that wait until a bot is attached.
    adding: BTreeMap<BotKey, oneshot::Sender<Value>>,
    /// Clients that wait until a bot has ended.
    removing: BTreeMap<BotId, oneshot::Sender<Value>>,
}

/// Where the shell receives from.
pub(super) struct ShellInputs {
    pub(super) hotplug: Hotplug,
    pub(super) requests: Receiver<ShellRequest>,
    pub(super) events: UnboundedReceiver<CountingEvent>,
    pub(super) signals: UnboundedReceiver<SignalRequest>,
}

impl Shell {
    /// Watches the bots until a stop is requested.
    ///
    /// # Errors
    ///
    /// When the interfaces can't be watched.
    pub(super) async fn run(
        path: &Path,
        config: FleetConfig,
        counting: CountingHandle,
        mut inputs: ShellInputs,
    ) -> Result<()> {
        let (tasks, mut ended) = unbounded_channel();
        let mut roster = Roster::default();
        roster.configure(config.bots.clone(), config.stagger);
        let mut shell = Self {
            path: path.to_owned(),
            config,
            roster,
            counting,
            tasks,
            opening: Arc::new(Semaphore::new(MAX_OPENING)),
            started: Instant::now(),
            is_ready: false,
            failures: BTreeMap::new(),
            adding: BTreeMap::new(),
            removing: BTreeMap::new(),
        };
        let mut has_links = false;
        // The first bot does not wait for the programs to be loaded.
        shell.counting.reserve(0);
        let mut retry = ticks(RETRY_INTERVAL);
        let mut watchdog = service::watchdog_interval().map(ticks);
        loop {
            tokio::select! {
                changes = inputs.hotplug.changes() => {
                    changes?.into_iter().for_each(|change| shell.roster.record(change));
                    has_links = true;
                }
                Some(end) = ended.recv() => shell.task_ended(end),
                Some(event) = inputs.events.recv() => shell.bot_ended(event),
                Some(request) = inputs.requests.recv() => shell.answer(request),
                Some(signal) = inputs.signals.recv() => match signal {
                    SignalRequest::Reload => shell.reload(None),
                    SignalRequest::Status => shell.log_status(),
                    SignalRequest::Stop => return Ok(()),
                },
                _ = retry.tick() => shell.roster.retry(),
                () = tick(&mut watchdog) => shell.notify_watchdog(),
            }
            shell.perform();
            if has_links && !shell.is_ready {
                shell.report_ready();
            }
        }
    }

    /// Performs what follows from the latest events.
    fn perform(&mut self) {
        let steps = self.roster.steps();
        let attaching =
            steps.iter().filter(|step| matches!(step, FleetStep::Attach { .. })).count();
        if attaching > 1 {
            self.counting.reserve(attaching);
        }
        for step in steps {
            let (counting, tasks) = (self.counting.clone(), self.tasks.clone());
            match step {
                FleetStep::Attach { id, settings, pane_offset } => {
                    let opening = Arc::clone(&self.opening);
                    tokio::spawn(async move {
                        let _permit = opening.acquire().await;
                        let outcome = counting.add(id, *settings, pane_offset).await;
                        let _ = tasks.send(TaskEnd::Attached(id, outcome));
                    });
                }
                FleetStep::Detach { id, is_gone } => self.detach(id, is_gone),
            }
        }
        let (roster, adding) = (&self.roster, &mut self.adding);
        let waiting: Vec<_> = adding
            .keys()
            .filter(|key| roster.state(key).is_none() && !roster.is_busy(&key.interface))
            .cloned()
            .collect();
        for key in waiting {
            reply(adding.remove(&key), json!({ "ok": true, "state": BotState::Waiting.name() }));
        }
    }

    fn detach(&self, id: BotId, is_gone: bool) {
        let (counting, tasks) = (self.counting.clone(), self.tasks.clone());
        tokio::spawn(async move {
            if is_gone {
                // The counting thread notices by itself, and then there is no such bot.
                time::sleep(REMOVAL_TIMEOUT).await;
            }
            let outcome = counting.remove(id).await;
            let _ = tasks.send(TaskEnd::Detached(id, if is_gone { Ok(()) } else { outcome }));
        });
    }

    fn task_ended(&mut self, end: TaskEnd) {
        match end {
            TaskEnd::Attached(id, outcome) => {
                self.attached(id, outcome.map_err(|error| format!("{error:#}")));
            }
            TaskEnd::Detached(id, outcome) => {
                self.roster.detached(id);
                let lost = outcome.err().map(|error| format!("{error:#}"));
                match self.removing.remove(&id) {
                    Some(client) => reply(Some(client), report::removed(lost.as_deref())),
                    None => {
                        if let Some(lost) = lost {
                            log::error!("removing a bot: {lost}");
                        }
                    }
                }
            }
            TaskEnd::Reloaded(config, client) => self.reloaded(*config, client),
        }
    }

    fn attached(&mut self, id: BotId, outcome: Result<AttachedBot, String>) {
        let key = self.roster.key(id).cloned();
        let is_unwanted =
            self.roster.attached(id, outcome.as_ref().map(|_| ()).map_err(Clone::clone));
        if is_unwanted {
            self.detach(id, false);
        }
        let Some(key) = key else {
            // It was removed meanwhile. If it is attached, that is answered when it has ended.
            if outcome.is_err() {
                reply(self.removing.remove(&id), report::removed(None));
            }
            return;
        };
        match (outcome, self.adding.remove(&key)) {
            (Ok(attached), client) => {
                self.failures.remove(&key);
                let state = BotState::Counting.name();
                reply(client, json!({ "ok": true, "state": state, "attach": attached.text }));
            }
            (Err(why), Some(client)) => {
                // A bot that a client adds is either watched, or not there.
                self.roster.remove(&key);
                reply(Some(client), report::failed(&format!("adding {key}: {why}")));
            }
            (Err(why), None) => {
                // Once per reason, and not for every try.
                if self.failures.get(&key) != Some(&why) {
                    log::error!("{key}: {why}: trying again every {} s", RETRY_INTERVAL.as_secs());
                    self.failures.insert(key, why);
                }
            }
        }
    }

    /// Reports to the service manager, once every bot whose interface exists was tried.
    fn report_ready(&mut self) {
        if !self.roster.is_attaching() {
            self.is_ready = true;
            let text = self.summary();
            log::info!("{text}");
            service::ready(&text);
        }
    }

    /// Returns how many bots are in each state.
    fn summary(&self) -> String {
        let bots = self.roster.list();
        let count = |name: &str| bots.iter().filter(|bot| bot.state.name() == name).count();
        let names = BotState::NAMES.iter().filter(|name| **name != "pattern");
        let counts: Vec<_> = names.map(|name| format!("{} {name}", count(name))).collect();
        format!("bots: {}", counts.join(", "))
    }

    fn bot_ended(&mut self, event: CountingEvent) {
        match event {
            CountingEvent::InterfaceRemoved(id) => {
                if let Some(key) = self.roster.key(id) {
                    log::info!("{key}: the interface was removed: waiting for it");
                }
                self.roster.ended(id, "its interface was removed".into());
            }
            CountingEvent::Failed(id, error) => {
                if let Some(key) = self.roster.key(id) {
                    log::error!("{key}: {error:#}: trying again");
                }
                self.roster.ended(id, format!("{error:#}"));
            }
        }
    }

    fn answer(&mut self, request: ShellRequest) {
        let (request, client) = match request {
            ShellRequest::Control(request, client) => (request, client),
            ShellRequest::Status(client) => {
                return self.report(move |status| drop(client.send(status)));
            }
        };
        match request {
            ControlRequest::Add { interface, src, settings } => {
                match self.add(interface, src, settings) {
                    Ok(key) => drop(self.adding.insert(key, client)),
                    Err(error) => refuse(client, &error),
                }
            }
            ControlRequest::Remove { interface, src } => match self.remove(&interface, src) {
                Ok(Some(id)) => drop(self.removing.insert(id, client)),
                Ok(None) => reply(Some(client), report::removed(None)),
                Err(error) => refuse(client, &error),
            },
            ControlRequest::List => reply(Some(client), report::list(&self.roster.list())),
            ControlRequest::Status => {
                self.report(move |status| reply(Some(client), status.to_json()));
            }
            ControlRequest::Reload => self.reload(Some(client)),
        }
    }

    fn add(
        &mut self,
        interface: String,
        src: String,
        settings: BTreeMap<String, Value>,
    ) -> Result<BotKey> {
        let bot = wanted_bot(interface, src, settings, &self.config.defaults)?;
        let key = BotKey::new(bot.interface(), bot.sources());
        self.roster.add(bot)?;
        Ok(key)
    }

    /// Removes a bot. Returns it if it is counted: its last window must be written.
    fn remove(&mut self, interface: &str, src: Option<String>) -> Result<Option<BotId>> {
        let sources = src.map(|src| sources(interface, src)).transpose()?;
        let key = self.roster.find(interface, sources.as_ref())?;
        let state = self.roster.state(&key);
        let counted = match state {
            Some((id, BotState::Counting | BotState::Attaching)) => Some(id),
            _ => None,
        };
        self.roster.remove(&key);
        Ok(counted)
    }

    /// Passes the state of all bots to `receive`, once the counting thread has answered.
    fn report(&self, receive: impl FnOnce(FleetStatus) + Send + 'static) {
        let (listed, counting, uptime) =
            (self.roster.list(), self.counting.clone(), self.started.elapsed());
        tokio::spawn(async move {
            // A client that gets no answer in time gives up.
            if let Ok(Ok(counts)) = time::timeout(ANSWER_TIMEOUT, counting.statuses()).await {
                receive(FleetStatus::new(uptime, listed, counts));
            }
        });
    }

    fn log_status(&self) {
        log::info!("{}", self.summary());
        for bot in self.roster.list() {
            match &bot.state {
                // The counting thread logs the ledger of every bot that is counted.
                BotState::Counting | BotState::Pattern => {}
                BotState::Failed(why) => log::info!("{}: failed: {why}", bot.key),
                state @ (BotState::Waiting | BotState::Attaching) => {
                    log::info!("{}: {}", bot.key, state.name());
                }
            }
        }
    }

    /// Pings the service manager, if the counting thread answers.
    fn notify_watchdog(&self) {
        let counting = self.counting.clone();
        tokio::spawn(async move {
            if counting.statuses().await.is_ok() {
                service::alive();
            }
        });
    }

    /// Re-reads the configuration, and reopens files.
    fn reload(&self, client: Option<oneshot::Sender<Value>>) {
        service::reloading();
        self.counting.reopen();
        let (path, tasks) = (self.path.clone(), self.tasks.clone());
        tokio::spawn(async move {
            let read = spawn_blocking(move || FleetConfig::read(&path)).await;
            let config = read.context("reading the configuration").and_then(|config| config);
            let _ = tasks.send(TaskEnd::Reloaded(Box::new(config), client));
        });
    }

    fn reloaded(&mut self, config: Result<FleetConfig>, client: Option<oneshot::Sender<Value>>) {
        match config {
            Ok(config) => {
                let is_moved = (&config.metrics, &config.control)
                    != (&self.config.metrics, &self.config.control);
                if is_moved {
                    log::warn!("[metrics] and [control] apply after a restart");
                }
                log::set_max_level(config.log_level);
                self.roster.configure(config.bots.clone(), config.stagger);
                self.config = config;
                log::info!("the configuration was re-read");
                reply(client, json!({ "ok": true }));
            }
            Err(error) => {
                log::error!("{error:#}: the configuration was not changed");
                reply(client, report::failed(&format!("{error:#}: nothing was changed")));
            }
        }
        service::ready(&self.summary());
    }
}

fn refuse(client: oneshot::Sender<Value>, error: &Error) {
    reply(Some(client), report::failed(&format!("{error:#}")));
}

fn reply(client: Option<oneshot::Sender<Value>>, answer: Value) {
    // A client that has gone needs no answer.
    client.map(|client| client.send(answer));
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits for the next tick, or forever without an interval.
async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

//! The counting thread: it owns the counters of all bots, closes their windows, and judges them. It never waits for a
//! disk, a socket or a lock; what it reports goes through a bounded queue per bot to the tasks of a tokio runtime.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, ensure};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, spawn_blocking};

pub use super::id::BotId;
pub use super::status::{BotDescription, BotStatus};
use crate::run::attach::{attach_modes, counter_config};
use crate::run::pipeline::{EndedPipeline, Pipeline};
use crate::run::sink_queue::{SinkMonitor, SinkQueue};
use crate::run::sinks::BotSinks;
use crate::settings::{BotSettings, RunMode};
use crate::sink::eve::{EndReason, EveTargets, InputName, OverflowPolicy};
use crate::source::Stop;
use crate::source::live::{AttachMode, LiveEnd, LiveEvent, LiveSet, Waker};

/// What happened to a bot, unasked. Its last window, its final record and its summary were written.
#[derive(Debug)]
pub enum CountingEvent {
    /// Its interface was removed.
    InterfaceRemoved(BotId),
    /// The kernel's counts could not be read, or libpcap could not read.
    Failed(BotId, Error),
}

/// A bot that is counted.
#[derive(Clone, Debug)]
pub struct AttachedBot {
    /// How it is attached.
    pub mode: AttachMode,
    /// The mode and the interface, as in the final record.
    pub text: String,
}

/// The end of a bot.
#[derive(Debug)]
pub(crate) struct BotEnd {
    /// Failures while counting, and then those of the sinks.
    pub(crate) failures: Vec<Error>,
}

/// A bot that is ready to be attached.
pub(crate) struct BotStart {
    pub(crate) settings: BotSettings,
    pub(crate) run_mode: RunMode,
    /// The queue of its reports.
    pub(crate) queue: SinkQueue,
    /// How much later than the points of the grid its panes end.
    pub(crate) pane_offset: Duration,
    /// Whether it is the only bot of the process, whose summary is shown.
    pub(crate) is_alone: bool,
}

/// A handle of the counting thread. Cheap to clone. Requests are answered by the counting thread.
#[derive(Clone)]
pub struct CountingHandle {
    requests: Sender<CountingRequest>,
    waker: Waker,
    targets: EveTargets,
    /// After [`CountingHandle::stop`], once all bots have ended, the number of those whose failures were logged.
    done: watch::Receiver<Option<usize>>,
}

enum CountingRequest {
    Add(BotId, Box<BotStart>, oneshot::Sender<Result<(AttachedBot, oneshot::Receiver<BotEnd>)>>),
    Remove(BotId, oneshot::Sender<Result<()>>),
    Reserve(usize),
    Statuses(oneshot::Sender<Vec<(BotStatus, Option<SinkMonitor>)>>),
    Stop,
}

/// A bot that was detached, with what is left to be written.
struct EndedBot {
    id: BotId,
    bot: CountedBot,
    pipeline: EndedPipeline,
    why: LiveEnd,
    reason: EndReason,
}

/// A bot that is counted, on the counting thread.
struct CountedBot {
    description: BotDescription,
    is_alone: bool,
    end: oneshot::Sender<BotEnd>,
    /// Answered when the bot has ended.
    removal: Option<oneshot::Sender<Result<()>>>,
}

/// Starts the counting thread, for up to `bots` at the same time. Must be called in a tokio runtime with time enabled, in whose tasks reports are written.
/// `stop` has requests to end all bots, and to log their ledgers.
///
/// # Errors
///
/// When the process is out of threads or file descriptors.
pub fn start(bots: u32, stop: Stop) -> Result<(CountingHandle, UnboundedReceiver<CountingEvent>)> {
    let (requests, received) = mpsc::channel();
    let (ended, ends) = unbounded_channel();
    let (events, unasked) = unbounded_channel();
    let (all_done, done) = watch::channel(None);
    let (started, waker) = mpsc::channel();
    let run = move || match LiveSet::new(bots, stop.clone()) {
        Ok(set) => {
            let _ = started.send(Ok(set.waker()));
            let (bots, is_stopping) = (BTreeMap::new(), false);
            CountingThread { set, stop, bots, received, ended, is_stopping }.run();
        }
        Err(error) => drop(started.send(Err(error))),
    };
    // The counters never leave this thread.
    thread::Builder::new().name("counting".into()).spawn(run).context("starting a thread")?;
    let waker = waker.recv().context("starting the counting thread")??;
    tokio::spawn(finish_bots(ends, events, all_done));
    Ok((CountingHandle { requests, waker, targets: EveTargets::default(), done }, unasked))
}

impl CountingHandle {
    /// Opens the outputs of a bot, attaches to its interface, and counts. Its panes end `pane_offset` after the points
    /// of the grid that all bots share.
    ///
    /// # Errors
    ///
    /// When a setting is out of range, an output can't be opened, or no attach mode works. Nothing was changed then.
    pub async fn add(
        &self,
        id: BotId,
        settings: BotSettings,
        pane_offset: Duration,
    ) -> Result<AttachedBot> {
        let targets = self.targets.clone();
        let opening = spawn_blocking(move || {
            attach_modes(&settings)?;
            let input = InputName::Interface(settings.input.display().to_string());
            let sinks = BotSinks::open(&settings, input, &targets, OverflowPolicy::Drop, || {})?;
            Ok::<_, Error>((settings, sinks))
        });
        let (settings, sinks) = opening.await.context("opening the outputs")??;
        let queue = SinkQueue::start(sinks);
        let run_mode = RunMode::Detect;
        let start = BotStart { settings, run_mode, queue, pane_offset, is_alone: false };
        let (attached, _end) = self.start_bot(id, start).await?;
        Ok(attached)
    }

    /// Attaches to the interface of a bot, and counts. Also returns what will have its end.
    ///
    /// # Errors
    ///
    /// When no attach mode works. Nothing was changed then.
    pub(crate) async fn start_bot(
        &self,
        id: BotId,
        start: BotStart,
    ) -> Result<(AttachedBot, oneshot::Receiver<BotEnd>)> {
        self.request(|reply| CountingRequest::Add(id, Box::new(start), reply)).await?
    }

    /// Ends a bot: its last window, its final record and its summary are written.
    ///
    /// # Errors
    ///
    /// When there is no such bot, or some of its records or artifacts are lost.
    pub async fn remove(&self, id: BotId) -> Result<()> {
        self.request(|reply| CountingRequest::Remove(id, reply)).await?
    }

    /// Returns the states of all bots, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// When the counting thread has ended.
    pub async fn statuses(&self) -> Result<Vec<BotStatus>> {
        let statuses = self.request(CountingRequest::Statuses).await?;
        let statuses = statuses.into_iter().map(|(status, monitor)| status.with_sinks(monitor));
        Ok(statuses.collect())
    }

    /// Prepares the kernel for this many bots that are about to be added. A failure is reported when they are added.
    pub fn reserve(&self, bots: usize) {
        let _ = self.requests.send(CountingRequest::Reserve(bots));
        self.waker.wake();
    }

    /// Ends all bots, as [`CountingHandle::remove`] does, and the counting thread. Returns the number of bots, of all that
    /// ended, whose failures were only logged.
    pub async fn stop(&self) -> usize {
        let _ = self.requests.send(CountingRequest::Stop);
        self.waker.wake();
        let done = self.done.clone().wait_for(Option::is_some).await.map(|failed| *failed);
        done.ok().flatten().unwrap_or(0)
    }

    /// Reopens the files of all records by their paths.
    pub fn reopen(&self) {
        self.targets.reopen();
    }

    async fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> CountingRequest,
    ) -> Result<T> {
        let (reply, replied) = oneshot::channel();
        let ended = || anyhow!("the counting thread has ended");
        self.requests.send(request(reply)).map_err(|_| ended())?;
        self.waker.wake();
        replied.await.map_err(|_| ended())
    }
}

struct CountingThread {
    set: LiveSet<Pipeline>,
    stop: Stop,
    bots: BTreeMap<BotId, CountedBot>,
    received: Receiver<CountingRequest>,
    ended: UnboundedSender<EndedBot>,
    is_stopping: bool,
}

impl CountingThread {
    fn run(mut self) {
        while !(self.is_stopping && self.bots.is_empty()) {
            match self.set.next_event() {
                Ok(LiveEvent::Woken) => self.handle_request(),
                Ok(LiveEvent::Stopped) if self.bots.is_empty() => self.is_stopping = true,
                Ok(LiveEvent::Stopped) => self.set.end_all(),
                Ok(LiveEvent::StatusRequested) => self.set.report_status(),
                Ok(LiveEvent::Ended { id, sink, why }) => self.pass_on(BotId(id), sink, why),
                Err(error) => {
                    log::error!("waiting for packets: {error}");
                    return;
                }
            }
        }
    }

    /// Handles one request, so that attaching many bots delays no window by more than one attachment.
    fn handle_request(&mut self) {
        let Ok(request) = self.received.try_recv() else { return };
        self.set.waker().wake();
        match request {
            CountingRequest::Add(id, start, reply) => {
                let _ = reply.send(self.add(id, *start));
            }
            CountingRequest::Remove(id, reply) => match self.bots.get_mut(&id) {
                Some(bot) if bot.removal.is_none() => {
                    bot.removal = Some(reply);
                    self.set.end(id.0);
                }
                Some(_) => drop(reply.send(Err(anyhow!("the bot is being removed")))),
                None => drop(reply.send(Err(anyhow!("there is no such bot")))),
            },
            CountingRequest::Reserve(bots) => {
                if let Err(error) = self.set.reserve(bots) {
                    log::debug!("preparing for {bots} bots: {error:#}");
                }
            }
            CountingRequest::Statuses(reply) => drop(reply.send(self.statuses())),
            CountingRequest::Stop => {
                self.is_stopping = true;
                self.set.end_all();
            }
        }
    }

    fn add(
        &mut self,
        id: BotId,
        start: BotStart,
    ) -> Result<(AttachedBot, oneshot::Receiver<BotEnd>)> {
        ensure!(!self.bots.contains_key(&id), "the number of the bot is in use");
        let BotStart { settings, run_mode, queue, pane_offset, is_alone } = start;
        let interface = settings.input.display().to_string();
        let (modes, config) = (attach_modes(&settings)?, counter_config(&settings, run_mode));
        let live = self.set.attach(&interface, &modes, &config);
        let live = live.with_context(|| format!("attaching to {interface}"))?;
        let (mode, text) = (live.mode(), live.to_string());
        log::info!("attached by {text}: {}", mode.effect());
        let mut pipeline = Pipeline::live(&settings, run_mode, queue);
        pipeline.set_attached(text.clone());
        self.set
            .add(id.0, live, settings.policy.step, pane_offset, pipeline)
            .with_context(|| format!("counting on {interface:?}"))?;
        let (end, ends) = oneshot::channel();
        let description = BotDescription::new(id, interface, &settings);
        self.bots.insert(id, CountedBot { description, is_alone, end, removal: None });
        Ok((AttachedBot { mode, text }, ends))
    }

    fn statuses(&self) -> Vec<(BotStatus, Option<SinkMonitor>)> {
        let statuses = self.set.states().filter_map(|state| {
            let bot = self.bots.get(&BotId(state.id))?;
            Some((BotStatus::new(&bot.description, &state), state.sink.monitor()))
        });
        statuses.collect()
    }

    /// Passes a bot that was detached to the task that finishes it.
    fn pass_on(&mut self, id: BotId, pipeline: Pipeline, why: LiveEnd) {
        let Some(bot) = self.bots.remove(&id) else { return };
        let reason = match &why {
            _ if self.stop.is_requested() => EndReason::Stopped,
            LiveEnd::InterfaceRemoved => EndReason::InterfaceGone,
            LiveEnd::Requested | LiveEnd::SinkClosed => EndReason::Stopped,
            LiveEnd::Failed(_) => EndReason::Failed,
        };
        let _ = self.ended.send(EndedBot { id, bot, pipeline: pipeline.end(), why, reason });
    }
}

/// Finishes bots that were detached, until the counting thread has ended.
async fn finish_bots(
    mut ends: UnboundedReceiver<EndedBot>,
    events: UnboundedSender<CountingEvent>,
    all_done: watch::Sender<Option<usize>>,
) {
    let mut finishing = JoinSet::new();
    let mut failed = 0;
    while let Some(ended) = ends.recv().await {
        let events = events.clone();
        finishing.spawn(async move {
            let EndedBot { id, bot, pipeline, why, reason } = ended;
            let mut failures = pipeline.finish(reason, bot.is_alone).await;
            let interface = &bot.description.interface;
            let lost = failures.iter().map(|failure| format!("{failure:#}")).collect::<Vec<_>>();
            let outcome = if lost.is_empty() { Ok(()) } else { Err(anyhow!(lost.join("; "))) };
            let event = match why {
                LiveEnd::Requested => None,
                LiveEnd::InterfaceRemoved => Some(CountingEvent::InterfaceRemoved(id)),
                LiveEnd::SinkClosed => {
                    let closed = anyhow!("the reader of standard output closed it");
                    Some(CountingEvent::Failed(id, closed))
                }
                LiveEnd::Failed(error) => {
                    let error = error.context(format!("counting on {interface:?}"));
                    if reason == EndReason::Failed {
                        failures.insert(0, anyhow!("{error:#}"));
                    }
                    Some(CountingEvent::Failed(id, error))
                }
            };
            // One answer: to the request, or unasked.
            match (bot.removal, event) {
                (Some(removal), _) => drop(removal.send(outcome)),
                (None, Some(event)) => drop(events.send(event)),
                (None, None) => {}
            }
            let Err(BotEnd { failures }) = bot.end.send(BotEnd { failures }) else { return false };
            for failure in &failures {
                log::error!("{interface}: {failure:#}");
            }
            !failures.is_empty()
        });
        while let Some(has_failed) = finishing.try_join_next() {
            failed += usize::from(has_failed.unwrap_or(true));
        }
    }
    failed += finishing.join_all().await.into_iter().filter(|has_failed| *has_failed).count();
    all_done.send_replace(Some(failed));
}

//! Hands the reports of a bot from the counting thread to the task that writes them.
//!
//! The counting thread never waits: what the bounded queue can't hold is dropped and counted, for this bot only. Writing
//! artifacts may block for as long as the disk does, so it has a thread of the runtime's pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::sinks::{BotSinks, JudgedWindow, MissedReports};
use crate::core::{Verdict, WindowReport};
use crate::sink::artifacts::{ArtifactPaths, MEMORY, SelectedPackets};
use crate::sink::eve::{Delivery, MissedWindows, OutputMonitor, RecordSelection};

/// The maximum number of queued windows.
const WINDOWS: usize = 256;
/// The time that the end of a bot waits for an artifact that is being written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The time that a window waits for the writer of the records while that makes no progress.
const WRITER_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a window that waits asks for the progress of the writer.
const WRITER_POLL_INTERVAL: Duration = Duration::from_millis(2);

enum SinkMessage {
    /// A window, with its memory in bytes, and what was dropped before it.
    Window(Box<JudgedWindow>, usize, Option<MissedReports>),
    /// The end: what was dropped since the last window, and where to return the sinks.
    End(Option<MissedReports>, oneshot::Sender<BotSinks>),
}

/// The end of the queue on the counting thread.
pub(crate) struct SinkQueue {
    messages: mpsc::Sender<SinkMessage>,
    /// The capacity that is reserved for the last message.
    end: Option<mpsc::OwnedPermit<SinkMessage>>,
    is_ending: watch::Sender<bool>,
    selection: Option<RecordSelection>,
    missed: Option<MissedReports>,
    monitor: SinkMonitor,
}

/// The numbers of records and artifacts written and dropped so far. Clones refer to the same sinks.
#[derive(Clone)]
pub(crate) struct SinkMonitor {
    output: Option<OutputMonitor>,
    counters: Arc<SinkCounters>,
}

#[derive(Default)]
struct SinkCounters {
    /// The memory of queued windows in bytes.
    queued: AtomicUsize,
    saved: AtomicU64,
    failed: AtomicU64,
    /// Artifacts and records that were dropped, of which the sinks are not informed yet.
    missed_artifacts: AtomicU64,
    missed_records: AtomicU64,
}

impl SinkMonitor {
    /// Returns the numbers of records written and lost.
    pub(crate) fn records(&self) -> Delivery {
        let missed = self.counters.missed_records.load(Ordering::Relaxed);
        let output = self.output.as_ref().map_or_else(Delivery::default, OutputMonitor::delivery);
        Delivery { lost: output.lost + missed, ..output }
    }

    /// Returns the numbers of artifacts written and lost.
    pub(crate) fn artifacts(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let SinkCounters { saved, failed, missed_artifacts, .. } = &*self.counters;
        (load(saved), load(failed) + load(missed_artifacts))
    }
}

impl SinkQueue {
    /// Starts the task that writes to `sinks`. Must be called in a tokio runtime with time enabled.
    pub(crate) fn start(mut sinks: BotSinks) -> Self {
        let selection = sinks.selection();
        let (messages, queued) = mpsc::channel(WINDOWS);
        let (is_ending, ends) = watch::channel(false);
        let output = sinks.eve.as_mut().map(|eve| eve.output().monitor());
        let monitor = SinkMonitor { output: output.clone(), counters: Arc::default() };
        let counters = Arc::clone(&monitor.counters);
        let task = SinkTask { sinks, output, stuck_at: None, ends, counters };
        let end = messages.clone().try_reserve_owned().ok();
        tokio::spawn(task.run(queued));
        Self { messages, end, is_ending, selection, missed: None, monitor }
    }

    /// Returns a handle to the numbers of records and artifacts.
    pub(crate) fn monitor(&self) -> SinkMonitor {
        self.monitor.clone()
    }

    /// Queues a window, or drops it if there is no room. Never waits.
    pub(super) fn report(&mut self, window: JudgedWindow) {
        let memory = memory(&window);
        let queued = &self.monitor.counters.queued;
        let before = queued.fetch_add(memory, Ordering::AcqRel);
        // An empty queue accepts a window of any size.
        let has_memory = before == 0 || before + memory <= MEMORY;
        if has_memory && let Ok(room) = self.messages.try_reserve() {
            let missed = self.missed.take();
            return room.send(SinkMessage::Window(Box::new(window), memory, missed));
        }
        queued.fetch_sub(memory, Ordering::AcqRel);
        self.miss(&window);
    }

    fn miss(&mut self, window: &JudgedWindow) {
        let records = self.selection.map_or(0, |selection| selection.count(&window.report));
        let artifacts = window.packets.as_ref().map_or(0, SelectedPackets::files);
        if let Some(missed) = &mut self.missed {
            missed.windows.add(&window.report);
            missed.records += records;
            missed.artifacts += artifacts;
        } else {
            log::error!("windows are dropped: their artifacts and records are written too slowly");
            let windows = MissedWindows::of(&window.report);
            self.missed = Some(MissedReports { windows, records, artifacts });
        }
        let SinkCounters { missed_records, missed_artifacts, .. } = &*self.monitor.counters;
        missed_records.fetch_add(records, Ordering::Relaxed);
        missed_artifacts.fetch_add(artifacts, Ordering::Relaxed);
    }

    /// Waits until all queued windows are written, except that an artifact is abandoned if writing it takes longer than
    /// [`CLOSE_TIMEOUT`]. Returns the sinks, or `None` if the task has panicked.
    pub(super) async fn end(self) -> Option<BotSinks> {
        let (sender, sinks) = oneshot::channel();
        self.is_ending.send_replace(true);
        self.end?.send(SinkMessage::End(self.missed, sender));
        sinks.await.ok()
    }
}

/// Writes the reports of a bot, in order.
struct SinkTask {
    sinks: BotSinks,
    /// The output of the records, and the progress of its writer when a wait for it timed out.
    output: Option<OutputMonitor>,
    stuck_at: Option<u64>,
    ends: watch::Receiver<bool>,
    counters: Arc<SinkCounters>,
}

impl SinkTask {
    async fn run(mut self, mut queued: mpsc::Receiver<SinkMessage>) {
        while let Some(message) = queued.recv().await {
            match message {
                SinkMessage::Window(window, memory, missed) => {
                    self.miss(missed);
                    self.report(*window).await;
                    self.counters.queued.fetch_sub(memory, Ordering::AcqRel);
                }
                SinkMessage::End(missed, sinks) => {
                    self.miss(missed);
                    let _ = sinks.send(self.sinks);
                    return;
                }
            }
        }
        // The bot could not be attached. Closing the outputs may block.
        let _ = spawn_blocking(move || drop(self.sinks)).await;
    }

    fn miss(&mut self, missed: Option<MissedReports>) {
        let Some(missed) = missed else { return };
        self.sinks.miss(&missed);
        self.counters.missed_records.fetch_sub(missed.records, Ordering::Relaxed);
        self.counters.missed_artifacts.fetch_sub(missed.artifacts, Ordering::Relaxed);
        self.count_artifacts();
    }

    async fn report(&mut self, window: JudgedWindow) {
        let JudgedWindow { report, packets } = window;
        let paths = match packets {
            Some(packets) if !packets.is_empty() => self.write_artifacts(packets).await,
            Some(_) | None => ArtifactPaths::default(),
        };
        self.wait_for_writer().await;
        if let Some(eve) = &mut self.sinks.eve {
            eve.report(&report, |verdict| {
                paths.path(verdict).map(|path| path.display().to_string())
            });
        }
    }

    /// Waits while the writer of the records is behind, which it is when the windows of many bots end at once. Does not
    /// wait for one that makes no progress.
    async fn wait_for_writer(&mut self) {
        let Some(output) = self.output.clone() else { return };
        let mut latest = (None, Instant::now());
        while let Some(progress) = output.progress_if_behind() {
            if latest.0 != Some(progress) {
                latest = (Some(progress), Instant::now());
            }
            if self.stuck_at == Some(progress) || *self.ends.borrow() {
                return;
            }
            if latest.1.elapsed() >= WRITER_TIMEOUT {
                self.stuck_at = Some(progress);
                return;
            }
            sleep(WRITER_POLL_INTERVAL).await;
        }
    }

    /// Writes artifacts in a thread that may block. Once the bot ends, that is given up after [`CLOSE_TIMEOUT`].
    async fn write_artifacts(&mut self, packets: SelectedPackets<Bytes>) -> ArtifactPaths {
        let files = packets.files();
        let mut paths = ArtifactPaths::default();
        match self.sinks.artifacts.take() {
            None => self.sinks.failed += files,
            Some(mut writer) => {
                let (saved, failed) = (writer.saved(), writer.failed());
                let job = spawn_blocking(move || {
                    let paths = writer.write(&packets);
                    (writer, paths)
                });
                let mut ends = self.ends.clone();
                let given_up = async {
                    let _ = ends.wait_for(|is_ending| *is_ending).await;
                    sleep(CLOSE_TIMEOUT).await;
                };
                tokio::select! {
                    Ok((writer, written)) = job => {
                        self.sinks.saved += writer.saved() - saved;
                        self.sinks.failed += writer.failed() - failed;
                        self.sinks.artifacts = Some(writer);
                        paths = written;
                    }
                    () = given_up => {
                        log::error!("saving packets: the disk does not respond");
                        self.sinks.failed += files;
                    }
                    else => self.sinks.failed += files,
                }
            }
        }
        self.count_artifacts();
        paths
    }

    fn count_artifacts(&self) {
        self.counters.saved.store(self.sinks.saved, Ordering::Relaxed);
        self.counters.failed.store(self.sinks.failed, Ordering::Relaxed);
    }
}

/// Returns the approximate memory of a window in bytes.
fn memory(window: &JudgedWindow) -> usize {
    let WindowReport { verdicts, verdict_sources, contacts, .. } = &window.report;
    let hosts = verdicts.iter().map(|verdict| match verdict {
        Verdict::Scan { hosts } => size_of_val(hosts.as_slice()),
        Verdict::Sweep { sweep, .. } => size_of_val(sweep.hosts.as_slice()),
        Verdict::Attack { .. }
        | Verdict::VerticalScan { .. }
        | Verdict::Connection { .. }
        | Verdict::Idle => 0,
    });
    let lists = size_of_val(verdicts.as_slice())
        + size_of_val(verdict_sources.as_slice())
        + size_of_val(contacts.as_slice());
    let packets = window.packets.as_ref().map_or(0, SelectedPackets::memory);
    size_of::<JudgedWindow>() + lists + hosts.sum::<usize>() + packets
}

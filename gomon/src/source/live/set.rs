//! The counters of all bots, and the one loop that serves them.
//!
//! A pane is closed in three phases: the generations of all counters whose panes end now are swapped, one wait for
//! programs in flight serves them all, and each is drained. Between two drains the loop swaps what became due
//! meanwhile, so that the drain of one bot does not lengthen the pane of another.
//!
//! All panes lie on one grid, which starts when a counter is added to an empty set. A counter that is added later
//! starts at once: its first pane is the rest of the current one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};

use super::attachment::Live;
use super::clock::MonotonicClock;
use super::config::CounterConfig;
use super::event::{LiveEnd, LiveEvent, LiveState};
use super::link::{LinkMonitor, RemovedLinks};
use super::member::Member;
use super::mode::AttachMode;
use super::object::SharedObject;
use super::packet_timer::PacketTimer;
use super::poller::{Poller, Waker};
use crate::core::{nanoseconds, seconds};
use crate::source::{PaneSink, Stop};

/// The tokens of descriptors that belong to no counter.
const LINKS: u64 = u64::MAX - 1;
const WAKER: u64 = u64::MAX - 2;
const STOP: u64 = u64::MAX - 3;
const PACKETS: u64 = u64::MAX - 4;
/// The latest time that a timer can be set to, in nanoseconds.
const LATEST: u64 = i64::MAX.unsigned_abs();

/// The counters of bots, each with the sink of its panes.
pub struct LiveSet<S> {
    members: BTreeMap<u64, Member<S>>,
    /// When each member has to be served next, in nanoseconds after the start of the clock.
    deadlines: BTreeSet<(u64, u64)>,
    /// Members that may have data to read.
    readable: VecDeque<u64>,
    /// Members whose generations were swapped, and to which no program counts any more.
    settled: VecDeque<u64>,
    /// Members without the program that sees the packets to the bot, which is attached once all members count.
    without_egress: VecDeque<u64>,
    /// Why members end, once that is requested.
    ending: BTreeMap<u64, LiveEnd>,
    /// Members whose closed pane is the last.
    last: BTreeSet<u64>,
    events: VecDeque<LiveEvent<S>>,
    /// The start of the grid.
    clock: MonotonicClock,
    /// The eBPF programs.
    object: SharedObject,
    packet_timer: PacketTimer,
    stop: Stop,
    poller: Poller,
    links: LinkMonitor,
    waker: Waker,
}

impl<S: PaneSink> LiveSet<S> {
    /// Creates an empty set for up to `counters` at the same time, and starts to watch the interfaces of this network
    /// namespace. `stop` has the requests to the run.
    ///
    /// # Errors
    ///
    /// When the process is out of file descriptors.
    pub fn new(counters: u32, stop: Stop) -> io::Result<Self> {
        let (poller, links, waker) = (Poller::new()?, LinkMonitor::start()?, Waker::new()?);
        poller.add(&links.poll_fd(), LINKS)?;
        poller.add(&waker, WAKER)?;
        stop.descriptors().try_for_each(|request| poller.arm(request, STOP))?;
        Ok(Self {
            members: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            readable: VecDeque::new(),
            settled: VecDeque::new(),
            without_egress: VecDeque::new(),
            ending: BTreeMap::new(),
            last: BTreeSet::new(),
            events: VecDeque::new(),
            clock: MonotonicClock::start(),
            // Several counters on one interface share a slot for what none of them counts.
            object: SharedObject::new(counters + counters / 2),
            packet_timer: PacketTimer::default(),
            stop,
            poller,
            links,
            waker,
        })
    }

    /// Returns a handle that makes [`LiveSet::next_event`] return [`LiveEvent::Woken`].
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Prepares the kernel for this many more counters, so that adding each does not wait for its maps.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, for lack of memory or of capabilities.
    pub fn reserve(&mut self, counters: usize) -> Result<()> {
        self.object.reserve(counters)
    }

    /// Attaches to `interface` in the first of `modes` that works, and starts to count what `config` selects. The
    /// result is to be [added](LiveSet::add).
    ///
    /// # Errors
    ///
    /// When no mode works, with the reason of each.
    pub fn attach(
        &mut self,
        interface: &str,
        modes: &[AttachMode],
        config: &CounterConfig,
    ) -> Result<Live> {
        let live = Live::attach(interface, modes, config, &self.object)?;
        if self.object.is_for_one_bot() {
            live.attach_egress();
        }
        Ok(live)
    }

    /// Adds a counter. From now on, `sink` receives a pane at every point of the grid, which are `pane` apart and
    /// `offset` after those of other counters. `id` identifies it.
    ///
    /// # Errors
    ///
    /// When `id` is in use, or the process is out of file descriptors or memory. Nothing is changed then.
    pub fn add(
        &mut self,
        id: u64,
        live: Live,
        pane: Duration,
        offset: Duration,
        sink: S,
    ) -> Result<()> {
        ensure!(id < PACKETS && !self.members.contains_key(&id), "the number {id} is in use");
        if self.members.is_empty() {
            self.clock = live.attached;
        }
        self.follow_wall_clock();
        let length = |duration| nanoseconds(duration).unsigned_abs();
        let member = Member::new(live, self.clock, length(pane), length(offset), sink)?;
        member.arm(&self.poller, id).context("polling the counter")?;
        self.members.insert(id, member);
        self.schedule(id);
        if !self.object.is_for_one_bot() {
            self.without_egress.push_back(id);
        }
        self.arm_packets().context("polling the packet buffers")
    }

    /// Ends a counter: its open pane is closed, and [`LiveEvent::Ended`] follows. Returns whether there is a counter
    /// with this number that is not ending yet.
    pub fn end(&mut self, id: u64) -> bool {
        let is_new = self.members.contains_key(&id) && !self.ending.contains_key(&id);
        self.end_for(vec![(id, LiveEnd::Requested)]);
        is_new
    }

    /// Ends all counters, as [`LiveSet::end`] does.
    pub fn end_all(&mut self) {
        self.end_for(self.members.keys().map(|id| (*id, LiveEnd::Requested)).collect());
    }

    /// Passes the ledger of each open pane to its sink.
    pub fn report_status(&mut self) {
        for member in self.members.values_mut() {
            match member.open_ledger() {
                Ok(open) => member.sink.status(&open),
                Err(error) => log::warn!("reading the counts of the open window: {error:#}"),
            }
        }
    }

    /// Returns the states of the counters.
    pub fn states(&self) -> impl Iterator<Item = LiveState<'_, S>> {
        self.members.iter().map(|(&id, member)| LiveState {
            id,
            live: &member.live,
            sink: &member.sink,
            open: member.open_ledger().ok(),
            drained_in: member.drained_in,
        })
    }

    /// Serves the counters until something happens that concerns the caller.
    ///
    /// # Errors
    ///
    /// When the kernel can't wait for the descriptors.
    pub fn next_event(&mut self) -> io::Result<LiveEvent<S>> {
        loop {
            self.serve_due();
            // One of each, so that neither delays a pane that becomes due.
            if let Some(id) = self.settled.pop_front() {
                self.drain(id);
            }
            if let Some(id) = self.readable.pop_front() {
                self.read(id);
            }
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let are_ending = !self.members.is_empty() && self.ending.len() == self.members.len();
            if self.stop.is_requested() && !are_ending {
                return Ok(LiveEvent::Stopped);
            }
            self.wait()?;
        }
    }

    /// Waits until something is to be done, and takes the events of the descriptors.
    fn wait(&mut self) -> io::Result<()> {
        let is_busy = !self.settled.is_empty() || !self.readable.is_empty();
        let is_idle = !is_busy && self.without_egress.is_empty();
        let next = self.deadlines.first().map_or(u64::MAX, |first| first.0);
        let next = self.packet_timer.due().map_or(next, |due| next.min(due));
        let due = self.clock.monotonic_at(next).min(LATEST);
        let tokens = self.poller.wait(is_idle.then_some(due))?;
        if tokens.is_empty() && !is_busy {
            self.attach_egress();
        }
        for token in tokens {
            match token {
                LINKS => self.end_removed(),
                WAKER => {
                    self.waker.take();
                    self.events.push_back(LiveEvent::Woken);
                }
                // A stop is reported above, for as long as there are members that are not ending.
                STOP if self.stop.is_requested() => {}
                STOP => {
                    if self.stop.take_status_request() {
                        self.events.push_back(LiveEvent::StatusRequested);
                    }
                    let mut requests = self.stop.descriptors();
                    requests.try_for_each(|request| self.poller.arm(request, STOP))?;
                }
                PACKETS => self.read_packets()?,
                id => self.serve(id),
            }
        }
        if self.packet_timer.due().is_some_and(|due| due <= self.clock.elapsed()) {
            self.read_packets()?;
        }
        Ok(())
    }

    /// Attaches the program that sees the packets to the bot for the next member that waits for it.
    fn attach_egress(&mut self) {
        let id = self.without_egress.pop_front();
        id.and_then(|id| self.members.get(&id)).inspect(|member| member.live.attach_egress());
    }

    /// Reads the packets that programs sent, and has each member take its own.
    fn read_packets(&mut self) -> io::Result<()> {
        self.object.read();
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            self.serve(id);
        }
        self.arm_packets()
    }

    fn arm_packets(&mut self) -> io::Result<()> {
        self.packet_timer.arm(&self.object, &self.poller, PACKETS, self.clock.elapsed())
    }

    /// Serves the members whose deadlines have passed.
    fn serve_due(&mut self) {
        let now = self.clock.elapsed();
        let mut due = Vec::new();
        while let Some(&(time, id)) = self.deadlines.first()
            && time <= now
        {
            self.deadlines.pop_first();
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.scheduled = None;
            if member.is_due() {
                due.push(id);
            } else {
                self.serve(id);
            }
        }
        self.close(due);
    }

    /// Serves a member that may have data to read.
    fn serve(&mut self, id: u64) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.is_settling() {
            self.settle(id);
        } else if member.is_open() && !member.is_queued {
            member.is_queued = true;
            member.read_soon();
            self.readable.push_back(id);
            self.schedule(id);
        }
    }

    fn read(&mut self, id: u64) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.is_queued = false;
        // Otherwise packets of the open pane would precede those of the closed one.
        if member.is_open() {
            let result = member.read();
            self.resume(id);
            if let Err(error) = result {
                self.end_for(vec![(id, LiveEnd::Failed(error))]);
            }
        }
    }

    /// Closes the open panes of members without a closed one: swaps their generations, and waits for the programs.
    fn close(&mut self, ids: Vec<u64>) {
        let mut in_kernel = VecDeque::new();
        for id in ids {
            let Some(member) = self.members.get_mut(&id).filter(|member| member.is_open()) else {
                continue;
            };
            self.last.extend(self.ending.get(&id).map(|_| id));
            match member.swap() {
                Ok(()) if member.live.counter.counts_in_kernel() => in_kernel.push_back(id),
                Ok(()) => self.schedule(id),
                Err(error) => self.remove(id, LiveEnd::Failed(error)),
            }
        }
        // One wait is for the programs of all.
        while let Some(&first) = in_kernel.front() {
            let Some(member) = self.members.get_mut(&first) else { break };
            let Err(error) = member.live.counter.wait_for_programs() else { break };
            in_kernel.pop_front();
            self.remove(first, LiveEnd::Failed(error));
        }
        for id in in_kernel {
            self.settle(id);
        }
    }

    fn settle(&mut self, id: u64) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.settle() {
            self.settled.push_back(id);
            self.schedule(id);
        } else {
            self.resume(id);
        }
    }

    fn drain(&mut self, id: u64) {
        let Some(member) = self.members.get_mut(&id) else { return };
        match member.drain() {
            Err(error) => return self.remove(id, LiveEnd::Failed(error)),
            Ok(ControlFlow::Break(())) => return self.remove(id, LiveEnd::SinkClosed),
            Ok(ControlFlow::Continue(())) => {}
        }
        if self.last.contains(&id) {
            let why = self.ending.remove(&id).unwrap_or(LiveEnd::Requested);
            return self.remove(id, why);
        }
        self.follow_wall_clock();
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.follow_wall_clock().is_break() {
            return self.remove(id, LiveEnd::SinkClosed);
        }
        if self.ending.contains_key(&id) {
            self.close(vec![id]);
        } else {
            self.resume(id);
        }
    }

    /// Waits for the next deadline of a member, and for its descriptors.
    fn resume(&mut self, id: u64) {
        self.schedule(id);
        let Some(member) = self.members.get(&id) else { return };
        if let Err(error) = member.arm(&self.poller, id) {
            self.remove(id, LiveEnd::Failed(Error::from(error).context("polling the counter")));
        }
    }

    /// Updates the deadline of a member.
    fn schedule(&mut self, id: u64) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if let Some(scheduled) = member.scheduled.take() {
            self.deadlines.remove(&(scheduled, id));
        }
        member.scheduled = member.deadline();
        self.deadlines.extend(member.scheduled.map(|deadline| (deadline, id)));
    }

    /// Ends the members whose interfaces were removed.
    fn end_removed(&mut self) {
        let removed = self.links.removed();
        let is_removed = |index| match &removed {
            RemovedLinks::Indices(indices) => indices.contains(&index),
            RemovedLinks::Unknown => !self.links.exists(index),
        };
        let members = self.members.iter().filter(|(_, member)| is_removed(member.live.index));
        self.end_for(members.map(|(id, _)| (*id, LiveEnd::InterfaceRemoved)).collect());
    }

    /// Ends members, after their open panes are drained.
    fn end_for(&mut self, ends: Vec<(u64, LiveEnd)>) {
        let mut ids = Vec::new();
        for (id, why) in ends {
            if self.members.contains_key(&id) {
                self.ending.entry(id).or_insert(why);
                ids.push(id);
            }
        }
        self.close(ids);
    }

    /// Detaches a member.
    fn remove(&mut self, id: u64, why: LiveEnd) {
        let Some(member) = self.members.remove(&id) else { return };
        if let Some(scheduled) = member.scheduled {
            self.deadlines.remove(&(scheduled, id));
        }
        self.ending.remove(&id);
        self.last.remove(&id);
        self.settled.retain(|settled| *settled != id);
        self.readable.retain(|readable| *readable != id);
        if matches!(why, LiveEnd::InterfaceRemoved) {
            log::info!("interface {} was removed", member.live.interface);
        }
        self.events.push_back(LiveEvent::Ended { id, sink: member.sink, why });
    }

    /// Logs when the wall clock was set. Each member follows it between two of its panes.
    fn follow_wall_clock(&mut self) {
        if let Some(by) = self.clock.follow_wall_clock() {
            log::warn!(
                "the wall clock was set: it is {:.1} s {} the time of the windows, which follow it from now on",
                seconds(by).abs(),
                if by < 0 { "behind" } else { "ahead of" }
            );
        }
    }
}

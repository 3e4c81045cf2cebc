//! Counting in the kernel: eBPF programs update maps, which are drained at the end of each pane.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aya::Ebpf;
use aya::maps::{Array, MapData};
use aya::util::nr_cpus;
use aya_log::EbpfLogger;
use gomon_common::kernel::{GENERATIONS, names};
use log::{LevelFilter, Log};

use super::clock::MonotonicClock;
use super::config::CounterConfig;
use super::count_maps::CountMaps;
use super::flow_cache;
use super::object::{self, take_map, take_untyped_map};
use super::packets::PacketBuffers;
use crate::core::{Ledger, Sources, Span, WindowCounts};
use crate::source::PaneSink;

/// How often the log messages of the programs are read.
const LOG_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A [`CurrentGeneration`](gomon_common::kernel::CurrentGeneration).
type CurrentValue = [u64; 3];

/// Counts with eBPF programs.
pub struct KernelCounter {
    ebpf: Ebpf,
    current: Array<MapData, CurrentValue>,
    maps: CountMaps,
    /// The generation that the programs update.
    generation: u32,
    /// The end of each generation's pane, in nanoseconds on the monotonic clock.
    pane_ends: [u64; GENERATIONS as usize],
    /// Whether a program at TC egress sees the replies to the bot.
    sees_replies: bool,
    packets: Option<PacketBuffers>,
    /// The log of the programs, if debug messages are on.
    logger: Option<EbpfLogger<&'static dyn Log>>,
}

impl KernelCounter {
    /// Creates the maps and configures what the programs count. The programs are not loaded yet.
    ///
    /// # Errors
    ///
    /// When the kernel rejects a map, with the reason.
    pub fn new(config: &CounterConfig) -> Result<Self> {
        let cpus = nr_cpus().map_err(|(what, error)| anyhow!("reading {what}: {error}"))?;
        // Artifacts need every packet to reach the endpoint map, and so does recording the sources.
        let needs_every_packet =
            *config.filter.sources() == Sources::Any || config.packets_per_host > 0;
        let flow_cache_parts =
            flow_cache::number_of_parts(config.capacity, cpus, needs_every_packet);
        let debug_log = log::max_level() >= LevelFilter::Debug;
        let mut ebpf = object::load(config, flow_cache_parts, debug_log)?;
        let packets = match config.packets_per_host {
            0 => None,
            _ => Some(PacketBuffers::open(take_untyped_map(&mut ebpf, names::PACKETS)?)?),
        };
        let logger = debug_log.then(|| EbpfLogger::init(&mut ebpf)).transpose()?;
        Ok(Self {
            current: take_map(&mut ebpf, names::CURRENT)?,
            maps: CountMaps::new(&mut ebpf, config, flow_cache_parts, cpus)?,
            generation: 0,
            pane_ends: [0; GENERATIONS as usize],
            sees_replies: false,
            packets,
            logger,
            ebpf,
        })
    }

    /// Returns the object, which has the programs.
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Records that the program at TC egress is attached, so that replies to the bot are seen.
    pub(super) fn set_sees_replies(&mut self) {
        self.sees_replies = true;
    }

    /// Returns the descriptors to poll: one is readable when [`KernelCounter::read`] has to be called.
    pub(super) fn poll_fds(&self) -> Vec<BorrowedFd<'_>> {
        self.packets.as_ref().map_or_else(Vec::new, PacketBuffers::poll_fds)
    }

    /// Returns the interval at which to call [`KernelCounter::read`] even if no descriptor is readable.
    pub(super) fn poll_interval(&self) -> Option<Duration> {
        let log_interval = self.logger.as_ref().map(|_| LOG_POLL_INTERVAL);
        self.packets.as_ref().and_then(PacketBuffers::poll_interval).or(log_interval)
    }

    /// Sets the end of the first pane, in nanoseconds on the monotonic clock.
    pub(super) fn start_first_pane(&mut self, end: u64) -> Result<()> {
        self.pane_ends[self.generation as usize] = end;
        self.publish()
    }

    /// Passes the packets received so far to `sink`, and logs the messages of the programs.
    pub(super) fn read(&mut self, clock: &MonotonicClock, sink: &mut impl PaneSink) {
        if let Some(packets) = &mut self.packets {
            packets.read(self.generation, clock, sink);
        }
        self.flush_log();
    }

    /// Shifts the times of buffered packets and of contacts with pending replies by this many nanoseconds.
    pub(super) fn shift_times(&mut self, by: i64) {
        if let Some(packets) = &mut self.packets {
            packets.shift_times(by);
        }
        self.maps.shift_times(by);
    }

    fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Returns the ledger of the open pane so far.
    pub(super) fn open_ledger(&self) -> Result<Ledger> {
        self.maps.ledger(self.generation)
    }

    /// Closes the open pane and opens the next, which ends at `next_end`, in nanoseconds on the monotonic clock.
    /// Programs that are running may still count in the closed pane: [`KernelCounter::wait_for_programs`] must
    /// return before [`KernelCounter::drain`] is called.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to update a map.
    pub fn swap(&mut self, next_end: u64) -> Result<()> {
        self.generation = (self.generation + 1) % GENERATIONS;
        self.pane_ends[self.generation as usize] = next_end;
        self.publish()
    }

    /// Waits until no program counts in a pane that was closed before this call, of this counter or of any other:
    /// the RCU grace period covers every program of the machine.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to update a map, for lack of memory.
    pub fn wait_for_programs(&mut self) -> Result<()> {
        self.maps
            .wait_for_programs(self.generation)
            .context("waiting for the programs to leave the old generation")
    }

    /// Returns the counts of the closed pane, which covers `span`, and clears its maps. Passes the remaining packets
    /// of the pane to `sink`. Packets of the open pane stay buffered.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to read or update a map, for lack of memory.
    pub fn drain(
        &mut self,
        span: Span,
        clock: &MonotonicClock,
        sink: &mut impl PaneSink,
    ) -> Result<WindowCounts> {
        let closed = (self.generation + 1) % GENERATIONS;
        if let Some(packets) = &mut self.packets {
            packets.finish(closed, clock, sink);
        }
        let (counts, packets_lost) =
            self.maps.drain(closed, span, self.sees_replies, clock).context("draining the maps")?;
        self.maps.clear(closed, &counts).context("clearing the maps")?;
        self.flush_log();
        if packets_lost > 0 {
            sink.packets_lost(packets_lost);
        }
        Ok(counts)
    }

    /// Publishes the current generation and the ends of the panes to the programs.
    fn publish(&mut self) -> Result<()> {
        let [first, second] = self.pane_ends;
        self.current
            .set(0, [self.generation.into(), first, second], 0)
            .context("setting the current generation")
    }
}

//! Packets for artifacts, received from the eBPF programs.
//!
//! Each CPU has a perf buffer. A packet stays there until the pane ends, or until one of the buffers
//! reaches its watermark, which wakes the reader. The reader then drains all buffers, sorts the packets
//! by time, and polls every [`DRAIN_INTERVAL`] while packets arrive at that rate. A wake-up interrupts
//! the CPU, so there is one for many packets, and none for an idle bot.
#![expect(unsafe_code, reason = "perf buffers expose only raw file descriptors")]

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aya::maps::{Array, Map, MapData};
use aya::util::online_cpus;
use gomon_common::LinkType;
use gomon_common::bot::cell;
use gomon_common::kernel::{GENERATIONS, PacketRecord};
use hashbrown::HashMap;
use perf_event::events::Software;
use perf_event::{Builder, SampleFlag, Sampler};

use super::clock::{MonotonicClock, monotonic_now};
use super::reorder::ReorderQueue;
use crate::core::Timestamp;
use crate::frame::{Frame, FrameLink, RemoteHost, RemoteHosts};
use crate::source::PaneSink;

/// The interval between reads of busy buffers, so that a flood does not wake the reader at every watermark.
const DRAIN_INTERVAL: Duration = Duration::from_millis(10);
/// The watermark is this fraction of the buffer. The rest has room for the packets that arrive until it
/// is read.
const WATERMARK_DIVISOR: usize = 4;
/// The size of all buffers together in bytes, unless [`MIN_BUFFER`] requires more.
const TOTAL_BUFFER: usize = 8 << 20;
/// The minimum size of a buffer in bytes. The longest packet takes 64 KiB.
const MIN_BUFFER: usize = 128 << 10;
/// The maximum size of a buffer in bytes.
const MAX_BUFFER: usize = 2 << 20;
/// How long a packet is held back in case another CPU has an older one, in nanoseconds.
const REORDER_DELAY: u64 = 1_000_000;
/// `PERF_RECORD_SAMPLE`: a record from the program, with a four-byte length in front.
const PERF_RECORD_SAMPLE: u32 = 9;
/// The offset of VLAN tags in an Ethernet frame.
const VLAN_OFFSET: usize = 12;

/// The perf buffers, and the packets of each bot and generation that were read but not passed on yet.
pub(super) struct PacketBuffers {
    buffers: Vec<Sampler>,
    descriptors: Rc<[OwnedFd]>,
    /// The number of bytes in a buffer that wakes the reader.
    watermark: usize,
    /// Whether to poll every [`DRAIN_INTERVAL`] instead of waiting for readiness.
    is_polling: bool,
    /// By cell.
    waiting: HashMap<u32, WaitingPackets>,
    /// The kernel releases the buffers when this is closed.
    _map: Array<MapData, u32>,
}

/// The packets of a generation of a bot that were read but not passed on yet.
struct WaitingPackets {
    queue: ReorderQueue,
    /// The clock of the bot's panes.
    clock: MonotonicClock,
}

impl PacketBuffers {
    /// Creates the buffers of a perf event array.
    pub(super) fn open(map: Map) -> Result<Self> {
        let Map::PerfEventArray(map) = map else { return Err(anyhow!("not a perf event array")) };
        // The kernel treats the map as an array of file descriptors. Opening the buffers here avoids
        // aya's, which wake the reader, and interrupt the CPU, for each sample.
        let mut map: Array<_, u32> = Map::Array(map).try_into()?;
        let cpus = online_cpus().map_err(|(what, error)| anyhow!("reading {what}: {error}"))?;
        let size = (TOTAL_BUFFER / cpus.len().max(1)).clamp(MIN_BUFFER, MAX_BUFFER);
        let watermark = size / WATERMARK_DIVISOR;
        let mut buffers = Vec::new();
        for cpu in cpus {
            let buffer = open_buffer(cpu, size, watermark).with_context(|| format!("CPU {cpu}"))?;
            map.set(cpu, buffer.as_raw_fd().unsigned_abs(), 0)?;
            buffers.push(buffer);
        }
        let descriptors = buffers.iter().map(descriptor).collect::<Result<_, _>>()?;
        let waiting = HashMap::new();
        Ok(Self { buffers, descriptors, watermark, is_polling: false, waiting, _map: map })
    }

    /// Returns the descriptors of the buffers, which are readable above the watermark. They need not be polled
    /// while [`PacketBuffers::poll_interval`] returns an interval; the kernel remembers a watermark that is reached
    /// meanwhile.
    pub(super) fn descriptors(&self) -> Rc<[OwnedFd]> {
        Rc::clone(&self.descriptors)
    }

    /// Returns the interval at which to read the buffers, if they are polled.
    pub(super) fn poll_interval(&self) -> Option<Duration> {
        self.is_polling.then_some(DRAIN_INTERVAL)
    }

    /// Starts to receive the packets of a bot.
    pub(super) fn add_bot(&mut self, slot: u32, clock: MonotonicClock) {
        for generation in 0..GENERATIONS {
            let waiting = WaitingPackets { queue: ReorderQueue::default(), clock };
            self.waiting.insert(cell(slot, generation), waiting);
        }
    }

    /// Discards the packets of a bot from now on.
    pub(super) fn remove_bot(&mut self, slot: u32) {
        for generation in 0..GENERATIONS {
            self.waiting.remove(&cell(slot, generation));
        }
    }

    /// Drains the buffers because one is readable, or because they are polled.
    pub(super) fn read(&mut self) {
        let max_held = self.drain();
        // After a wake-up the buffers are polled at least once. So a buffer that is always readable
        // without data, as one of an offline CPU may be, costs no more than the polling.
        self.is_polling = !self.is_polling || max_held >= self.watermark;
    }

    /// Drains the buffers. Returns the number of bytes in the fullest one.
    pub(super) fn drain(&mut self) -> usize {
        let mut max_held = 0;
        for buffer in &mut self.buffers {
            let mut held = 0;
            while let Some(record) = buffer.next_record() {
                held += record.len();
                // Other records are `PERF_RECORD_LOST`, which the program counts too.
                if record.ty() == PERF_RECORD_SAMPLE
                    && let Some((_size, sample)) = record.to_contiguous().split_first_chunk::<4>()
                    && let Some((packet, data)) = PacketRecord::split(sample)
                    && let Some(waiting) = self.waiting.get_mut(&packet.cell())
                {
                    let frame = Frame {
                        time: Some(waiting.clock.wall_time(packet.time())),
                        link: FrameLink::Known(LinkType::Ethernet),
                        length: packet.length(),
                        data: &with_vlan_tag(&packet, data),
                    };
                    let host = RemoteHost { address: packet.host(), is_listed: true };
                    waiting.queue.push(RemoteHosts::one(host), &frame);
                }
            }
            max_held = max_held.max(held);
        }
        max_held
    }

    /// Passes packets of an open pane to `sink`, but not the latest, because an older one may be in the buffer of
    /// another CPU.
    pub(super) fn release(&mut self, cell: u32, sink: &mut impl PaneSink) {
        let Some(waiting) = self.waiting.get_mut(&cell) else { return };
        let until = waiting.clock.wall_time(monotonic_now().saturating_sub(REORDER_DELAY));
        waiting.queue.release(until, sink);
    }

    /// Passes the remaining packets of a closed pane to `sink`, once the buffers are drained.
    pub(super) fn finish(&mut self, cell: u32, sink: &mut impl PaneSink) {
        if let Some(waiting) = self.waiting.get_mut(&cell) {
            waiting.queue.release(Timestamp::from_nanoseconds(i64::MAX), sink);
        }
    }

    /// Shifts the times of the packets of a bot by this many nanoseconds, and those of the packets held back.
    pub(super) fn shift_times(&mut self, slot: u32, by: i64) {
        for generation in 0..GENERATIONS {
            if let Some(waiting) = self.waiting.get_mut(&cell(slot, generation)) {
                waiting.clock.shift(by);
                waiting.queue.clock_set(by);
            }
        }
    }
}

/// Opens the buffer of a CPU, which is readable when it holds `watermark` bytes.
fn open_buffer(cpu: u32, bytes: usize, watermark: usize) -> Result<Sampler> {
    let mut builder = Builder::new(Software::BPF_OUTPUT);
    builder.any_pid().one_cpu(usize::try_from(cpu)?).enabled(true);
    builder.sample(SampleFlag::RAW).sample_period(1).wakeup_watermark(watermark);
    let counter = builder.build().context("opening a perf buffer")?;
    counter.sampled(bytes).context("mapping a perf buffer")
}

/// Duplicates the descriptor of a buffer.
fn descriptor(buffer: &Sampler) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is open for as long as its buffer lives, which is borrowed here.
    unsafe { BorrowedFd::borrow_raw(buffer.as_raw_fd()) }.try_clone_to_owned()
}

/// Restores the frame as it was on the wire, with the VLAN tag that the kernel moved into the skb.
fn with_vlan_tag<'a>(packet: &PacketRecord, frame: &'a [u8]) -> Cow<'a, [u8]> {
    match (packet.tag(), frame.split_at_checked(VLAN_OFFSET)) {
        (Some(tag), Some((addresses, rest))) => [addresses, &tag, rest].concat().into(),
        _ => frame.into(),
    }
}

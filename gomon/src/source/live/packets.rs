//! Packets for artifacts, as the kernel program sends them up.
//!
//! Each processor has a perf buffer of its own. A packet lies there until the pane ends, or until one of
//! the buffers has filled up by its watermark: that wakes the reader, which then reads all of them, puts
//! what they hold into the order of time, and looks again after a [`TICK`] for as long as packets keep
//! coming that fast. A wake-up interrupts the processor, so there is one for many packets; and an idle
//! bot costs none.
#![expect(unsafe_code, reason = "perf buffers lend out their file descriptors as numbers alone")]

use std::borrow::Cow;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aya::maps::{Array, Map, MapData};
use aya::util::online_cpus;
use gomon_common::LinkType;
use gomon_common::kernel::{GENERATIONS, PacketRecord};
use perf_event::events::Software;
use perf_event::{Builder, SampleFlag, Sampler};

use super::clock::{MonotonicClock, monotonic};
use super::reorder::ReorderQueue;
use crate::core::Timestamp;
use crate::frame::{Frame, FrameLink, RemoteHost, RemoteHosts};
use crate::source::PaneSink;

/// How long the buffers are left alone after they were read, so that a flood does not wake the reader
/// each time a watermark is passed.
const TICK: Duration = Duration::from_millis(10);
/// The part of a buffer that is its watermark: what is left has to take what comes until it is read.
const WATERMARK: usize = 4;
/// Bytes of all buffers together, as far as [`SMALLEST`] allows.
const MEMORY: usize = 8 << 20;
/// Bytes of one buffer, at least and at most; the longest packet takes 64 KiB.
const SMALLEST: usize = 128 << 10;
const LARGEST: usize = 2 << 20;
/// How long a packet waits for one of another processor that is older, in nanoseconds.
const REORDER_DELAY: u64 = 1_000_000;
/// `PERF_RECORD_SAMPLE`: a record of the program's own, its length in four bytes in front.
const SAMPLE: u32 = 9;
/// Where VLAN tags stand in an Ethernet frame.
const TAGS: usize = 12;

/// The buffers, and for each generation what was read from them too early.
pub(super) struct Packets {
    buffers: Vec<Sampler>,
    /// Bytes in a buffer that wake the reader.
    watermark: usize,
    /// Whether to look again after a [`TICK`] instead of waiting to be woken.
    flows: bool,
    waiting: [ReorderQueue; GENERATIONS as usize],
    /// The kernel lets go of the buffers when this is closed.
    _map: Array<MapData, u32>,
}

impl Packets {
    /// Makes the buffers of `map`.
    pub(super) fn open(map: Map) -> Result<Self> {
        let Map::PerfEventArray(map) = map else { return Err(anyhow!("not a perf event array")) };
        // To the kernel it is an array of descriptors, and only that lets the buffers be opened here:
        // with none of the library's wake-ups, each of which interrupts the processor.
        let mut map: Array<_, u32> = Map::Array(map).try_into()?;
        let cpus = online_cpus().map_err(|(what, error)| anyhow!("reading {what}: {error}"))?;
        let size = (MEMORY / cpus.len().max(1)).clamp(SMALLEST, LARGEST);
        let watermark = size / WATERMARK;
        let mut buffers = Vec::new();
        for cpu in cpus {
            let buffer =
                buffer(cpu, size, watermark).with_context(|| format!("processor {cpu}"))?;
            map.set(cpu, buffer.as_raw_fd().unsigned_abs(), 0)?;
            buffers.push(buffer);
        }
        let waiting = Default::default();
        Ok(Self { buffers, watermark, flows: false, waiting, _map: map })
    }

    /// What becomes readable when a buffer has filled up by its watermark; nothing while the buffers are
    /// looked into on a timer. The kernel remembers a watermark that is passed meanwhile.
    pub(super) fn wakes(&self) -> Vec<BorrowedFd<'_>> {
        let buffers = self.buffers.iter().filter(|_| !self.flows);
        // SAFETY: the descriptor is open for as long as its buffer lives, which is borrowed here.
        buffers.map(|buffer| unsafe { BorrowedFd::borrow_raw(buffer.as_raw_fd()) }).collect()
    }

    /// How long to wait for the next look, if none is waited for.
    pub(super) fn tick(&self) -> Option<Duration> {
        self.flows.then_some(TICK)
    }

    /// Hands on the packets of a pane that is open.
    pub(super) fn read(
        &mut self,
        generation: u32,
        clock: &MonotonicClock,
        receiver: &mut impl PaneSink,
    ) {
        let until = clock.time(monotonic().saturating_sub(REORDER_DELAY));
        let most = self.hand_on(generation, until, clock, receiver);
        // After being woken it looks a second time in any case, so that a buffer that only ever claims
        // to be readable, as that of a processor that is switched off may, costs no more than that.
        self.flows = !self.flows || most >= self.watermark;
    }

    /// Hands on what is left of a pane that is over.
    pub(super) fn finish(
        &mut self,
        generation: u32,
        clock: &MonotonicClock,
        receiver: &mut impl PaneSink,
    ) {
        self.hand_on(generation, Timestamp::from_nanoseconds(i64::MAX), clock, receiver);
    }

    /// Moves the times of packets that wait by so many nanoseconds.
    pub(super) fn clock_set(&mut self, by: i64) {
        self.waiting.iter_mut().for_each(|waiting| waiting.clock_set(by));
    }

    /// Empties the buffers, hands on what is from before `until`, and says how many bytes the fullest of
    /// them held.
    fn hand_on(
        &mut self,
        generation: u32,
        until: Timestamp,
        clock: &MonotonicClock,
        receiver: &mut impl PaneSink,
    ) -> usize {
        let mut most = 0;
        for buffer in &mut self.buffers {
            let mut held = 0;
            while let Some(record) = buffer.next_record() {
                held += record.len();
                // The kernel counts those it has no room for, by itself and for the program.
                if record.ty() == SAMPLE
                    && let Some((_size, sample)) = record.to_contiguous().split_first_chunk::<4>()
                    && let Some((saved, data)) = PacketRecord::split(sample)
                    && let Some(waiting) = self.waiting.get_mut(saved.generation() as usize)
                {
                    let frame = Frame {
                        time: Some(clock.time(saved.time())),
                        link: FrameLink::Known(LinkType::Ethernet),
                        length: saved.length(),
                        data: &whole(&saved, data),
                    };
                    let host = RemoteHost { address: saved.host(), is_listed: true };
                    waiting.push(RemoteHosts::one(host), &frame);
                }
            }
            most = most.max(held);
        }
        self.waiting[generation as usize].release(until, receiver);
        most
    }
}

/// The buffer of one processor, and how much has to come into it before it becomes readable.
fn buffer(cpu: u32, bytes: usize, watermark: usize) -> Result<Sampler> {
    let mut builder = Builder::new(Software::BPF_OUTPUT);
    builder.any_pid().one_cpu(usize::try_from(cpu)?).enabled(true);
    builder.sample(SampleFlag::RAW).sample_period(1).wakeup_watermark(watermark);
    let counter = builder.build().context("opening a perf buffer")?;
    counter.sampled(bytes).context("mapping a perf buffer")
}

/// A frame as it was on the wire: with the tag that the kernel took out of it.
fn whole<'a>(saved: &PacketRecord, frame: &'a [u8]) -> Cow<'a, [u8]> {
    match (saved.tag(), frame.split_at_checked(TAGS)) {
        (Some(tag), Some((addresses, rest))) => [addresses, &tag, rest].concat().into(),
        _ => frame.into(),
    }
}

//! Packets for artifacts, as the kernel program sends them up.
//!
//! Each processor has a perf buffer of its own. Nobody is woken for a packet: the buffers are looked
//! into once a [`TICK`], and what they hold is put into the order of time.

use std::borrow::Cow;
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aya::maps::{Array, Map, MapData};
use aya::util::online_cpus;
use gomon_common::LinkType;
use gomon_common::kernel::{GENERATIONS, Saved};
use perf_event::events::Software;
use perf_event::{Builder, SampleFlag, Sampler};

use super::clock::{Clock, monotonic};
use super::order::Waiting;
use crate::core::Timestamp;
use crate::frame::{Frame, FrameLink};
use crate::source::Receiver;

/// How often the buffers are looked into.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// Bytes of all buffers together, as far as [`SMALLEST`] allows.
const MEMORY: usize = 8 << 20;
/// Bytes of one buffer, at least and at most; the longest packet takes 64 KiB.
const SMALLEST: usize = 128 << 10;
const LARGEST: usize = 2 << 20;
/// How long a packet waits for one of another processor that is older, in nanoseconds.
const HOLD: u64 = 1_000_000;
/// `PERF_RECORD_SAMPLE`: a record of the program's own, its length in four bytes in front.
const SAMPLE: u32 = 9;
/// Where VLAN tags stand in an Ethernet frame.
const TAGS: usize = 12;

/// The buffers, and for each generation what was read from them too early.
pub(super) struct Packets {
    buffers: Vec<Sampler>,
    waiting: [Waiting; GENERATIONS as usize],
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
        let mut buffers = Vec::new();
        for cpu in cpus {
            let buffer = buffer(cpu, size).with_context(|| format!("processor {cpu}"))?;
            map.set(cpu, buffer.as_raw_fd().unsigned_abs(), 0)?;
            buffers.push(buffer);
        }
        Ok(Self { buffers, waiting: Default::default(), _map: map })
    }

    /// Hands on the packets of a pane that is open.
    pub(super) fn read(&mut self, generation: u32, clock: &Clock, receiver: &mut impl Receiver) {
        let until = clock.time(monotonic().saturating_sub(HOLD));
        self.hand_on(generation, until, clock, receiver);
    }

    /// Hands on what is left of a pane that is over.
    pub(super) fn finish(&mut self, generation: u32, clock: &Clock, receiver: &mut impl Receiver) {
        self.hand_on(generation, Timestamp::from_nanoseconds(i64::MAX), clock, receiver);
    }

    /// Moves the times of packets that wait by so many nanoseconds.
    pub(super) fn clock_set(&mut self, by: i64) {
        self.waiting.iter_mut().for_each(|waiting| waiting.clock_set(by));
    }

    fn hand_on(
        &mut self,
        generation: u32,
        until: Timestamp,
        clock: &Clock,
        receiver: &mut impl Receiver,
    ) {
        for buffer in &mut self.buffers {
            while let Some(record) = buffer.next_record() {
                // The kernel counts those it has no room for, by itself and for the program.
                if record.ty() == SAMPLE
                    && let Some((_size, sample)) = record.to_contiguous().split_first_chunk::<4>()
                    && let Some((saved, data)) = Saved::split(sample)
                    && let Some(waiting) = self.waiting.get_mut(saved.generation() as usize)
                {
                    let frame = Frame {
                        time: Some(clock.time(saved.time())),
                        link: FrameLink::Known(LinkType::Ethernet),
                        length: saved.length(),
                        data: &whole(&saved, data),
                    };
                    waiting.push([Some((saved.host(), true)), None], &frame);
                }
            }
        }
        self.waiting[generation as usize].hand_on(until, receiver);
    }
}

/// The buffer of one processor.
fn buffer(cpu: u32, bytes: usize) -> Result<Sampler> {
    let mut builder = Builder::new(Software::BPF_OUTPUT);
    builder.any_pid().one_cpu(usize::try_from(cpu)?).enabled(true);
    builder.sample(SampleFlag::RAW).sample_period(1).wakeup_watermark(bytes);
    let counter = builder.build().context("opening a perf buffer")?;
    counter.sampled(bytes).context("mapping a perf buffer")
}

/// A frame as it was on the wire: with the tag that the kernel took out of it.
fn whole<'a>(saved: &Saved, frame: &'a [u8]) -> Cow<'a, [u8]> {
    match (saved.tag(), frame.split_at_checked(TAGS)) {
        (Some(tag), Some((addresses, rest))) => [addresses, &tag, rest].concat().into(),
        _ => frame.into(),
    }
}

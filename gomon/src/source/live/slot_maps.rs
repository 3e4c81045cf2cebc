//! The BPF maps of one slot, and how they get into the maps of maps.
//!
//! Each update of a map of maps waits for an RCU grace period, 4 to 10 ms. So the updates of several maps
//! are made by threads, which wait at the same time.

use std::os::fd::AsFd;
use std::thread;

use anyhow::{Context, Result, anyhow};
use aya::Ebpf;
use aya::maps::{Array, ArrayOfMaps, InnerMap, Map, MapData, MapError, PerCpuArray};
use gomon_common::bot::cell;
use gomon_common::kernel::{GENERATIONS, SENDER_SAMPLES, names};
use gomon_common::{bloom, hyperloglog};

use super::hash_map::BatchHashMap;
use super::values::{EndpointValue, HostValue};

pub(super) type EndpointMap = BatchHashMap<[u8; 24], EndpointValue>;
pub(super) type HostMap = BatchHashMap<[u8; 16], HostValue>;
pub(super) type PendingMap = BatchHashMap<[u8; 24], u64>;
pub(super) type BloomPart = [u8; bloom::PART_SLOTS];
pub(super) type Registers = [u8; hyperloglog::REGISTERS];
pub(super) type Samples = [[u8; 16]; SENDER_SAMPLES];

/// `BPF_F_INNER_MAP` (`linux/bpf.h`, Linux 5.10): array maps in a map of maps may have different sizes.
const INNER_MAP: u32 = 1 << 12;
/// The number of slots whose maps a thread inserts.
const SLOTS_PER_THREAD: usize = 8;

/// The maps of a slot. The maps of maps refer to them.
pub(super) struct SlotMaps {
    pub(super) slot: u32,
    pub(super) endpoints: [EndpointMap; GENERATIONS as usize],
    pub(super) hosts: [HostMap; GENERATIONS as usize],
    pub(super) pending_replies: PendingMap,
    pub(super) bloom: Array<MapData, BloomPart>,
    pub(super) registers: Array<MapData, Registers>,
    pub(super) senders: PerCpuArray<MapData, Samples>,
}

impl SlotMaps {
    /// Returns the capacity of the hash maps.
    pub(super) fn capacity(&self) -> u32 {
        self.pending_replies.capacity()
    }

    /// Returns the entries of a generation that no program updates. If no packet was counted there are none.
    pub(super) fn entries(&self, generation: u32, is_counted: bool) -> Result<SlotEntries> {
        if !is_counted {
            return Ok(SlotEntries { endpoints: Vec::new(), hosts: Vec::new() });
        }
        Ok(SlotEntries {
            endpoints: self.endpoints[generation as usize].entries()?,
            hosts: self.hosts[generation as usize].entries()?,
        })
    }

    /// Clears a generation whose entries were returned. `has_unlisted` says whether it has unlisted hosts.
    pub(super) fn clear(
        &mut self,
        generation: u32,
        entries: &SlotEntries,
        has_unlisted: bool,
    ) -> Result<()> {
        self.endpoints[generation as usize].delete(&entries.endpoints)?;
        self.hosts[generation as usize].delete(&entries.hosts)?;
        if !entries.hosts.is_empty() {
            let parts = self.bloom.len() / GENERATIONS;
            for part in generation * parts..(generation + 1) * parts {
                self.bloom.set(part, [0; bloom::PART_SLOTS], 0)?;
            }
        }
        if has_unlisted {
            self.registers.set(generation, [0; hyperloglog::REGISTERS], 0)?;
        }
        Ok(())
    }

    /// Removes all pending replies.
    pub(super) fn clear_pending_replies(&mut self) -> Result<()> {
        let pending = self.pending_replies.entries()?;
        Ok(self.pending_replies.delete(&pending)?)
    }

    fn create(slot: u32, capacity: u32) -> Result<Self, MapError> {
        let endpoints = || EndpointMap::create("endpoints", capacity);
        let hosts = || HostMap::create("hosts", capacity);
        Ok(Self {
            slot,
            endpoints: [endpoints()?, endpoints()?],
            hosts: [hosts()?, hosts()?],
            pending_replies: PendingMap::create("pending_replies", capacity)?,
            bloom: Array::create(GENERATIONS * bloom::parts(capacity), INNER_MAP)?,
            registers: Array::create(GENERATIONS, 0)?,
            senders: PerCpuArray::create(GENERATIONS, 0)?,
        })
    }
}

/// The entries of the maps of endpoints and hosts of a closed generation.
pub(super) struct SlotEntries {
    pub(super) endpoints: Vec<([u8; 24], EndpointValue)>,
    pub(super) hosts: Vec<([u8; 16], HostValue)>,
}

/// The maps of maps.
pub(super) struct OuterMaps {
    endpoints: Map,
    hosts: Map,
    pending_replies: Map,
    bloom: Map,
    registers: Map,
    senders: Map,
}

/// The entries of a slot in the maps of maps.
#[derive(Clone, Copy)]
enum Inner {
    Endpoints(u32),
    Hosts(u32),
    PendingReplies,
    Bloom,
    Registers,
    Senders,
}

impl Inner {
    const ALL: [Self; 8] = [
        Self::Endpoints(0),
        Self::Endpoints(1),
        Self::Hosts(0),
        Self::Hosts(1),
        Self::PendingReplies,
        Self::Bloom,
        Self::Registers,
        Self::Senders,
    ];
}

impl OuterMaps {
    /// Takes the maps out of the object.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self> {
        let mut take =
            |name| ebpf.take_map(name).ok_or_else(|| anyhow!("the object has no map {name}"));
        Ok(Self {
            endpoints: take(names::ENDPOINTS)?,
            hosts: take(names::HOSTS)?,
            pending_replies: take(names::PENDING_REPLIES)?,
            bloom: take(names::BLOOM_FILTER)?,
            registers: take(names::HLL_REGISTERS)?,
            senders: take(names::SENDERS)?,
        })
    }

    /// Creates the maps of `slots`, with hash maps of this capacity.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, for lack of memory.
    pub(super) fn provide(&self, slots: &[u32], capacity: u32) -> Result<Vec<SlotMaps>> {
        let maps: Vec<_> = slots
            .iter()
            .map(|slot| SlotMaps::create(*slot, capacity))
            .collect::<Result<_, _>>()
            .context("creating the maps of a bot")?;
        let chunks = || maps.chunks(SLOTS_PER_THREAD);
        thread::scope(|scope| {
            let threads: Vec<_> = chunks()
                .flat_map(|chunk| Inner::ALL.map(|inner| (chunk, inner)))
                .map(|(chunk, inner)| scope.spawn(move || self.insert(inner, chunk)))
                .collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|_| Err(anyhow!("a thread failed")))
            })
        })
        .context("inserting the maps of a bot")?;
        Ok(maps)
    }

    fn insert(&self, inner: Inner, slots: &[SlotMaps]) -> Result<()> {
        match inner {
            Inner::Endpoints(generation) => set_all(&self.endpoints, slots, |maps| {
                let endpoints = &maps.endpoints[generation as usize];
                Ok((cell(maps.slot, generation), endpoints.data()?))
            }),
            Inner::Hosts(generation) => set_all(&self.hosts, slots, |maps| {
                let hosts = &maps.hosts[generation as usize];
                Ok((cell(maps.slot, generation), hosts.data()?))
            }),
            Inner::PendingReplies => set_all(&self.pending_replies, slots, |maps| {
                Ok((maps.slot, maps.pending_replies.data()?))
            }),
            Inner::Bloom => set_all(&self.bloom, slots, |maps| Ok((maps.slot, &maps.bloom))),
            Inner::Registers => {
                set_all(&self.registers, slots, |maps| Ok((maps.slot, &maps.registers)))
            }
            Inner::Senders => set_all(&self.senders, slots, |maps| Ok((maps.slot, &maps.senders))),
        }
    }

    /// Waits until every program that was running when this was called has finished.
    ///
    /// The update of a map of maps returns only after an RCU grace period (`maybe_wait_bpf_programs` in the
    /// kernel's `syscall.c`). It does not matter that the entry already refers to the same inner map.
    pub(super) fn wait_for_programs(&self, any: &SlotMaps) -> Result<()> {
        self.insert(Inner::Endpoints(0), std::slice::from_ref(any))
    }
}

/// Sets the entries that `entry` returns for each slot.
fn set_all<'a, V: InnerMap + 'a>(
    outer: &Map,
    slots: &'a [SlotMaps],
    entry: impl Fn(&'a SlotMaps) -> Result<(u32, &'a V), MapError>,
) -> Result<()> {
    let Map::ArrayOfMaps(data) = outer else { return Err(anyhow!("not an array of maps")) };
    // A handle of the calling thread's own: updating takes exclusive access to it.
    let data = MapData::from_fd(data.fd().as_fd().try_clone_to_owned()?)?;
    let mut outer = ArrayOfMaps::<MapData, V>::try_from(Map::ArrayOfMaps(data))?;
    for maps in slots {
        let (index, inner) = entry(maps)?;
        outer.set(index, inner, 0)?;
    }
    Ok(())
}

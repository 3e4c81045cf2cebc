//! The eBPF object, which is loaded once for all bots of the process: its programs, and the maps that the bots
//! share.

use std::cell::{RefCell, RefMut};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, PerCpuValues};
use aya::programs::{Program, SchedClassifier};
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use gomon_common::bot::{BOT_WORDS, BotEntry, cell};
use gomon_common::kernel::{
    CpuLedger, GENERATIONS, IgnoredKey, MAX_IGNORED, MAX_SOURCES, SourceKey, names,
};
use log::{LevelFilter, Log};

use super::attached_programs::AttachedPrograms;
use super::config::CounterConfig;
use super::detacher::Detacher;
use super::flow_cache::FlowCachePool;
use super::interfaces::Interfaces;
use super::object_size::ObjectSize;
use super::packets::PacketBuffers;
use super::program_load::{check_load, load_with_retry};
use super::slot_maps::{OuterMaps, SlotMaps};
use super::slot_pool::SlotPool;
use crate::core::PacketFilter;

/// The object, which is checked in, aligned as its ELF structures require.
fn bytes() -> &'static [u8] {
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/ebpf/gomon.o"))
}

/// How often the log messages of the programs are read.
const LOG_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A handle of the object, which is loaded for the first bot.
#[derive(Clone)]
pub struct SharedObject {
    /// The maximum number of bots.
    slots: u32,
    object: Rc<RefCell<Option<KernelObject>>>,
}

impl SharedObject {
    /// Creates a handle of an object for up to `slots` bots.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self { slots, object: Rc::default() }
    }

    /// Whether there is room for one bot only.
    pub(super) fn is_for_one_bot(&self) -> bool {
        self.slots == 1
    }

    /// Loads the object, if that has not been done, for a bot with this configuration.
    ///
    /// # Errors
    ///
    /// When the kernel rejects a map, with the reason.
    pub(super) fn load(&self, config: &CounterConfig) -> Result<RefMut<'_, KernelObject>> {
        self.load_sized(|slots| match slots {
            1 => ObjectSize::of_one_bot(config),
            slots => ObjectSize::of_fleet(slots),
        })
    }

    fn load_sized(
        &self,
        size: impl FnOnce(u32) -> Result<ObjectSize>,
    ) -> Result<RefMut<'_, KernelObject>> {
        if self.object.borrow().is_none() {
            *self.object.borrow_mut() = Some(KernelObject::load(size(self.slots)?)?);
        }
        self.get()
    }

    /// Returns the object.
    ///
    /// # Errors
    ///
    /// When it is not loaded.
    pub(super) fn get(&self) -> Result<RefMut<'_, KernelObject>> {
        RefMut::filter_map(self.object.borrow_mut(), Option::as_mut)
            .map_err(|_| anyhow!("the eBPF object is not loaded"))
    }

    /// Returns the descriptors of the packet buffers, one of which is readable when [`SharedObject::read`] has to be
    /// called. They need not be polled while [`SharedObject::poll_interval`] returns an interval.
    pub(super) fn descriptors(&self) -> Option<Rc<[OwnedFd]>> {
        let object = self.object.borrow();
        object.as_ref()?.packets.as_ref().map(PacketBuffers::descriptors)
    }

    /// Returns the interval at which to call [`SharedObject::read`] even if no descriptor is readable.
    pub(super) fn poll_interval(&self) -> Option<Duration> {
        let object = self.object.borrow();
        let object = object.as_ref()?;
        let log_interval = object.logger.is_some().then_some(LOG_POLL_INTERVAL);
        object.packets.as_ref().and_then(PacketBuffers::poll_interval).or(log_interval)
    }

    /// Reads the packets of all bots, and logs the messages of the programs.
    pub(super) fn read(&self) {
        if let Some(object) = &mut *self.object.borrow_mut() {
            if let Some(packets) = &mut object.packets {
                packets.read();
            }
            object.flush_log();
        }
    }

    /// Loads the object and its TC programs, if that has not been done, and starts to provide the maps of this many more
    /// bots.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, for lack of memory or of capabilities.
    pub(super) fn reserve(&self, bots: usize) -> Result<()> {
        let mut object = self.load_sized(ObjectSize::of_fleet)?;
        object.pool.reserve(bots)?;
        [names::TC, names::TC_EGRESS].into_iter().try_for_each(|name| {
            let program: &mut SchedClassifier = object.program(name)?.try_into()?;
            check_load(load_with_retry(|| program.load()))
        })
    }

    /// Calls `work` with the program called `name`.
    ///
    /// # Errors
    ///
    /// When the object is not loaded, or has no such program.
    pub fn with_program<T>(&self, name: &str, work: impl FnOnce(&mut Program) -> T) -> Result<T> {
        Ok(work(self.get()?.program(name)?))
    }
}

/// The object, and what user space knows of its maps.
pub(super) struct KernelObject {
    ebpf: Ebpf,
    bots: Array<MapData, [u64; BOT_WORDS]>,
    /// The entries of the bots, by slot.
    pub(super) entries: Vec<Option<BotEntry>>,
    /// The filters of the bots, by slot.
    pub(super) filters: hashbrown::HashMap<u32, PacketFilter>,
    pub(super) interfaces: Interfaces,
    /// The maps of removed bots, which programs that are running may still use.
    pub(super) retired: Vec<SlotMaps>,
    pub(super) detacher: Detacher,
    /// The slots of groups without bots, which programs that are running may still use.
    pub(super) unused_groups: Vec<u32>,
    pub(super) sources: HashMap<MapData, SourceKey, u32>,
    pub(super) ignored: LpmTrie<MapData, IgnoredKey, u8>,
    pub(super) ledger: PerCpuArray<MapData, CpuLedger>,
    pub(super) flow_cache: FlowCachePool,
    pub(super) pool: SlotPool,
    pub(super) programs: AttachedPrograms,
    /// The map of packet buffers, until the first bot needs packets.
    packets_map: Option<Map>,
    pub(super) packets: Option<PacketBuffers>,
    /// The log of the programs, if debug messages are on.
    logger: Option<EbpfLogger<&'static dyn Log>>,
    /// Possible CPUs. Per-CPU maps have a value for each.
    pub(super) cpus: usize,
}

impl KernelObject {
    /// Loads the object's maps. The programs are loaded when they are first attached.
    fn load(size: ObjectSize) -> Result<Self> {
        let cpus = nr_cpus().map_err(|(what, error)| anyhow!("reading {what}: {error}"))?;
        let debug_log = log::max_level() >= LevelFilter::Debug;
        let log_level = if debug_log { aya_log::Level::Debug as u8 } else { 0 };
        let limit = |number: usize, bots: u32| {
            u32::try_from(number).unwrap_or(u32::MAX).saturating_mul(size.slots.min(bots))
        };
        let cells = size.slots.saturating_mul(GENERATIONS);
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(names::BOTS, size.slots)
            .map_max_entries(names::ENDPOINTS, cells)
            .map_max_entries(names::HOSTS, cells)
            .map_max_entries(names::LEDGER, cells)
            .map_max_entries(names::PENDING_REPLIES, size.slots)
            .map_max_entries(names::BLOOM_FILTER, size.slots)
            .map_max_entries(names::HLL_REGISTERS, size.slots)
            .map_max_entries(names::SENDERS, size.slots)
            .map_max_entries(names::FLOW_CACHE, (size.caches * size.cache_parts).max(1))
            // Room for the limit of each of a few bots, shared by all.
            .map_max_entries(names::SOURCES, limit(MAX_SOURCES, 16))
            .map_max_entries(names::IGNORED, limit(MAX_IGNORED, 64))
            .override_global(aya_log::LEVEL, &log_level, true)
            .load(bytes())
            .map_err(|error| root_cause(&error))
            .context("creating the maps")?;
        let logger = debug_log.then(|| EbpfLogger::init(&mut ebpf)).transpose()?;
        let flow_cache = take_map(&mut ebpf, names::FLOW_CACHE)?;
        Ok(Self {
            bots: take_map(&mut ebpf, names::BOTS)?,
            entries: vec![None; usize::try_from(size.slots)?],
            filters: hashbrown::HashMap::new(),
            retired: Vec::new(),
            detacher: Detacher::new(size.slots > 1),
            unused_groups: Vec::new(),
            interfaces: Interfaces::new(take_map(&mut ebpf, names::INTERFACES)?),
            sources: take_map(&mut ebpf, names::SOURCES)?,
            ignored: take_map(&mut ebpf, names::IGNORED)?,
            ledger: take_map(&mut ebpf, names::LEDGER)?,
            flow_cache: FlowCachePool::new(flow_cache, size, cpus),
            pool: SlotPool::new(OuterMaps::new(&mut ebpf)?, size.slots),
            programs: AttachedPrograms::default(),
            packets_map: ebpf.take_map(names::PACKETS),
            packets: None,
            logger,
            cpus,
            ebpf,
        })
    }

    /// Returns a program.
    pub(super) fn program(&mut self, name: &str) -> Result<&mut Program> {
        self.ebpf.program_mut(name).ok_or_else(|| anyhow!("the object has no program {name}"))
    }

    /// Logs the messages of the programs.
    pub(super) fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Creates the buffers of packets, if that has not been done.
    pub(super) fn open_packets(&mut self) -> Result<()> {
        if let Some(map) = self.packets_map.take() {
            self.packets = Some(PacketBuffers::open(map)?);
        }
        Ok(())
    }

    /// Returns the entry of a bot.
    pub(super) fn entry(&self, slot: u32) -> Option<&BotEntry> {
        self.entries.get(slot as usize)?.as_ref()
    }

    /// Publishes the entry of a bot to the programs.
    pub(super) fn set_entry(&mut self, slot: u32, entry: BotEntry) -> Result<()> {
        self.bots.set(slot, entry.words(), 0).context("setting the entry of a bot")?;
        if let Some(known) = self.entries.get_mut(slot as usize) {
            *known = Some(entry);
        }
        Ok(())
    }

    /// Reads the ledgers of a generation, one per CPU.
    pub(super) fn ledgers(&self, slot: u32, generation: u32) -> Result<PerCpuValues<CpuLedger>> {
        Ok(self.ledger.get(&cell(slot, generation), 0)?)
    }
}

/// Moves a map out of the object and converts it to its type.
fn take_map<M>(ebpf: &mut Ebpf, name: &str) -> Result<M>
where
    M: TryFrom<Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| anyhow!("the object has no map {name}"))?;
    M::try_from(map).with_context(|| format!("map {name}"))
}

/// Returns the root cause of an error of aya, whose messages repeat their source's message.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> anyhow::Error {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
        Some(number) => std::io::Error::from_raw_os_error(number).into(),
        None => anyhow!("{cause}"),
    }
}

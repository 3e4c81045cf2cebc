//! The maps of a loaded kernel program: configured before it starts, drained window by window.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aya::maps::lpm_trie::Key;
use aya::maps::{
    Array, ArrayOfMaps, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, PerCpuValues,
};
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use gomon_common::kernel::{self, CpuLedger, GENERATIONS, LedgerEntry, SEVERAL, names};
use gomon_common::parse::Malformed;
use gomon_common::{Address, Endpoint, Skip, bloom, hyperloglog};
use log::{LevelFilter, Log};

use super::clock::MonotonicClock;
use super::flow_cache::{self, FlowCache};
use super::object;
use super::packets::Packets;
use super::pending_replies::PendingReplies;
use super::senders::Sampled;
use crate::core::{
    BotMac, Counts, HyperLogLog, Ledger, Origin, Overflow, PacketFilter, Sources, Span,
    WindowCounts,
};
use crate::source::PaneSink;

/// How often the program's own messages are looked for.
const LOG_TICK: Duration = Duration::from_millis(100);

/// As [`gomon_common::kernel::DestinationValue`] lies there; what is behind the counts is the program's own.
type HostValue = [u64; 3];
/// The same, with a [`gomon_common::kernel::Contact`] and a source behind it.
pub(super) type EndpointValue = [u64; 7];
pub(super) type EndpointMap = HashMap<MapData, [u8; 24], EndpointValue>;
type HostMap = HashMap<MapData, [u8; 16], HostValue>;
/// As [`gomon_common::kernel::Current`] lies there.
type CurrentValue = [u64; 3];
type Registers = [u8; hyperloglog::REGISTERS];
type BloomPart = [u8; bloom::PART_SLOTS];

/// What a counter counts: the kernel program, and libpcap's frames in user space alike.
#[derive(Clone, Debug)]
pub struct CounterConfig {
    /// Which packets.
    pub filter: PacketFilter,
    /// The most hosts, and the most endpoints, listed in a pane.
    pub capacity: u32,
    /// Packets of each host sent to user space for artifacts in a time slot; 0 for none.
    pub packets_per_host: u32,
    /// Whether contacts are recorded for sweep detection.
    pub sweeps: bool,
}

/// A program's maps.
pub struct KernelCounter {
    ebpf: Ebpf,
    current: Array<MapData, CurrentValue>,
    endpoints: ArrayOfMaps<MapData, EndpointMap>,
    hosts: ArrayOfMaps<MapData, HostMap>,
    ledger: PerCpuArray<MapData, CpuLedger>,
    registers: PerCpuArray<MapData, Registers>,
    bloom: Array<MapData, BloomPart>,
    flow_cache: FlowCache,
    /// Whether every source is the bot's.
    any: bool,
    senders: Sampled,
    /// The maps of each generation.
    open: [(EndpointMap, HostMap); GENERATIONS as usize],
    generation: u32,
    pending_replies: PendingReplies,
    /// Whether what goes out to the bot is looked at.
    sees_answers: bool,
    /// When the pane of each ends, in nanoseconds on the monotonic clock.
    ends: [u64; GENERATIONS as usize],
    packets: Option<Packets>,
    /// What the program itself has to say, when somebody asked for it.
    logger: Option<EbpfLogger<&'static dyn Log>>,
    /// Packets the program could not send up since this was last asked.
    packets_lost: u64,
    /// Processors there can be, each with a ledger and registers of its own.
    cpus: usize,
}

impl KernelCounter {
    /// Makes the maps and fills in what the program is to count. The programs themselves are not
    /// loaded yet.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, with its reason.
    pub fn new(config: &CounterConfig) -> Result<Self> {
        let filter = &config.filter;
        let mut loader = EbpfLoader::new();
        let others: Vec<Address> = filter.sources().addresses().skip(1).collect();
        let bot = filter.sources().addresses().next().map_or([0; 16], Address::bytes);
        let any = *filter.sources() == Sources::Any;
        let mac = match filter.bot_mac() {
            Some(BotMac::Is(mac)) => kernel::mac(mac),
            Some(BotMac::First | BotMac::Unknown) | None => 0,
        };
        let more = u8::from(!others.is_empty());
        let leaves_out = u8::from(!filter.ignored_prefixes().is_empty());
        let talks = log::max_level() >= LevelFilter::Debug;
        let parts = bloom::parts(config.capacity);
        let cpus = nr_cpus().map_err(|(what, error)| anyhow!("reading {what}: {error}"))?;
        let flow_cache =
            flow_cache::number_of_parts(config.capacity, cpus, any || config.packets_per_host > 0);
        let level = if talks { aya_log::Level::Debug as u8 } else { 0 };
        let mut ebpf = loader
            .override_global(names::BOT, &bot, true)
            .override_global(names::ANY_SOURCE, &u8::from(any), true)
            .override_global(names::BOT_MAC, &mac, true)
            .override_global(names::MORE_SOURCES, &more, true)
            .override_global(names::IGNORES, &leaves_out, true)
            .override_global(names::PACKETS_PER_HOST, &config.packets_per_host, true)
            .override_global(names::SWEEPS, &u8::from(config.sweeps), true)
            .override_global(names::BLOOM_PARTS, &parts, true)
            .override_global(names::FLOW_CACHE_PARTS, &flow_cache, true)
            .map_max_entries(names::PENDING_REPLIES, config.capacity)
            .map_max_entries(names::BLOOM_FILTER, GENERATIONS * parts)
            .map_max_entries(names::FLOW_CACHE, GENERATIONS * flow_cache.max(1))
            .override_global(aya_log::LEVEL, &level, true)
            .load(object::bytes())
            .map_err(|error| root(&error))
            .context("making the maps")?;

        let mut sources: HashMap<_, [u8; 16], u8> = borrow(&mut ebpf, names::SOURCES)?;
        for source in others {
            sources.insert(source.bytes(), 1, 0)?;
        }
        let mut ignored: LpmTrie<_, [u8; 16], u8> = borrow(&mut ebpf, names::IGNORED)?;
        for (prefix, is_ignored) in filter.lpm_entries() {
            let key = Key::new(prefix.bits(), prefix.address().bytes());
            ignored.insert(&key, u8::from(is_ignored), 0)?;
        }

        let packets = match config.packets_per_host {
            0 => None,
            _ => Some(Packets::open(map(&mut ebpf, names::PACKETS)?)?),
        };
        let logger = talks.then(|| EbpfLogger::init(&mut ebpf)).transpose()?;

        let mut kernel = Self {
            current: take(&mut ebpf, names::CURRENT)?,
            endpoints: take(&mut ebpf, names::ENDPOINTS)?,
            hosts: take(&mut ebpf, names::HOSTS)?,
            ledger: take(&mut ebpf, names::LEDGER)?,
            registers: take(&mut ebpf, names::HLL_REGISTERS)?,
            bloom: take(&mut ebpf, names::BLOOM_FILTER)?,
            flow_cache: FlowCache::new(take(&mut ebpf, names::FLOW_CACHE)?, flow_cache, cpus),
            any,
            senders: Sampled::new(take(&mut ebpf, names::SENDERS)?),
            open: [fresh(config.capacity)?, fresh(config.capacity)?],
            generation: 0,
            pending_replies: PendingReplies::new(
                take(&mut ebpf, names::PENDING_REPLIES)?,
                config.capacity,
            ),
            sees_answers: false,
            ends: [0; GENERATIONS as usize],
            packets,
            logger,
            packets_lost: 0,
            cpus,
            ebpf,
        };
        for generation in 0..GENERATIONS {
            let (endpoints, hosts) = &kernel.open[generation as usize];
            kernel.endpoints.set(generation, endpoints, 0)?;
            kernel.hosts.set(generation, hosts, 0)?;
        }
        Ok(kernel)
    }

    /// The programs.
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Learns that what goes out to the bot is looked at, too.
    pub(super) fn see_answers(&mut self) {
        self.sees_answers = true;
    }

    /// What becomes readable when [`KernelCounter::read`] is to be called.
    pub(super) fn wakes(&self) -> Vec<BorrowedFd<'_>> {
        self.packets.as_ref().map_or_else(Vec::new, Packets::wakes)
    }

    /// How often [`KernelCounter::read`] is to be called in any case, if at all.
    pub(super) fn tick(&self) -> Option<Duration> {
        let of_log = self.logger.as_ref().map(|_| LOG_TICK);
        self.packets.as_ref().and_then(Packets::tick).or(of_log)
    }

    /// Tells the program when the first pane ends, in nanoseconds on its monotonic clock.
    pub(super) fn first_pane(&mut self, end: u64) -> Result<()> {
        self.ends[self.generation as usize] = end;
        self.publish()
    }

    /// Hands on the packets that came up, and logs what the program has to say.
    pub(super) fn read(&mut self, clock: &MonotonicClock, receiver: &mut impl PaneSink) {
        if let Some(packets) = &mut self.packets {
            packets.read(self.generation, clock, receiver);
        }
        self.flush_log();
    }

    /// Moves the times of what came up of the open pane, and of contacts that wait, by so many nanoseconds.
    pub(super) fn clock_set(&mut self, by: i64) {
        if let Some(packets) = &mut self.packets {
            packets.clock_set(by);
        }
        self.pending_replies.clock_set(by);
    }

    fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Closes the open pane and opens the next, which ends at `end`, in nanoseconds on the monotonic
    /// clock: what the program counted since the last time. Before that its packets are handed on.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, which it does not without being out of memory.
    pub(super) fn close_pane(
        &mut self,
        span: Span,
        end: u64,
        clock: &MonotonicClock,
        receiver: &mut impl PaneSink,
    ) -> Result<WindowCounts> {
        let closed = self.swap_generations(end)?;
        if let Some(packets) = &mut self.packets {
            packets.finish(closed, clock, receiver);
        }
        // What belongs to the pane that is open now has to wait until the receiver has this one.
        let counts = self.collect(closed, span, clock)?;
        self.flush_log();
        let lost = std::mem::take(&mut self.packets_lost);
        if lost > 0 {
            receiver.packets_lost(lost);
        }
        Ok(counts)
    }

    /// Closes the open pane and opens the next: what the program counted since the last time.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, which it does not without being out of memory.
    pub fn take(&mut self, span: Span) -> Result<WindowCounts> {
        let closed = self.swap_generations(0)?;
        self.collect(closed, span, &MonotonicClock::start())
    }

    /// Turns the page and returns the generation that was closed, whose maps are nobody's but ours from
    /// there on.
    fn swap_generations(&mut self, end: u64) -> Result<u32> {
        let closed = self.generation;
        self.generation = (closed + 1) % GENERATIONS;
        self.ends[self.generation as usize] = end;
        self.publish()?;
        // An update of a map of maps returns only when no program runs any more that could have read
        // the old generation; that the slot has held the same map before is no matter.
        let (endpoints, _) = &self.open[self.generation as usize];
        self.endpoints
            .set(self.generation, endpoints, 0)
            .context("waiting for the page to turn")?;
        Ok(closed)
    }

    /// Tells the program which generation is current, and when its pane ends.
    fn publish(&mut self) -> Result<()> {
        let [first, second] = self.ends;
        self.current.set(0, [self.generation.into(), first, second], 0).context("turning the page")
    }

    /// The counts of a closed generation, whose maps are then ready for the next turn.
    fn collect(&mut self, closed: u32, span: Span, clock: &MonotonicClock) -> Result<WindowCounts> {
        let counts = self.drain(closed, span, clock).context("draining the counts")?;
        self.clean(closed, &counts).context("cleaning the page")?;
        Ok(counts)
    }

    /// The ledger of the open pane, read while the program adds to it.
    pub(super) fn open_ledger(&self) -> Result<Ledger> {
        Ok(ledger_of(&sum(&self.ledger.get(&self.generation, 0)?)))
    }

    fn drain(
        &mut self,
        generation: u32,
        span: Span,
        clock: &MonotonicClock,
    ) -> Result<WindowCounts> {
        let (endpoints, hosts) = &self.open[generation as usize];
        let counts = |[packets, bytes, _]: HostValue| Counts { packets, bytes };
        let cpus = self.ledger.get(&generation, 0)?;
        let page = sum(&cpus);
        let at = |entry: LedgerEntry| page[entry as usize];
        self.packets_lost += at(LedgerEntry::PacketsLost);
        let both = |packets, bytes| Counts { packets: at(packets), bytes: at(bytes) };
        let unlisted = both(LedgerEntry::UnlistedPackets, LedgerEntry::UnlistedBytes);
        let ledger = ledger_of(&page);
        let mut overflow = Overflow { endpoints: unlisted, hosts: unlisted, distinct: None };
        overflow.endpoints += both(LedgerEntry::OverflowPackets, LedgerEntry::OverflowBytes);
        if overflow.hosts.packets > 0 {
            let mut distinct = HyperLogLog::default();
            for cpu in self.registers.get(&generation, 0)?.iter() {
                distinct.merge_registers(cpu);
            }
            overflow.distinct = Some(distinct);
        }
        let drained: Vec<_> = endpoints
            .iter()
            .map(|entry| entry.map(|(key, value)| (Endpoint::from_bytes(key), value)))
            .collect::<Result<_, _>>()?;
        let contacts = self.pending_replies.settle(endpoints, &drained, span, clock)?;
        let origins = if self.any { drained.iter().map(origin).collect() } else { Vec::new() };
        let mut endpoints: Vec<_> = drained
            .into_iter()
            .map(|(endpoint, [packets, bytes, ..])| (endpoint, Counts { packets, bytes }))
            .collect();
        if ledger.counted > 0 {
            endpoints.extend(self.flow_cache.take(generation)?);
        }
        let hosts = hosts
            .iter()
            .map(|entry| entry.map(|(key, value)| (Address::v6(key), counts(value))))
            .collect::<Result<_, _>>()?;
        let senders = self.senders.take(generation, &ledger, cpus.iter())?;
        let counts = WindowCounts::from_entries(span, ledger, endpoints, hosts, overflow);
        let counts = WindowCounts { senders, ..counts }.with_origins(origins);
        Ok(counts.with_contacts(contacts, self.sees_answers))
    }

    /// Makes a drained generation ready for its next turn.
    fn clean(&mut self, generation: u32, drained: &WindowCounts) -> Result<()> {
        let (endpoints, hosts) = &mut self.open[generation as usize];
        for (endpoint, _) in &drained.endpoints {
            endpoints.remove(&endpoint.bytes())?;
        }
        for (host, _) in &drained.hosts {
            match hosts.remove(&host.bytes()) {
                // A host is listed for its endpoints also where it had no entry of its own.
                Err(error) if !is_not_found(&error) => return Err(error.into()),
                _ => {}
            }
        }
        if !drained.hosts.is_empty() {
            let parts = self.bloom.len() / GENERATIONS;
            for part in generation * parts..(generation + 1) * parts {
                self.bloom.set(part, [0; bloom::PART_SLOTS], 0)?;
            }
        }
        let blank = PerCpuValues::try_from(vec![CpuLedger::default(); self.cpus])?;
        self.ledger.set(generation, blank, 0)?;
        if drained.overflow.distinct.is_some() {
            let blank = PerCpuValues::try_from(vec![[0; hyperloglog::REGISTERS]; self.cpus])?;
            self.registers.set(generation, blank, 0)?;
        }
        Ok(())
    }
}

/// The entries of a ledger, summed over all processors.
fn sum(cpus: &PerCpuValues<CpuLedger>) -> CpuLedger {
    let mut page = CpuLedger::default();
    for (number, cpu) in cpus.iter().enumerate() {
        let lost = cpu[LedgerEntry::PacketsLost as usize];
        if lost > 0 {
            log::debug!("processor {number} had no room for {lost} packets for artifacts");
        }
        page.iter_mut().zip(cpu).for_each(|(sum, number)| *sum += number);
    }
    page
}

/// The ledger that the program's entries make up.
fn ledger_of(page: &CpuLedger) -> Ledger {
    let at = |entry: LedgerEntry| page[entry as usize];
    let mut ledger = Ledger {
        counted: at(LedgerEntry::Counted) + at(LedgerEntry::UnlistedPackets),
        not_from_bot: at(LedgerEntry::NotFromBot),
        ignored: at(LedgerEntry::Ignored),
        not_ip: at(LedgerEntry::NotIp),
        ..Ledger::default()
    };
    for reason in Malformed::ALL {
        ledger.malformed[reason as usize] = at(LedgerEntry::of(Skip::Malformed(reason)));
    }
    ledger
}

/// Where the packets to an endpoint came from.
fn origin((endpoint, value): &(Endpoint, EndpointValue)) -> (Endpoint, Origin) {
    let [.., high, low] = value.map(u64::to_ne_bytes);
    let source = Address::v6_halves(high, low);
    (*endpoint, if source == SEVERAL { Origin::Several } else { Origin::One(source) })
}

/// Whether a map had no such entry.
fn is_not_found(error: &MapError) -> bool {
    let MapError::SyscallError(error) = error else { return false };
    error.io_error.kind() == std::io::ErrorKind::NotFound
}

/// Fresh maps for one generation.
fn fresh(capacity: u32) -> Result<(EndpointMap, HostMap)> {
    let maps = || Ok::<_, MapError>((HashMap::create(capacity, 0)?, HashMap::create(capacity, 0)?));
    maps().context("making maps")
}

/// What an error goes back to: the errors of the library repeat it on every step.
fn root(error: &(dyn std::error::Error + 'static)) -> anyhow::Error {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
        Some(number) => std::io::Error::from_raw_os_error(number).into(),
        None => anyhow!("{cause}"),
    }
}

/// A map out of the object, by its name.
fn take<M>(ebpf: &mut Ebpf, name: &str) -> Result<M>
where
    M: TryFrom<Map, Error = MapError>,
{
    M::try_from(map(ebpf, name)?).with_context(|| format!("map {name}"))
}

fn map(ebpf: &mut Ebpf, name: &str) -> Result<Map> {
    ebpf.take_map(name).ok_or_else(|| anyhow!("the object has no map {name}"))
}

/// A map that stays in the object.
fn borrow<'a, M>(ebpf: &'a mut Ebpf, name: &str) -> Result<M>
where
    M: TryFrom<&'a mut Map, Error = MapError>,
{
    let map = ebpf.map_mut(name).ok_or_else(|| anyhow!("the object has no map {name}"))?;
    M::try_from(map).with_context(|| format!("map {name}"))
}

//! The BPF maps that hold the counts: draining and clearing one generation at a time.

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::maps::{Array, ArrayOfMaps, HashMap, MapData, MapError, PerCpuArray, PerCpuValues};
use gomon_common::kernel::{CpuLedger, GENERATIONS, LedgerEntry, names};
use gomon_common::{Address, Endpoint, bloom, hyperloglog};

use super::clock::MonotonicClock;
use super::config::CounterConfig;
use super::flow_cache::FlowCache;
use super::object::take_map;
use super::pending_replies::PendingReplies;
use super::senders::SenderSamples;
use super::values::{self, EndpointMap, HostMap};
use crate::core::{Counts, HyperLogLog, Ledger, Overflow, Sources, Span, WindowCounts};

type Registers = [u8; hyperloglog::REGISTERS];
type BloomPart = [u8; bloom::PART_SLOTS];

/// The maps of both generations.
pub(super) struct CountMaps {
    endpoints: ArrayOfMaps<MapData, EndpointMap>,
    hosts: ArrayOfMaps<MapData, HostMap>,
    /// The inner maps of `endpoints` and `hosts` for each generation.
    inner: [(EndpointMap, HostMap); GENERATIONS as usize],
    ledger: PerCpuArray<MapData, CpuLedger>,
    registers: PerCpuArray<MapData, Registers>,
    bloom: Array<MapData, BloomPart>,
    flow_cache: FlowCache,
    senders: SenderSamples,
    pending_replies: PendingReplies,
    /// Whether every source is the bot's, so that the endpoints have their sources.
    any_source: bool,
    /// Possible CPUs. Per-CPU maps have a value for each.
    cpus: usize,
}

impl CountMaps {
    /// Takes the maps out of the object and creates the inner maps. `flow_cache_parts` is the number the
    /// object was loaded with.
    pub(super) fn new(
        ebpf: &mut Ebpf,
        config: &CounterConfig,
        flow_cache_parts: u32,
        cpus: usize,
    ) -> Result<Self> {
        let flow_cache = take_map(ebpf, names::FLOW_CACHE)?;
        let pending_replies = take_map(ebpf, names::PENDING_REPLIES)?;
        let mut maps = Self {
            endpoints: take_map(ebpf, names::ENDPOINTS)?,
            hosts: take_map(ebpf, names::HOSTS)?,
            inner: [create_inner(config.capacity)?, create_inner(config.capacity)?],
            ledger: take_map(ebpf, names::LEDGER)?,
            registers: take_map(ebpf, names::HLL_REGISTERS)?,
            bloom: take_map(ebpf, names::BLOOM_FILTER)?,
            flow_cache: FlowCache::new(flow_cache, flow_cache_parts, cpus),
            senders: SenderSamples::new(take_map(ebpf, names::SENDERS)?),
            pending_replies: PendingReplies::new(pending_replies, config.capacity),
            any_source: *config.filter.sources() == Sources::Any,
            cpus,
        };
        for generation in 0..GENERATIONS {
            let (endpoints, hosts) = &maps.inner[generation as usize];
            maps.endpoints.set(generation, endpoints, 0)?;
            maps.hosts.set(generation, hosts, 0)?;
        }
        Ok(maps)
    }

    /// Waits until every program that was running when this was called has finished.
    ///
    /// The update of a map of maps returns only after an RCU grace period (`maybe_wait_bpf_programs` in the
    /// kernel's `syscall.c`). It does not matter that the entry already refers to the same inner map.
    pub(super) fn wait_for_programs(&mut self, generation: u32) -> Result<()> {
        let (endpoints, _) = &self.inner[generation as usize];
        self.endpoints.set(generation, endpoints, 0)?;
        Ok(())
    }

    /// Shifts the times of contacts with pending replies by this many nanoseconds.
    pub(super) fn shift_times(&mut self, by: i64) {
        self.pending_replies.shift_times(by);
    }

    /// Reads the ledger of a generation, summed over all CPUs. Programs may be updating it.
    pub(super) fn ledger(&self, generation: u32) -> Result<Ledger> {
        Ok(values::ledger(&sum(&self.ledger.get(&generation, 0)?)))
    }

    /// Reads the counts of a closed generation. `sees_replies` says whether a program saw the replies to
    /// the bot. Also returns the number of packets for artifacts that were lost in the generation.
    pub(super) fn drain(
        &mut self,
        generation: u32,
        span: Span,
        sees_replies: bool,
        clock: &MonotonicClock,
    ) -> Result<(WindowCounts, u64)> {
        let (endpoints, hosts) = &self.inner[generation as usize];
        let ledgers = self.ledger.get(&generation, 0)?;
        let sums = sum(&ledgers);
        let get = |entry: LedgerEntry| sums[entry as usize];
        let counts = |packets, bytes| Counts { packets: get(packets), bytes: get(bytes) };
        let unlisted = counts(LedgerEntry::UnlistedPackets, LedgerEntry::UnlistedBytes);
        let ledger = values::ledger(&sums);
        let mut overflow = Overflow { endpoints: unlisted, hosts: unlisted, distinct: None };
        overflow.endpoints += counts(LedgerEntry::OverflowPackets, LedgerEntry::OverflowBytes);
        if overflow.hosts.packets > 0 {
            let mut distinct = HyperLogLog::default();
            for registers in self.registers.get(&generation, 0)?.iter() {
                distinct.merge_registers(registers);
            }
            overflow.distinct = Some(distinct);
        }
        let drained: Vec<_> = endpoints
            .iter()
            .map(|entry| entry.map(|(key, value)| (Endpoint::from_bytes(key), value)))
            .collect::<Result<_, _>>()?;
        let contacts = self.pending_replies.settle(endpoints, &drained, span, clock)?;
        let sources = if self.any_source {
            drained
                .iter()
                .map(|(endpoint, value)| (*endpoint, values::packet_source(*value)))
                .collect()
        } else {
            Vec::new()
        };
        let mut endpoints: Vec<_> = drained
            .into_iter()
            .map(|(endpoint, value)| (endpoint, values::endpoint_counts(value)))
            .collect();
        if ledger.counted > 0 {
            endpoints.extend(self.flow_cache.drain(generation)?);
        }
        let hosts = hosts
            .iter()
            .map(|entry| entry.map(|(key, value)| (Address::v6(key), values::host_counts(value))))
            .collect::<Result<_, _>>()?;
        let senders = self.senders.read(generation, &ledger, ledgers.iter())?;
        let counts = WindowCounts::from_entries(span, ledger, endpoints, hosts, overflow);
        let counts = WindowCounts { senders, ..counts }.with_endpoint_sources(sources);
        Ok((counts.with_contacts(contacts, sees_replies), get(LedgerEntry::PacketsLost)))
    }

    /// Clears a generation after [`CountMaps::drain`] returned `drained`.
    pub(super) fn clear(&mut self, generation: u32, drained: &WindowCounts) -> Result<()> {
        let (endpoints, hosts) = &mut self.inner[generation as usize];
        for (endpoint, _) in &drained.endpoints {
            endpoints.remove(&endpoint.bytes())?;
        }
        for (host, _) in &drained.hosts {
            match hosts.remove(&host.bytes()) {
                // `drained` also lists hosts that have endpoints but no entry in the host map.
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
        let zeros = PerCpuValues::try_from(vec![CpuLedger::default(); self.cpus])?;
        self.ledger.set(generation, zeros, 0)?;
        if drained.overflow.distinct.is_some() {
            let zeros = PerCpuValues::try_from(vec![[0; hyperloglog::REGISTERS]; self.cpus])?;
            self.registers.set(generation, zeros, 0)?;
        }
        Ok(())
    }
}

/// Sums the entries of a ledger over all CPUs.
fn sum(ledgers: &PerCpuValues<CpuLedger>) -> CpuLedger {
    let mut sums = CpuLedger::default();
    for (cpu, ledger) in ledgers.iter().enumerate() {
        let lost = ledger[LedgerEntry::PacketsLost as usize];
        if lost > 0 {
            log::debug!("CPU {cpu}: perf buffer full, {lost} packets for artifacts lost");
        }
        sums.iter_mut().zip(ledger).for_each(|(sum, number)| *sum += number);
    }
    sums
}

/// Creates the inner maps of one generation.
fn create_inner(capacity: u32) -> Result<(EndpointMap, HostMap)> {
    let maps = || Ok::<_, MapError>((HashMap::create(capacity, 0)?, HashMap::create(capacity, 0)?));
    maps().context("creating the inner maps")
}

/// Returns whether the error says that a map has no such entry.
fn is_not_found(error: &MapError) -> bool {
    let MapError::SyscallError(error) = error else { return false };
    error.io_error.kind() == std::io::ErrorKind::NotFound
}

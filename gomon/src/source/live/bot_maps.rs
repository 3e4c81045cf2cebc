//! The maps of a bot: draining and clearing one generation at a time.

use anyhow::Result;
use gomon_common::bot::CacheRange;
use gomon_common::kernel::{CpuLedger, LedgerEntry};
use gomon_common::{Address, Endpoint, protocol};

use super::clock::MonotonicClock;
use super::group::GroupShare;
use super::object::KernelObject;
use super::pending_replies::PendingReplies;
use super::senders::SenderSamples;
use super::slot_maps::SlotMaps;
use super::values;
use crate::core::{Counts, HyperLogLog, Ledger, Overflow, Span, WindowCounts};

/// The maps of a bot, and the state that belongs to them.
pub(super) struct BotMaps {
    pub(super) slot: SlotMaps,
    pending_replies: PendingReplies,
    senders: SenderSamples,
    /// Whether every source is the bot's, so that the endpoints have their sources.
    any_source: bool,
    /// The index of the interface, and the share of the group's ledger if there are other bots.
    interface: u32,
    group: GroupShare,
}

/// The replies to the bot that a program saw in a pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeenReplies {
    /// None: no program was attached to egress.
    None,
    /// Those of a part of the pane, so that an unanswered UDP contact may have been answered.
    Some,
    /// All.
    All,
}

impl BotMaps {
    /// Wraps the empty maps of a slot. `group` is the bot's share of the ledger of the group that it joins.
    pub(super) fn new(
        slot: SlotMaps,
        any_source: bool,
        interface: u32,
        group: &GroupShare,
    ) -> Self {
        Self {
            slot,
            pending_replies: PendingReplies::default(),
            senders: SenderSamples::default(),
            any_source,
            interface,
            group: *group,
        }
    }

    /// Shifts the times of contacts with pending replies by this many nanoseconds.
    pub(super) fn shift_times(&mut self, by: i64) {
        self.pending_replies.shift_times(by);
    }

    /// Reads the ledger of a generation, summed over all CPUs. Programs may be updating it.
    pub(super) fn ledger(&self, object: &KernelObject, generation: u32) -> Result<Ledger> {
        let mut sums = values::sum(&object.ledgers(self.slot.slot, generation)?);
        if let Some(ledger) = object.group_ledger(self.interface)? {
            let mut group = self.group;
            group.add_to(&mut sums, &ledger);
        }
        Ok(values::ledger(&sums))
    }

    /// Returns the counts of a closed generation with this flow cache, and clears them. Also returns the number of packets for artifacts that were
    /// lost in the generation.
    pub(super) fn drain(
        &mut self,
        object: &mut KernelObject,
        (generation, cache): (u32, CacheRange),
        span: Span,
        replies: SeenReplies,
        clock: &MonotonicClock,
    ) -> Result<(WindowCounts, u64)> {
        let ledgers = object.ledgers(self.slot.slot, generation)?;
        let own = values::sum(&ledgers);
        let mut sums = own;
        if let Some(ledger) = object.group_ledger(self.interface)? {
            self.group.add_to(&mut sums, &ledger);
        }
        let get = |entry: LedgerEntry| sums[entry as usize];
        let counts = |packets, bytes| Counts { packets: get(packets), bytes: get(bytes) };
        let unlisted = counts(LedgerEntry::UnlistedPackets, LedgerEntry::UnlistedBytes);
        let ledger = values::ledger(&sums);
        let mut overflow = Overflow { endpoints: unlisted, hosts: unlisted, distinct: None };
        overflow.endpoints += counts(LedgerEntry::OverflowPackets, LedgerEntry::OverflowBytes);
        if overflow.hosts.packets > 0 {
            let mut distinct = HyperLogLog::default();
            distinct.merge_registers(&self.slot.registers.get(&generation, 0)?);
            overflow.distinct = Some(distinct);
        }
        let entries = self.slot.entries(generation, ledger.counted > 0)?;
        let SlotMaps { endpoints, pending_replies, senders, .. } = &mut self.slot;
        let closed = &endpoints[generation as usize];
        let mut contacts = self.pending_replies.settle(
            pending_replies,
            closed,
            &entries.endpoints,
            span,
            clock,
        )?;
        if replies == SeenReplies::Some {
            contacts.retain(|(endpoint, _)| endpoint.protocol() != protocol::UDP);
        }
        let endpoint = |key: &[u8; 24]| Endpoint::from_bytes(*key);
        let sources = entries.endpoints.iter().filter(|_| self.any_source);
        let sources = sources
            .map(|(key, value)| (endpoint(key), values::packet_source(*value)))
            .collect::<Vec<_>>();
        let mut endpoints: Vec<_> = entries
            .endpoints
            .iter()
            .map(|(key, value)| (endpoint(key), values::endpoint_counts(*value)))
            .collect();
        if ledger.counted > 0 {
            endpoints.extend(object.flow_cache.drain(cache)?);
        }
        let hosts = entries
            .hosts
            .iter()
            .map(|(key, value)| (Address::v6(*key), values::host_counts(*value)))
            .collect();
        let senders = self.senders.read(senders, generation, &ledger, ledgers.iter())?;
        let counts = WindowCounts::from_entries(span, ledger, endpoints, hosts, overflow);
        let counts = WindowCounts { senders, ..counts }.with_endpoint_sources(sources);
        let counts = counts.with_contacts(contacts, replies != SeenReplies::None);
        if own != CpuLedger::default() {
            self.slot.clear(generation, &entries, unlisted.packets > 0)?;
            object.clear_ledger(self.slot.slot, generation)?;
        }
        Ok((counts, get(LedgerEntry::PacketsLost)))
    }
}

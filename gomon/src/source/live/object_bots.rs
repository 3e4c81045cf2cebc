//! The bots of the eBPF object: added to interfaces, removed, and grouped if an interface has several.

use anyhow::{Result, bail, ensure};
use aya::maps::PerCpuValues;
use aya::maps::lpm_trie::Key;
use gomon_common::bot::{BotEntry, cell, flags};
use gomon_common::kernel::{CpuLedger, IGNORED_SLOT_BITS, LedgerEntry, ignored_key, source_key};

use super::group::GroupShare;
use super::object::KernelObject;
use super::slot_maps::SlotMaps;
use super::values::sum;
use crate::core::PacketFilter;

impl KernelObject {
    /// Adds a bot to an interface. Its packets are counted once a program is attached there. Returns the
    /// bot's share of the ledger of the group that it joins, if it is not alone on the interface.
    ///
    /// # Errors
    ///
    /// When the interface has a bot with the same address, or the kernel refuses to update a map.
    pub(super) fn add_bot(
        &mut self,
        slot: u32,
        interface: u32,
        entry: BotEntry,
        filter: &PacketFilter,
    ) -> Result<GroupShare> {
        let members = self.interfaces.members.get(&interface).cloned().unwrap_or_default();
        self.check_others(&members.bots, filter)?;
        for address in filter.sources().addresses().skip(1) {
            self.sources.insert(source_key(slot, address), slot, 0)?;
        }
        for (prefix, is_ignored) in filter.lpm_entries() {
            let key = ignored_key(slot, prefix.address());
            let key = Key::new(IGNORED_SLOT_BITS + prefix.bits(), key);
            self.ignored.insert(&key, u8::from(is_ignored), 0)?;
        }
        self.set_entry(slot, entry)?;
        self.filters.insert(slot, filter.clone());
        let mut share = GroupShare::default();
        if members.bots.is_empty() {
            self.interfaces.set(interface, slot)?;
        } else {
            let group = match members.group {
                Some(group) => group,
                None => self.create_group(interface, &members.bots)?,
            };
            share = GroupShare::since(&sum(&self.ledgers(group, 0)?));
            self.add_to_group(group, slot)?;
        }
        self.interfaces.members.entry(interface).or_default().bots.push(slot);
        Ok(share)
    }

    /// Checks that no other bot on an interface has an address of `filter`.
    fn check_others(&self, others: &[u32], filter: &PacketFilter) -> Result<()> {
        let sources = |filter: &PacketFilter| filter.sources().addresses().collect::<Vec<_>>();
        let own = sources(filter);
        for other in others.iter().filter_map(|slot| self.filters.get(slot)) {
            let other = sources(other);
            ensure!(
                !own.is_empty() && !other.is_empty(),
                "another bot on the interface, or this one, counts every source: give each its address"
            );
            if let Some(address) = own.iter().find(|address| other.contains(address)) {
                bail!("another bot on the interface has the address {address}: give another");
            }
        }
        Ok(())
    }

    /// Creates a group for the bots on an interface.
    fn create_group(&mut self, interface: u32, bots: &[u32]) -> Result<u32> {
        let group = self.pool.take_without_maps()?;
        self.set_entry(group, BotEntry { flags: flags::GROUP, ..BotEntry::default() })?;
        for slot in bots {
            self.add_to_group(group, *slot)?;
        }
        self.interfaces.set(interface, group)?;
        self.interfaces.members.entry(interface).or_default().group = Some(group);
        Ok(group)
    }

    fn add_to_group(&mut self, group: u32, slot: u32) -> Result<()> {
        let Some(filter) = self.filters.get(&slot) else { return Ok(()) };
        for address in filter.sources().addresses() {
            self.sources.insert(source_key(group, address), slot, 0)?;
        }
        Ok(())
    }

    /// Returns the slot and the ledger of the group on an interface.
    pub(super) fn group_ledger(&self, interface: u32) -> Result<Option<CpuLedger>> {
        let group = self.interfaces.group(interface);
        group.map(|group| Ok(sum(&self.ledgers(group, 0)?))).transpose()
    }

    /// Removes a bot from its interface. Programs that are running may still count its packets.
    fn unlink_bot(&mut self, slot: u32, interface: u32) -> Result<()> {
        let Some(members) = self.interfaces.members.get_mut(&interface) else { return Ok(()) };
        members.bots.retain(|other| *other != slot);
        let (is_last, group) = (members.bots.is_empty(), members.group);
        if let (Some(group), Some(filter)) = (group, self.filters.get(&slot)) {
            for address in filter.sources().addresses() {
                self.sources.remove(&source_key(group, address))?;
            }
        }
        if is_last {
            self.interfaces.clear(interface)?;
            self.unused_groups.extend(group);
        }
        Ok(())
    }

    /// Removes what [`KernelObject::add_bot`] has added, once no program uses the bot any more.
    fn remove_bot(&mut self, slot: u32) -> Result<()> {
        let Some(filter) = self.filters.remove(&slot) else { return Ok(()) };
        for address in filter.sources().addresses().skip(1) {
            self.sources.remove(&source_key(slot, address))?;
        }
        for (prefix, _) in filter.lpm_entries() {
            let key = ignored_key(slot, prefix.address());
            self.ignored.remove(&Key::new(IGNORED_SLOT_BITS + prefix.bits(), key))?;
        }
        for group in std::mem::take(&mut self.unused_groups) {
            self.clear_ledger(group, 0)?;
            self.pool.give_back_without_maps(group);
        }
        Ok(())
    }

    /// Clears the ledgers of a generation.
    pub(super) fn clear_ledger(&mut self, slot: u32, generation: u32) -> Result<()> {
        let zeros = PerCpuValues::try_from(vec![CpuLedger::default(); self.cpus])?;
        self.ledger.set(cell(slot, generation), zeros, 0)?;
        Ok(())
    }

    /// Waits until every program that was running when this was called has finished. Then the slots of bots that were
    /// removed before can be used again.
    pub(super) fn wait_for_programs(&mut self, any: &SlotMaps) -> Result<()> {
        let retired = std::mem::take(&mut self.retired);
        self.pool.outer().wait_for_programs(any)?;
        retired.into_iter().try_for_each(|maps| self.reclaim(maps))
    }

    /// Takes a slot with maps of this capacity.
    ///
    /// # Errors
    ///
    /// When all slots are taken, or the kernel refuses to create maps.
    pub(super) fn take_slot(&mut self, capacity: u32) -> Result<SlotMaps> {
        match self.retired.pop() {
            Some(maps) if self.pool.is_empty() => {
                self.wait_for_programs(&maps)?;
                self.reclaim(maps)?;
            }
            retired => self.retired.extend(retired),
        }
        self.pool.take(capacity)
    }

    /// Removes a bot. Programs that are running may still count its packets, so its slot is used again only after a
    /// later wait. If it is one of the bots that the programs on the interface are attached for, these are detached
    /// after the last one.
    pub(super) fn retire_bot(
        &mut self,
        maps: SlotMaps,
        interface: u32,
        is_attached: bool,
    ) -> Result<()> {
        let slot = maps.slot;
        self.retired.push(maps);
        if is_attached && let Some(programs) = self.programs.release(interface) {
            self.detacher.detach(programs);
        }
        if let Some(packets) = &mut self.packets {
            packets.remove_bot(slot);
        }
        self.unlink_bot(slot, interface)
    }

    /// Clears the slot of a removed bot, which no program uses any more, and gives it back.
    fn reclaim(&mut self, mut maps: SlotMaps) -> Result<()> {
        let slot = maps.slot;
        let caches = self.entry(slot).map_or_else(Default::default, |entry| entry.caches);
        for (generation, cache) in (0..).zip(caches) {
            let sums = sum(&self.ledgers(slot, generation)?);
            let packets = |entry: LedgerEntry| sums[entry as usize];
            let has_unlisted = packets(LedgerEntry::UnlistedPackets) > 0;
            let entries =
                maps.entries(generation, has_unlisted || packets(LedgerEntry::Counted) > 0)?;
            maps.clear(generation, &entries, has_unlisted)?;
            self.clear_ledger(slot, generation)?;
            self.flow_cache.drain(cache)?;
            self.flow_cache.give_back(cache);
        }
        maps.clear_pending_replies()?;
        self.remove_bot(slot)?;
        self.pool.give_back(maps);
        Ok(())
    }
}

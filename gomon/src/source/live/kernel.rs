//! Counting one bot in the kernel: eBPF programs update its maps, which are drained at the end of each pane.

use anyhow::{Context, Result};
use gomon_common::bot::{BotEntry, CacheRange, cell, flags};
use gomon_common::kernel::{GENERATIONS, mac_to_u64};
use gomon_common::{Address, bloom};

use super::bot_maps::{BotMaps, SeenReplies};
use super::clock::MonotonicClock;
use super::config::CounterConfig;
use super::object::{KernelObject, SharedObject};
use crate::core::{BotMac, Ledger, Sources, Span, WindowCounts};
use crate::source::PaneSink;

/// The number of packets in a pane that makes a bot of a fleet busy, so that it gets a flow cache.
const BUSY: u64 = 4096;

/// When the next pane has a flow cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CacheUse {
    /// Never: every packet has to reach the map of endpoints.
    Never,
    /// Always: there is no other bot that could use it.
    Always,
    /// If the last pane was busy.
    IfBusy { is_busy: bool },
}

impl CacheUse {
    fn is_wanted(self) -> bool {
        matches!(self, Self::Always | Self::IfBusy { is_busy: true })
    }
}

/// Counts a bot with eBPF programs.
pub struct KernelCounter {
    object: SharedObject,
    /// The index of the interface.
    interface: u32,
    maps: Option<BotMaps>,
    cache_use: CacheUse,
    receives_packets: bool,
    /// Whether it is one of the bots that the programs on the interface are attached for.
    is_attached: bool,
    /// Whether a program saw the replies to the bot when the open pane started.
    sees_replies: bool,
    /// The same of the closed pane.
    replies: SeenReplies,
}

impl KernelCounter {
    /// Creates the maps for a bot on the interface with this index, and configures what the programs count.
    /// Nothing is counted until a program is attached.
    ///
    /// # Errors
    ///
    /// When the kernel rejects a map, with the reason.
    pub fn new(object: &SharedObject, interface: u32, config: &CounterConfig) -> Result<Self> {
        let mut shared = object.load(config)?;
        let receives_packets = config.packets_per_host > 0;
        if receives_packets {
            shared.open_packets()?;
        }
        let maps = shared.take_slot(config.capacity)?;
        let slot = maps.slot;
        let cache_use = match (config.needs_every_packet(), object.is_for_one_bot()) {
            (true, _) => CacheUse::Never,
            (false, true) => CacheUse::Always,
            (false, false) => CacheUse::IfBusy { is_busy: false },
        };
        let mut entry = entry(config);
        if cache_use.is_wanted() {
            entry.caches = [shared.flow_cache.take(), shared.flow_cache.take()];
        }
        let added = shared.add_bot(slot, interface, entry, &config.filter);
        drop(shared);
        let any_source = *config.filter.sources() == Sources::Any;
        let group = added.as_ref().copied().unwrap_or_default();
        let counter = Self {
            object: object.clone(),
            interface,
            maps: Some(BotMaps::new(maps, any_source, interface, &group)),
            cache_use,
            receives_packets,
            is_attached: false,
            sees_replies: false,
            replies: SeenReplies::None,
        };
        added.map(|_| counter) // a bot that could not be added gives back its slot when it is dropped
    }

    /// Records that programs are attached to the interface for this bot.
    pub(super) fn set_attached(&mut self) {
        self.is_attached = true;
    }

    /// Sets the end of the first pane, in nanoseconds on the monotonic clock.
    pub(super) fn start_first_pane(&mut self, end: u64, clock: &MonotonicClock) -> Result<()> {
        let (slot, receives_packets) = (self.maps()?.slot.slot, self.receives_packets);
        self.sees_replies = self.sees_replies_now()?;
        self.with_entry(|entry, object| {
            entry.pane_ends[generation(entry)] = end;
            if let Some(packets) = object.packets.as_mut().filter(|_| receives_packets) {
                packets.add_bot(slot, *clock);
            }
        })
    }

    /// Passes packets of the open pane that were [read](SharedObject::read) to `sink`.
    pub(super) fn release_packets(&mut self, sink: &mut impl PaneSink) -> Result<()> {
        if !self.receives_packets {
            return Ok(());
        }
        let mut object = self.object.get()?;
        let open = self.open_cell(&object)?;
        if let Some(packets) = &mut object.packets {
            packets.release(open, sink);
        }
        Ok(())
    }

    /// Shifts the times of buffered packets and of contacts with pending replies by this many nanoseconds.
    pub(super) fn shift_times(&mut self, by: i64) {
        let Some(maps) = &mut self.maps else { return };
        maps.shift_times(by);
        if let Ok(mut object) = self.object.get()
            && let Some(packets) = &mut object.packets
        {
            packets.shift_times(maps.slot.slot, by);
        }
    }

    /// Returns the ledger of the open pane so far.
    pub(super) fn open_ledger(&self) -> Result<Ledger> {
        let object = self.object.get()?;
        let maps = self.maps()?;
        maps.ledger(&object, u32::try_from(generation(self.entry(&object)?))?)
    }

    /// Closes the open pane and opens the next, which ends at `next_end`, in nanoseconds on the monotonic clock.
    /// Programs that are running may still count in the closed pane: [`KernelCounter::wait_for_programs`] must
    /// return before [`KernelCounter::drain`] is called.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to update a map.
    pub fn swap(&mut self, next_end: u64) -> Result<()> {
        let wants_cache = self.cache_use.is_wanted();
        let sees_replies = self.sees_replies_now()?;
        self.replies = match (self.sees_replies, sees_replies) {
            (true, _) => SeenReplies::All,
            (false, true) => SeenReplies::Some,
            (false, false) => SeenReplies::None,
        };
        self.sees_replies = sees_replies;
        self.with_entry(|entry, object| {
            entry.generation = (entry.generation + 1) % u64::from(GENERATIONS);
            let open = generation(entry);
            entry.pane_ends[open] = next_end;
            // The cache of the generation that becomes current is empty.
            if wants_cache != (entry.caches[open].parts > 0) {
                object.flow_cache.give_back(entry.caches[open]);
                entry.caches[open] =
                    if wants_cache { object.flow_cache.take() } else { CacheRange::default() };
            }
        })
    }

    /// Waits until no program counts in a pane that was closed before this call, of this counter or of any other:
    /// the RCU grace period covers every program of the machine.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to update a map, for lack of memory.
    pub fn wait_for_programs(&mut self) -> Result<()> {
        let maps = self.maps()?;
        self.object
            .get()?
            .wait_for_programs(&maps.slot)
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
        let mut object = self.object.get()?;
        let entry = *self.entry(&object)?;
        let maps = self.maps.as_mut().context("the bot has been removed")?;
        let closed = (generation(&entry) + 1) % GENERATIONS as usize;
        let (number, cache) = (u32::try_from(closed)?, entry.caches[closed]);
        if let Some(packets) = object.packets.as_mut().filter(|_| self.receives_packets) {
            packets.drain();
            packets.finish(cell(maps.slot.slot, number), sink);
        }
        let (counts, packets_lost) = maps
            .drain(&mut object, (number, cache), span, self.replies, clock)
            .context("draining the maps")?;
        object.flush_log();
        if let CacheUse::IfBusy { is_busy } = &mut self.cache_use {
            *is_busy = counts.ledger.counted >= BUSY;
        }
        if packets_lost > 0 {
            sink.packets_lost(packets_lost);
        }
        Ok(counts)
    }

    /// Returns whether a program at TC egress sees the replies to the bot.
    fn sees_replies_now(&self) -> Result<bool> {
        let mut object = self.object.get()?;
        Ok(object.programs.get(self.interface).is_some_and(|programs| programs.sees_replies))
    }

    fn maps(&self) -> Result<&BotMaps> {
        self.maps.as_ref().context("the bot has been removed")
    }

    fn entry<'a>(&self, object: &'a KernelObject) -> Result<&'a BotEntry> {
        object.entry(self.maps()?.slot.slot).context("the bot has been removed")
    }

    /// Returns the cell of the open pane.
    fn open_cell(&self, object: &KernelObject) -> Result<u32> {
        let generation = u32::try_from(generation(self.entry(object)?))?;
        Ok(cell(self.maps()?.slot.slot, generation))
    }

    /// Changes the entry of the bot, and publishes it to the programs.
    fn with_entry(&mut self, change: impl FnOnce(&mut BotEntry, &mut KernelObject)) -> Result<()> {
        let mut object = self.object.get()?;
        let mut entry = *self.entry(&object)?;
        change(&mut entry, &mut object);
        object.set_entry(self.maps()?.slot.slot, entry)
    }
}

impl Drop for KernelCounter {
    fn drop(&mut self) {
        let Some(maps) = self.maps.take() else { return };
        let Ok(mut object) = self.object.get() else { return };
        if let Err(error) = object.retire_bot(maps.slot, self.interface, self.is_attached) {
            // The slot is not used again.
            log::debug!("removing a bot: {error:#}");
        }
    }
}

/// Returns the current generation as an index.
fn generation(entry: &BotEntry) -> usize {
    usize::from(entry.generation != 0)
}

/// Returns the entry of a bot with this configuration.
fn entry(config: &CounterConfig) -> BotEntry {
    let filter = &config.filter;
    let mut addresses = filter.sources().addresses();
    let address = addresses.next().unwrap_or(Address::v6([0; 16]));
    let flag = |flag: u64, is_set: bool| if is_set { flag } else { 0 };
    BotEntry {
        generation: 0,
        pane_ends: [0; GENERATIONS as usize],
        mac: match filter.bot_mac() {
            Some(BotMac::Is(mac)) => mac_to_u64(mac),
            Some(BotMac::First | BotMac::Unknown) | None => 0,
        },
        address,
        caches: [CacheRange::default(); GENERATIONS as usize],
        flags: flag(flags::ANY_SOURCE, *filter.sources() == Sources::Any)
            | flag(flags::MORE_SOURCES, addresses.next().is_some())
            | flag(flags::HAS_IGNORED, !filter.ignored_prefixes().is_empty())
            | flag(flags::TRACK_CONTACTS, config.sweeps),
        packets_per_host: config.packets_per_host,
        bloom_parts: bloom::parts(config.capacity),
    }
}

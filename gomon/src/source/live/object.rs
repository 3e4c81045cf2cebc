//! Loading of the eBPF object: creates its maps, sets its globals, and fills the maps that select packets.

use anyhow::{Context, Result, anyhow};
use aya::maps::lpm_trie::Key;
use aya::maps::{HashMap, LpmTrie, Map, MapError};
use aya::{Ebpf, EbpfLoader};
use gomon_common::kernel::{self, GENERATIONS, names};
use gomon_common::{Address, bloom};

use super::config::CounterConfig;
use crate::core::{BotMac, Sources};

/// The object, which is checked in, aligned as its ELF structures require.
fn bytes() -> &'static [u8] {
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/ebpf/gomon.o"))
}

/// Loads the object's maps for `config`, with this many parts in a generation's flow cache. The programs
/// are not loaded yet. With `debug_log` they will log messages.
///
/// # Errors
///
/// When the kernel rejects a map, with the reason.
pub(super) fn load(config: &CounterConfig, flow_cache_parts: u32, debug_log: bool) -> Result<Ebpf> {
    let filter = &config.filter;
    let bot = filter.sources().addresses().next().map_or([0; 16], Address::bytes);
    let other_sources: Vec<Address> = filter.sources().addresses().skip(1).collect();
    let mac = match filter.bot_mac() {
        Some(BotMac::Is(mac)) => kernel::mac_to_u64(mac),
        Some(BotMac::First | BotMac::Unknown) | None => 0,
    };
    let bloom_parts = bloom::parts(config.capacity);
    let log_level = if debug_log { aya_log::Level::Debug as u8 } else { 0 };
    let mut ebpf = EbpfLoader::new()
        .override_global(names::BOT, &bot, true)
        .override_global(names::ANY_SOURCE, &u8::from(*filter.sources() == Sources::Any), true)
        .override_global(names::BOT_MAC, &mac, true)
        .override_global(names::MORE_SOURCES, &u8::from(!other_sources.is_empty()), true)
        .override_global(names::HAS_IGNORED, &u8::from(!filter.ignored_prefixes().is_empty()), true)
        .override_global(names::PACKETS_PER_HOST, &config.packets_per_host, true)
        .override_global(names::TRACK_CONTACTS, &u8::from(config.sweeps), true)
        .override_global(names::BLOOM_PARTS, &bloom_parts, true)
        .override_global(names::FLOW_CACHE_PARTS, &flow_cache_parts, true)
        .map_max_entries(names::PENDING_REPLIES, config.capacity)
        .map_max_entries(names::BLOOM_FILTER, GENERATIONS * bloom_parts)
        .map_max_entries(names::FLOW_CACHE, GENERATIONS * flow_cache_parts.max(1))
        .override_global(aya_log::LEVEL, &log_level, true)
        .load(bytes())
        .map_err(|error| root_cause(&error))
        .context("creating the maps")?;

    let mut sources: HashMap<_, [u8; 16], u8> = map_mut(&mut ebpf, names::SOURCES)?;
    for source in other_sources {
        sources.insert(source.bytes(), 1, 0)?;
    }
    let mut ignored: LpmTrie<_, [u8; 16], u8> = map_mut(&mut ebpf, names::IGNORED)?;
    for (prefix, is_ignored) in filter.lpm_entries() {
        let key = Key::new(prefix.bits(), prefix.address().bytes());
        ignored.insert(&key, u8::from(is_ignored), 0)?;
    }
    Ok(ebpf)
}

/// Moves a map out of the object and converts it to its type.
pub(super) fn take_map<M>(ebpf: &mut Ebpf, name: &str) -> Result<M>
where
    M: TryFrom<Map, Error = MapError>,
{
    M::try_from(take_untyped_map(ebpf, name)?).with_context(|| format!("map {name}"))
}

/// Moves a map out of the object.
pub(super) fn take_untyped_map(ebpf: &mut Ebpf, name: &str) -> Result<Map> {
    ebpf.take_map(name).ok_or_else(|| anyhow!("the object has no map {name}"))
}

/// Borrows a map of the object.
fn map_mut<'a, M>(ebpf: &'a mut Ebpf, name: &str) -> Result<M>
where
    M: TryFrom<&'a mut Map, Error = MapError>,
{
    let map = ebpf.map_mut(name).ok_or_else(|| anyhow!("the object has no map {name}"))?;
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

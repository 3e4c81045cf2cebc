//! The per-CPU flow caches: counts that are not in the maps of endpoints.

use anyhow::Result;
use aya::maps::{MapData, PerCpuArray, PerCpuValues};
use gomon_common::Endpoint;
use gomon_common::bot::CacheRange;
use gomon_common::flow_cache::{PART_WORDS, SLOT_WORDS, endpoint};

use super::object_size::ObjectSize;
use crate::core::Counts;

type CachePart = [u64; PART_WORDS];

/// The flow caches, which are assigned to the generations of bots.
pub(super) struct FlowCachePool {
    map: PerCpuArray<MapData, CachePart>,
    /// The caches that no bot has.
    free: Vec<CacheRange>,
    cpus: usize,
}

impl FlowCachePool {
    /// Wraps a map of this size.
    pub(super) fn new(map: PerCpuArray<MapData, CachePart>, size: ObjectSize, cpus: usize) -> Self {
        let parts = size.cache_parts;
        let free = (0..size.caches).rev().map(|cache| CacheRange { first: cache * parts, parts });
        Self { map, free: free.collect(), cpus }
    }

    /// Takes a cache, which is empty. Returns one without parts if none is left.
    pub(super) fn take(&mut self) -> CacheRange {
        self.free.pop().unwrap_or_default()
    }

    /// Takes back a cache, which must be empty.
    pub(super) fn give_back(&mut self, cache: CacheRange) {
        if cache.parts > 0 {
            self.free.push(cache);
        }
    }

    /// Reads and clears the counts of a cache that no program uses. Endpoints are in no order, and listed once
    /// for each CPU and contact flag.
    pub(super) fn drain(&mut self, cache: CacheRange) -> Result<Vec<(Endpoint, Counts)>> {
        let mut drained = Vec::new();
        for part in cache.first..cache.first + cache.parts {
            let before = drained.len();
            for cpu in self.map.get(&part, 0)?.iter() {
                for &[key, packets, bytes] in cpu.as_chunks::<SLOT_WORDS>().0 {
                    if key != 0 {
                        drained.push((endpoint(key), Counts { packets, bytes }));
                    }
                }
            }
            if drained.len() > before {
                self.map.set(part, PerCpuValues::try_from(vec![[0; PART_WORDS]; self.cpus])?, 0)?;
            }
        }
        Ok(drained)
    }
}

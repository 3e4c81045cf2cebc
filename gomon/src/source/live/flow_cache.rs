//! The per-CPU flow cache: counts that are not in the map of endpoints.

use anyhow::Result;
use aya::maps::{MapData, PerCpuArray, PerCpuValues};
use gomon_common::Endpoint;
use gomon_common::flow_cache::{PART_WORDS, SLOT_WORDS, endpoint, parts};

use crate::core::Counts;

type CachePart = [u64; PART_WORDS];

/// The flow caches of both generations.
pub(super) struct FlowCache {
    map: PerCpuArray<MapData, CachePart>,
    /// The number of parts in a generation.
    parts: u32,
    cpus: usize,
}

/// Returns the number of parts in a generation's flow cache on each of `cpus`, or 0 for no cache if every
/// packet has to reach the endpoint map.
pub(super) fn number_of_parts(endpoints: u32, cpus: usize, needs_every_packet: bool) -> u32 {
    if needs_every_packet { 0 } else { parts(endpoints, cpus) }
}

impl FlowCache {
    /// Wraps a map with this many parts per generation.
    pub(super) fn new(map: PerCpuArray<MapData, CachePart>, parts: u32, cpus: usize) -> Self {
        Self { map, parts, cpus }
    }

    /// Reads and clears the counts of a closed generation. Endpoints are in no order, and listed once for
    /// each CPU and contact flag.
    pub(super) fn drain(&mut self, generation: u32) -> Result<Vec<(Endpoint, Counts)>> {
        let mut drained = Vec::new();
        for part in generation * self.parts..(generation + 1) * self.parts {
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

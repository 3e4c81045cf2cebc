//! What the program counted in places near at hand, on each CPU, instead of in the map of endpoints.

use anyhow::Result;
use aya::maps::{MapData, PerCpuArray, PerCpuValues};
use gomon_common::Endpoint;
use gomon_common::flow_cache::{PART_WORDS, SLOT_WORDS, endpoint, parts};

use crate::core::Counts;

type Part = [u64; PART_WORDS];

/// The places of both generations.
pub(super) struct FlowCache {
    map: PerCpuArray<MapData, Part>,
    parts: u32,
    cpus: usize,
}

/// How many parts the places of a generation have on each of `cpus`; none where every packet has to be
/// looked at in the map, for artifacts or for its source.
pub(super) fn number_of_parts(endpoints: u32, cpus: usize, each_in_the_map: bool) -> u32 {
    if each_in_the_map { 0 } else { parts(endpoints, cpus) }
}

impl FlowCache {
    /// The places in a map of so many parts a generation.
    pub(super) fn new(map: PerCpuArray<MapData, Part>, parts: u32, cpus: usize) -> Self {
        Self { map, parts, cpus }
    }

    /// Takes out what was counted in a generation that is closed: endpoints in no order, and several
    /// times where several CPUs sent to them.
    pub(super) fn take(&mut self, generation: u32) -> Result<Vec<(Endpoint, Counts)>> {
        let mut all = Vec::new();
        for part in generation * self.parts..(generation + 1) * self.parts {
            let before = all.len();
            for cpu in self.map.get(&part, 0)?.iter() {
                for &[key, packets, bytes] in cpu.as_chunks::<SLOT_WORDS>().0 {
                    if key != 0 {
                        all.push((endpoint(key), Counts { packets, bytes }));
                    }
                }
            }
            if all.len() > before {
                self.map.set(part, PerCpuValues::try_from(vec![[0; PART_WORDS]; self.cpus])?, 0)?;
            }
        }
        Ok(all)
    }
}

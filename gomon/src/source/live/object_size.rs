//! The sizes of the maps that the bots of a process share.

use anyhow::{Result, anyhow};
use aya::util::nr_cpus;
use gomon_common::flow_cache::{self, PART_WORDS};
use gomon_common::kernel::{DEFAULT_DESTINATIONS, GENERATIONS};

use super::config::CounterConfig;

/// The memory limit for the flow caches of a fleet, in bytes: busy bots have one, for each CPU and generation.
const FLEET_CACHES: usize = 16 << 20;

/// The sizes of the maps that the bots share.
#[derive(Clone, Copy, Debug)]
pub struct ObjectSize {
    /// The maximum number of bots.
    pub slots: u32,
    /// The number of parts in a bot's flow cache, per CPU and generation.
    pub cache_parts: u32,
    /// The number of flow caches.
    pub caches: u32,
}

impl ObjectSize {
    /// Returns the sizes for one bot.
    ///
    /// # Errors
    ///
    /// When the number of CPUs can't be read.
    pub fn of_one_bot(config: &CounterConfig) -> Result<Self> {
        let cache_parts = flow_cache::parts(config.capacity, cpus()?);
        let caches = if config.needs_every_packet() { 0 } else { GENERATIONS };
        Ok(Self { slots: 1, cache_parts, caches })
    }

    /// Returns the sizes for up to `slots` bots.
    ///
    /// # Errors
    ///
    /// When the number of CPUs can't be read.
    pub fn of_fleet(slots: u32) -> Result<Self> {
        let cpus = cpus()?;
        let cache_parts = flow_cache::parts(u32::try_from(DEFAULT_DESTINATIONS)?, cpus);
        let part = size_of::<[u64; PART_WORDS]>().saturating_mul(cpus);
        let parts = u32::try_from(FLEET_CACHES / part.max(1))?;
        let caches = (parts / cache_parts).min(slots.saturating_mul(GENERATIONS));
        Ok(Self { slots, cache_parts, caches })
    }
}

fn cpus() -> Result<usize> {
    nr_cpus().map_err(|(what, error)| anyhow!("reading {what}: {error}"))
}

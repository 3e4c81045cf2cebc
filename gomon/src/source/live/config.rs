//! The configuration of a counter.

use crate::core::{PacketFilter, Sources};

/// What a counter counts, in the kernel or in user space.
#[derive(Clone, Debug)]
pub struct CounterConfig {
    /// The packets to count.
    pub filter: PacketFilter,
    /// The maximum number of listed hosts, and of listed endpoints, in a pane.
    pub capacity: u32,
    /// The maximum number of packets per host sent to user space for artifacts in a
    /// [`RATE_INTERVAL`](gomon_common::kernel::RATE_INTERVAL); 0 for none.
    pub packets_per_host: u32,
    /// Whether contacts are recorded for sweep detection.
    pub sweeps: bool,
}

impl CounterConfig {
    /// Whether every packet has to reach the map of endpoints, so that no flow cache can be used: for artifacts,
    /// and to record the sources.
    #[must_use]
    pub fn needs_every_packet(&self) -> bool {
        *self.filter.sources() == Sources::Any || self.packets_per_host > 0
    }

    /// Whether replies to the bot have to be seen.
    #[must_use]
    pub fn needs_replies(&self) -> bool {
        self.packets_per_host > 0 || self.sweeps
    }
}

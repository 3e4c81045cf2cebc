//! The configuration of a counter.

use crate::core::PacketFilter;

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

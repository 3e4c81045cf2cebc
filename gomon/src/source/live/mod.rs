//! Live counting on interfaces: the kernel counts, and the counts are fetched at the end of each pane.
//! If the kernel cannot count, libpcap captures the frames and this process counts them.

mod attach;
mod attach_error;
mod attached_programs;
mod attachment;
mod batch;
mod bot_maps;
mod capabilities;
mod capture;
mod clock;
mod clsact;
mod config;
mod counter;
mod detacher;
mod event;
mod flow_cache;
mod grid;
mod group;
mod hash_map;
pub mod interface;
mod interfaces;
mod kernel;
mod link;
mod member;
mod mode;
mod object;
mod object_bots;
mod object_size;
mod packet_timer;
mod packets;
mod pending_replies;
mod poller;
mod program_load;
mod release;
mod reorder;
mod senders;
mod set;
mod slot_maps;
mod slot_pool;
mod socket_filter;
mod values;

use std::time::Duration;

pub use attachment::Live;
pub use capture::listen;
pub use clock::MonotonicClock;
pub use config::CounterConfig;
pub use event::{LiveEnd, LiveEvent, LiveState};
pub use kernel::KernelCounter;
pub use mode::{AttachMode, FALLBACK_ORDER};
pub use object::SharedObject;
pub use object_size::ObjectSize;
pub use poller::Waker;
pub use program_load::load_with_retry;
pub use set::LiveSet;

/// The shortest pane of an interface. Swapping generations takes an RCU grace period, for which every CPU
/// has to pass through a quiescent state.
pub const SHORTEST_PANE: Duration = Duration::from_millis(100);
/// The maximum number of listed destinations. The kernel preallocates 300 bytes for each.
pub const MAX_DESTINATIONS: usize = 1_000_000;

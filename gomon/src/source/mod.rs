//! Sources of packets: a capture that is replayed, or a network interface.
//!
//! A source counts packets and passes the counts on to a [`PaneSink`], pane by pane. The frames themselves are
//! passed on only for artifacts.

mod counting;
pub mod listing;
pub mod live;
mod pane_sink;
pub mod replay;
mod stop;
mod wall;

pub use pane_sink::{PacketSink, PaneSink};
pub use stop::Stop;
pub(crate) use wall::now as wall_clock;

//! What gomon decides, apart from where packets come from and where records go.
//!
//! Values in, values out, and time is an argument: no clock, file, socket, log, thread or capture
//! library is used below this module, and `tests/architecture.rs` holds that.
//!
//! The way through it:
//!
//! 1. [`PacketFilter`] says which packets count, [`PaneClock`] into which pane of time a frame falls, with
//!    [`UnconfirmedFrames`] where its timestamp may lie, and [`Tally`] counts them one by one (replay; a live
//!    capture counts in the kernel).
//! 2. [`WindowCounts`] is what one pane counted: the seam. Nothing above it can tell a replay from a
//!    live capture.
//! 3. [`Engine`] sums panes into windows and has each one judged ([`judge`]) by a [`Policy`];
//!    [`Sweeps`] goes along from pane to pane, for what needs a longer memory.
//! 4. [`WindowReport`] is the answer, in data; `sink` performs it.

mod calibration;
mod clock;
mod contact;
mod counts;
mod endpoint_table;
mod engine;
mod filter;
mod host_table;
mod hyperloglog;
pub mod judge;
mod ledger;
mod origin;
mod policy;
mod prefix;
mod ranges;
mod senders;
mod sliding;
mod sweep;
mod talkers;
mod tally;
mod time;
mod unconfirmed;

pub use calibration::{Calibration, Observation};
pub use clock::{PaneClock, PanePosition};
pub use contact::{ANSWER_TIME, ContactTimes};
pub use counts::{Counts, Overflow, WindowCounts};
pub use engine::{Engine, SILENT_WINDOWS_REPORTED};
pub use filter::{BotMac, PacketFilter, Sources};
pub use hyperloglog::HyperLogLog;
pub use judge::{Busiest, Contacts, HostCount, Sweep, Target, Verdict, WindowReport};
pub use ledger::Ledger;
pub use origin::Origin;
pub use policy::{MAX_PANES, Policy, ScanMode};
pub use prefix::Prefix;
pub use ranges::Ranges;
pub use senders::{Senders, is_telling};
pub use sweep::{Decision, Service, Sweeps, Walk};
pub use talkers::{Source, Talker, Talkers};
pub use tally::Tally;
pub use time::{Span, Timestamp};
pub(crate) use time::{nanoseconds, seconds};
pub use unconfirmed::{Lookahead, UnconfirmedFrames};

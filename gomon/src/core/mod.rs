//! Detection: what is counted, and how counts are judged. It is independent of where packets come from and where
//! records are written.
//!
//! It takes values and returns values, and time is an argument: it uses no clock, file, socket, log, thread or
//! capture library. `tests/architecture.rs` checks that.
//!
//! The data flow:
//!
//! 1. [`PacketFilter`] selects the packets to count, [`PaneClock`] assigns each frame to a pane,
//!    [`UnconfirmedFrames`] holds back frames with an unconfirmed timestamp, and [`Tally`] counts packet by packet
//!    (in a replay, and on an interface where the kernel can't count).
//! 2. [`WindowCounts`] is the result for one pane. A replay and an interface both produce it.
//! 3. [`Engine`] sums panes into windows and judges each by a [`Policy`]; [`SweepDetector`] keeps the state that
//!    spans windows.
//! 4. [`WindowReport`] is the result for one window, as data. `sink` writes it.

mod attribution;
mod calibration;
mod clock;
mod contact;
mod counts;
mod endpoint_table;
mod engine;
mod filter;
mod host_set;
mod host_table;
mod hyperloglog;
mod judge;
mod ledger;
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
mod verdict;

pub use calibration::{Calibration, Observation};
pub use clock::{PaneClock, PanePosition};
pub use contact::{ContactTimes, REPLY_TIMEOUT};
pub use counts::{Counts, Overflow, PacketSource, WindowCounts};
pub use engine::{Engine, SILENT_WINDOWS_REPORTED};
pub use filter::{BotMac, PacketFilter, Sources};
pub use hyperloglog::HyperLogLog;
pub use ledger::Ledger;
pub use policy::{MAX_PANES, Policy, ScanMode};
pub use prefix::Prefix;
pub use ranges::Ranges;
pub use senders::{Senders, identifies_host};
pub use sweep::{ContactOutcome, Service, SweepDetector, SweepTest};
pub use talkers::{Talker, TalkerKey, Talkers};
pub use tally::Tally;
pub use time::{Span, Timestamp};
pub(crate) use time::{nanoseconds, seconds};
pub use unconfirmed::{Lookahead, UnconfirmedFrames};
pub use verdict::{
    AttackTarget, Busiest, HostCount, ServiceContacts, Sweep, Verdict, WindowReport,
};

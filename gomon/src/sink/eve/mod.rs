//! Verdicts as Suricata EVE records, one JSON object per line.

mod config;
mod context;
mod destination;
mod line_writer;
mod output;
mod queue;
mod record;
mod recorder;
mod stats;
mod target;
mod verdict;
mod writer;

pub use config::{EveConfig, InputName, RecordSelection};
pub use output::{EveTargets, Output, OutputMonitor, OverflowPolicy};
pub use queue::Delivery;
pub use recorder::Eve;
pub use stats::{EndReason, MissedWindows};

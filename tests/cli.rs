//! The command line as a black box: streams, exit statuses, errors, signals and limits.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that can't continue fails, and prints what it skipped"
)]

mod support;

#[path = "cli/calibration.rs"]
mod calibration;
#[path = "cli/damage.rs"]
mod damage;
#[path = "cli/flags.rs"]
mod flags;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/inputs.rs"]
mod inputs;
#[path = "cli/manager.rs"]
mod manager;
#[path = "cli/memory.rs"]
mod memory;
#[path = "cli/outputs.rs"]
mod outputs;
#[path = "cli/pipes.rs"]
mod pipes;
#[path = "cli/samples.rs"]
mod samples;
#[path = "cli/signals.rs"]
mod signals;
#[path = "cli/sockets.rs"]
mod sockets;
#[path = "cli/sources.rs"]
mod sources;
#[path = "cli/streams.rs"]
mod streams;
#[path = "cli/subjects.rs"]
mod subjects;
#[path = "cli/summary.rs"]
mod summary;
#[path = "cli/traffic.rs"]
mod traffic;
#[path = "cli/usage.rs"]
mod usage;

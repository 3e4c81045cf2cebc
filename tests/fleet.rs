//! `gomon fleet` and `gomon ctl` as an operator uses them: configuration, control socket, metrics, signals, and
//! interfaces that come and go. Tests with interfaces need root and are skipped without it.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that can't continue fails, and prints what it measured"
)]

mod support;

#[path = "fleet/configuration.rs"]
mod configuration;
#[path = "fleet/control.rs"]
mod control;
#[path = "fleet/hotplug.rs"]
mod hotplug;
#[path = "fleet/interfaces.rs"]
mod interfaces;
#[path = "fleet/metrics.rs"]
mod metrics;
#[path = "fleet/program.rs"]
mod program;
#[path = "fleet/service.rs"]
mod service;

use support::skip::skip;

/// Returns whether this process may create interfaces and load programs. If not, the test is skipped.
#[track_caller]
fn privileged() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("interfaces and eBPF programs need root");
    }
    root
}

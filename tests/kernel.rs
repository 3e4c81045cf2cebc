//! The eBPF programs on the running kernel. These tests need root and are skipped without it.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests panic on failure and print what they measure"
)]

mod support;

#[path = "kernel/differential.rs"]
mod differential;
#[path = "kernel/fleet.rs"]
mod fleet;
#[path = "kernel/generator.rs"]
mod generator;
#[path = "kernel/live.rs"]
mod live;
#[path = "kernel/object.rs"]
mod object;
#[path = "kernel/several.rs"]
mod several;
#[path = "kernel/skips.rs"]
mod skips;

use support::skip::skip;

/// Returns whether this process may load programs. If not, the test is skipped.
#[track_caller]
fn privileged() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("loading eBPF programs needs root");
    }
    root
}

/// Returns whether the kernel can generate frames, as the packet generator requires.
fn can_generate() -> bool {
    linux(5, 18, "generating packets inside the kernel")
}

/// Returns whether the kernel is at least this release. If not, the test is skipped.
fn linux(major: u32, minor: u32, what: &str) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let new = (numbers.next(), numbers.next()) >= (Some(major), Some(minor));
    if !new {
        skip(format_args!("{what} needs Linux {major}.{minor}: this is {}", release.trim()));
    }
    new
}

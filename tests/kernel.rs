//! The kernel program on the kernel that is running. Needs root, and is skipped without.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that can't go on fails, and says what it measured"
)]

mod support;

#[path = "kernel/differential.rs"]
mod differential;
#[path = "kernel/generator.rs"]
mod generator;
#[path = "kernel/live.rs"]
mod live;
#[path = "kernel/object.rs"]
mod object;
#[path = "kernel/skips.rs"]
mod skips;

use support::skip::skip;

/// Whether the kernel lets this process load programs; the test is skipped when not.
#[track_caller]
fn privileged() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("loading kernel programs needs root");
    }
    root
}

/// Whether the kernel makes frames itself, for the packet generator.
fn generates() -> bool {
    linux(5, 18, "generating packets inside the kernel")
}

/// Whether the kernel is new enough; the test is skipped when not.
fn linux(major: u32, minor: u32, what: &str) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let new = (numbers.next(), numbers.next()) >= (Some(major), Some(minor));
    if !new {
        skip(format_args!("{what} needs Linux {major}.{minor}: this is {}", release.trim()));
    }
    new
}

//! Sweep detection on generated and on real traffic.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests panic on setup errors, and print what they skip"
)]

mod support;

#[path = "sweep/captures.rs"]
mod captures;
#[path = "sweep/memory.rs"]
mod memory;
#[path = "sweep/model.rs"]
mod model;
#[path = "sweep/properties.rs"]
mod properties;

//! Sweeps: the test of unanswered hosts on made and on real traffic.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that can't go on fails, and says what it skipped"
)]

mod support;

#[path = "sweep/captures.rs"]
mod captures;
#[path = "sweep/documentation.rs"]
mod documentation;
#[path = "sweep/memory.rs"]
mod memory;
#[path = "sweep/walks.rs"]
mod walks;

//! Replays of captures: formats, clocks and counts, compared with tshark on real captures.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that can't continue fails, and prints what it skipped"
)]

mod support;

#[path = "replay/clocks.rs"]
mod clocks;
#[path = "replay/concatenated.rs"]
mod concatenated;
#[path = "replay/fast_path.rs"]
mod fast_path;
#[path = "replay/formats.rs"]
mod formats;
#[path = "replay/opaque.rs"]
mod opaque;
#[path = "replay/pcapng.rs"]
mod pcapng;
#[path = "replay/plain.rs"]
mod plain;
#[path = "replay/steps.rs"]
mod steps;
#[path = "replay/truth.rs"]
mod truth;

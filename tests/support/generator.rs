//! Frames of every kind that the parser supports, built from a plan, so that their contents are known without
//! parsing them.
//!
//! [`strategy`] generates [`Sample`]s. A plan holds the random choices: link type, tags and labels, IP headers,
//! wrong lengths, padding. Building turns it into bytes, and records the offset and the meaning of each header.

mod build;
mod builder;
mod carrier;
mod expected;
mod layers;
mod plan;
mod wifi;

use proptest::prelude::*;

pub use expected::Sample;

/// Generates frames with their expected packets.
pub fn strategy() -> impl Strategy<Value = Sample> {
    plan::plan().prop_map(|plan| build::build(&plan))
}

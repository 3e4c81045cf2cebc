//! Records: their contents, and that they conform to `docs/eve.schema.json` and Suricata's schemas.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that can't go on fails, and says what it skipped"
)]

mod support;

#[path = "eve/broken.rs"]
mod broken;
#[path = "eve/classes.rs"]
mod classes;
#[path = "eve/documents.rs"]
mod documents;
#[path = "eve/real.rs"]
mod real;
#[path = "eve/rules.rs"]
mod rules;
#[path = "eve/runs.rs"]
mod runs;
#[path = "eve/schemas.rs"]
mod schemas;
#[path = "eve/thresholds.rs"]
mod thresholds;
#[path = "eve/verdicts.rs"]
mod verdicts;
#[path = "eve/windows.rs"]
mod windows;

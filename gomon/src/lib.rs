//! gomon watches what a sandboxed bot sends.
//!
//! The library is the program's own: `main.rs` only calls [`cli::main`]. The rooms, and who may know
//! whom, are drawn in `ARCHITECTURE.md`.

pub mod cli;
pub mod core;
pub mod frame;
pub mod run;
pub mod settings;
pub mod sink;
pub mod source;

/// The program's version, as `gomon --version` ends: `version v0.1.0`, or `version dev (<commit>)` for
/// a build from a checkout.
pub const VERSION: &str = concat!("version ", env!("GOMON_VERSION"));

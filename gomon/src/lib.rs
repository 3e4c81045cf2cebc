//! gomon watches what a sandboxed bot sends.
//!
//! The library exists for the program and its tests: `main.rs` only calls [`cli::main`]. The modules, and
//! which module may depend on which, are described in `ARCHITECTURE.md`.

pub mod cli;
pub mod core;
pub mod frame;
pub mod run;
pub mod settings;
pub mod sink;
pub mod source;

/// The program's version, as at the end of `gomon --version`: `version v0.1.0`, or `version dev (<commit>)` for
/// a build from a checkout.
pub const VERSION: &str = concat!("version ", env!("GOMON_VERSION"));

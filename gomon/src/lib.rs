//! gomon watches what a sandboxed bot sends.
//!
//! The library is used by the program and by its tests: `main.rs` only calls [`cli::main`]. `ARCHITECTURE.md`
//! describes the modules and their dependencies.

pub mod cli;
pub mod core;
pub mod fleet;
pub mod frame;
pub mod run;
pub mod settings;
pub mod sink;
pub mod source;

/// The program's version, as `gomon --version` prints it: `version v0.1.0`, or `version dev (<commit>)` for
/// a build from a checkout.
pub const VERSION: &str = concat!("version ", env!("GOMON_VERSION"));

//! Many bots in one process.

mod config;
mod control;
pub mod counting;
pub mod hotplug;
mod id;
pub mod metrics;
mod report;
mod request;
mod roster;
mod run;
mod service;
mod shell;
mod status;
mod template;
mod wanted;

pub use control::client::request as control_request;
pub use run::{Fleet, check};

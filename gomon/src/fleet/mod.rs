//! Many bots in one process.

mod config;
pub mod counting;
pub mod hotplug;
mod id;
mod roster;
mod status;
mod template;
mod wanted;

pub use id::BotId;
pub use status::{BotDescription, BotStatus};

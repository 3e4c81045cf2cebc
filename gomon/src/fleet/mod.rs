//! Many bots in one process.

pub mod counting;
mod id;
mod status;

pub use id::BotId;
pub use status::{BotDescription, BotStatus};

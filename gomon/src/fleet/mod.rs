//! Many bots in one process.

pub mod counting;
mod id;
mod status;

//! The numbers of bots.

/// Identifies a bot for as long as the process runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BotId(pub u64);

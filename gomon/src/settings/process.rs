//! Settings of the process, whatever the number of bots it watches.

use log::LevelFilter;

/// What the command does with its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunMode {
    /// Reports floods, scans and silence.
    Detect,
    /// Recommends thresholds, and reports nothing.
    Calibrate,
    /// Lists the sources that send, and counts nothing.
    ListSources,
}

/// The settings of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessSettings {
    /// What the command does.
    pub mode: RunMode,
    /// The least severe messages to log.
    pub log_level: LevelFilter,
    /// Whether banner, configuration and progress are left out.
    pub quiet: bool,
    /// Whether the run ends with the parent process.
    pub die_with_parent: bool,
}

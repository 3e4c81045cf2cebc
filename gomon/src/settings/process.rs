//! Settings of the process, which are independent of the number of bots that it watches.

use log::LevelFilter;

/// What the command does with its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunMode {
    /// Reports floods, scans and silence.
    Detect,
    /// Recommends thresholds, and reports nothing.
    Calibrate,
    /// Lists the sources of packets, and counts nothing.
    ListSources,
}

/// The settings of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessSettings {
    /// What the command does.
    pub mode: RunMode,
    /// The lowest level to log.
    pub log_level: LevelFilter,
    /// Whether the banner, the configuration and the progress are not shown.
    pub quiet: bool,
    /// Whether the run ends when the parent process exits.
    pub die_with_parent: bool,
}

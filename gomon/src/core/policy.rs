//! The thresholds a window is judged by, each in one unit.

use std::time::Duration;

use super::time;

/// The most panes a window may be cut into (`--window` divided by `--step`). It bounds what sliding
/// windows keep in memory.
pub const MAX_PANES: u64 = 1000;

/// Which of a window's hosts count towards a horizontal scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ScanMode {
    /// All of them.
    HostRate,
    /// Those the previous window did not have.
    NewHostRate,
    /// Those that are not under attack in this window.
    #[default]
    FilteredHostRate,
}

impl ScanMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::HostRate, Self::NewHostRate, Self::FilteredHostRate];

    /// The mode as it is written on the command line and in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HostRate => "host-rate",
            Self::NewHostRate => "new-host-rate",
            Self::FilteredHostRate => "filtered-host-rate",
        }
    }
}

/// How windows are cut and judged. Every threshold is strict: a value must exceed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Length of a window.
    pub window: Duration,
    /// From the start of one window to the start of the next; divides `window`.
    pub step: Duration,
    /// Packets a second to one destination that make it an attack.
    pub packet_threshold: f64,
    /// Destination hosts in a window that make it a horizontal scan.
    pub destination_threshold: f64,
    /// Destination ports of one host in a window that make it a vertical scan; `None` never does.
    pub port_threshold: Option<f64>,
    /// Which hosts count towards a horizontal scan.
    pub scan_mode: ScanMode,
    /// Decided contacts on a port from which on it can be called swept; `None` never is.
    pub sweep_hosts: Option<u64>,
    /// Whether ordinary destinations are reported.
    pub connections: bool,
}

impl Policy {
    /// Length of a window in nanoseconds.
    #[must_use]
    pub fn window_nanoseconds(&self) -> i64 {
        time::nanoseconds(self.window)
    }

    /// Length of a pane, the step, in nanoseconds.
    #[must_use]
    pub fn step_nanoseconds(&self) -> i64 {
        time::nanoseconds(self.step)
    }

    /// Panes in a window.
    #[must_use]
    pub fn panes(&self) -> usize {
        usize::try_from(self.window.as_nanos() / self.step.as_nanos().max(1))
            .unwrap_or(usize::MAX)
            .max(1)
    }
}

//! The thresholds by which a window is judged, each in a fixed unit.

use std::time::Duration;

use super::time;

/// The maximum number of panes in a window (`--window` divided by `--step`), which bounds the memory of sliding
/// windows.
pub const MAX_PANES: u64 = 1000;

/// Which of a window's hosts count towards a horizontal scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ScanMode {
    /// All hosts.
    HostRate,
    /// Hosts that are not in the previous window.
    NewHostRate,
    /// Hosts that are not under attack in this window.
    #[default]
    FilteredHostRate,
}

impl ScanMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::HostRate, Self::NewHostRate, Self::FilteredHostRate];

    /// The name of the mode on the command line and in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HostRate => "host-rate",
            Self::NewHostRate => "new-host-rate",
            Self::FilteredHostRate => "filtered-host-rate",
        }
    }
}

/// The length of windows and the thresholds to judge them by. Every threshold is strict: a value must exceed
/// it.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The length of a window.
    pub window: Duration,
    /// The time from the start of one window to the start of the next; divides `window`.
    pub step: Duration,
    /// Packets per second to one destination above which it is under attack.
    pub packet_threshold: f64,
    /// The number of destination hosts above which a window has a horizontal scan.
    pub destination_threshold: f64,
    /// The number of ports of one host above which a window has a vertical scan; `None` disables the check.
    pub port_threshold: Option<f64>,
    /// Which hosts count towards a horizontal scan.
    pub scan_mode: ScanMode,
    /// The minimum number of decided contacts on a swept port; `None` disables sweep detection.
    pub sweep_hosts: Option<u64>,
    /// Whether ordinary destinations are reported.
    pub connections: bool,
}

impl Policy {
    /// The length of a window in nanoseconds.
    #[must_use]
    pub fn window_nanoseconds(&self) -> i64 {
        time::nanoseconds(self.window)
    }

    /// The length of a pane, which is the step, in nanoseconds.
    #[must_use]
    pub fn step_nanoseconds(&self) -> i64 {
        time::nanoseconds(self.step)
    }

    /// The number of panes in a window.
    #[must_use]
    pub fn panes(&self) -> usize {
        usize::try_from(self.window.as_nanos() / self.step.as_nanos().max(1))
            .unwrap_or(usize::MAX)
            .max(1)
    }
}

//! Calibration: finds the thresholds that fit a bot's ordinary traffic.

use super::policy::Policy;
use super::verdict::{Busiest, WindowReport};

/// A quantity that is measured per window: its latest value, maximum and sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observation {
    /// The value in the latest window.
    pub latest: f64,
    /// The largest value so far.
    pub maximum: f64,
    sum: f64,
}

impl Observation {
    /// Records `value` for each of `windows` windows.
    #[expect(clippy::cast_precision_loss, reason = "a number of windows")]
    fn observe(&mut self, value: f64, windows: u64) {
        self.latest = value;
        self.maximum = self.maximum.max(value);
        self.sum += value * windows as f64;
    }
}

/// The observations of a calibration run.
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    /// Windows observed, including silent ones.
    pub windows: u64,
    /// Packets per second, to all destinations together.
    pub packet_rate: Observation,
    /// Hosts per window that count towards a horizontal scan in the scan mode.
    pub hosts: Observation,
    /// Ports per window of the host with the most ports.
    pub ports: Observation,
    /// Packets per second to the busiest host.
    pub busiest_rate: Observation,
    /// The busiest host of all windows.
    pub busiest: Option<Busiest>,
}

impl Calibration {
    /// Derives the policy under which windows are observed: `policy` without attacks and sweeps. With the
    /// recommended thresholds nothing observed would be an attack, so `filtered-host-rate` must not leave out
    /// hosts under attack. Sweeps have no threshold to recommend.
    #[must_use]
    pub fn policy(policy: &Policy) -> Policy {
        Policy { packet_threshold: f64::INFINITY, sweep_hosts: None, ..policy.clone() }
    }

    /// Observes a window.
    #[expect(clippy::cast_precision_loss, reason = "counts of one window")]
    pub fn observe(&mut self, report: &WindowReport) {
        self.windows += report.windows;
        self.packet_rate.observe(report.rate(report.total.packets), report.windows);
        self.hosts.observe(report.scanned_hosts.count as f64, report.windows);
        self.ports.observe(report.most_ports as f64, report.windows);
        let rate = report.busiest.map_or(0.0, |busiest| report.rate(busiest.counts.packets));
        if rate > self.busiest_rate.maximum {
            self.busiest = report.busiest;
        }
        self.busiest_rate.observe(rate, report.windows);
    }

    /// The mean of an observation over all windows.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a number of windows")]
    pub fn mean(&self, observation: &Observation) -> f64 {
        if self.windows == 0 { 0.0 } else { observation.sum / self.windows as f64 }
    }

    /// The lowest `--packet-threshold`, in packets per second, with which nothing observed is an attack.
    #[must_use]
    pub fn packet_threshold(&self) -> f64 {
        self.busiest_rate.maximum
    }

    /// The lowest `--destination-threshold`, in hosts per window, with which nothing observed is a scan.
    #[must_use]
    pub fn destination_threshold(&self) -> f64 {
        self.hosts.maximum
    }

    /// The lowest `--port-threshold`, in ports per window, with which nothing observed is a vertical
    /// scan. `None` if no packet had a port: a threshold of 0 would disable the check.
    #[must_use]
    pub fn port_threshold(&self) -> Option<f64> {
        Some(self.ports.maximum).filter(|ports| *ports > 0.0)
    }
}

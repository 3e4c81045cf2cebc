//! What thresholds a bot's ordinary traffic calls for.

use super::judge::{Busiest, WindowReport};
use super::policy::Policy;

/// A figure per window, with its running mean and maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observation {
    /// In the latest window.
    pub latest: f64,
    /// The largest so far.
    pub maximum: f64,
    sum: f64,
}

impl Observation {
    /// Enters `value` once for each of so many windows.
    #[expect(clippy::cast_precision_loss, reason = "windows")]
    fn enter(&mut self, value: f64, windows: u64) {
        self.latest = value;
        self.maximum = self.maximum.max(value);
        self.sum += value * windows as f64;
    }
}

/// What was seen so far, window by window.
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    /// Windows seen, the silent ones too.
    pub windows: u64,
    /// Packets a second, to all destinations together.
    pub packet_rate: Observation,
    /// Hosts in a window, of those the scan mode counts.
    pub hosts: Observation,
    /// Ports in a window, of the host with most.
    pub ports: Observation,
    /// Packets a second to the busiest destination host.
    pub busiest_rate: Observation,
    /// The busiest destination of all windows.
    pub busiest: Option<Busiest>,
}

impl Calibration {
    /// The policy windows are observed under: as `policy`, but nothing is an attack, so that
    /// `filtered-host-rate` filters nothing, and nothing a sweep, which knows no threshold. With the recommended thresholds nothing would be.
    #[must_use]
    pub fn policy(policy: &Policy) -> Policy {
        Policy { packet_threshold: f64::INFINITY, sweep_hosts: None, ..policy.clone() }
    }

    /// Enters a window.
    #[expect(clippy::cast_precision_loss, reason = "counts of one window")]
    pub fn enter(&mut self, report: &WindowReport) {
        self.windows += report.windows;
        self.packet_rate.enter(report.rate(report.total.packets), report.windows);
        self.hosts.enter(report.scanned_hosts.count as f64, report.windows);
        self.ports.enter(report.most_ports as f64, report.windows);
        let rate = report.busiest.map_or(0.0, |busiest| report.rate(busiest.counts.packets));
        if rate > self.busiest_rate.maximum {
            self.busiest = report.busiest;
        }
        self.busiest_rate.enter(rate, report.windows);
    }

    /// The mean of an observation over all windows.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "windows")]
    pub fn mean(&self, observation: &Observation) -> f64 {
        if self.windows == 0 { 0.0 } else { observation.sum / self.windows as f64 }
    }

    /// The lowest `--packet-threshold`, in packets a second, under which nothing seen is an attack.
    #[must_use]
    pub fn packet_threshold(&self) -> f64 {
        self.busiest_rate.maximum
    }

    /// The lowest `--destination-threshold`, in hosts a window, under which nothing seen is a scan.
    #[must_use]
    pub fn destination_threshold(&self) -> f64 {
        self.hosts.maximum
    }

    /// The lowest `--port-threshold`, in ports a window, under which nothing seen is a vertical scan.
    /// `None` where no packet had a port: 0 has another meaning there.
    #[must_use]
    pub fn port_threshold(&self) -> Option<f64> {
        Some(self.ports.maximum).filter(|ports| *ports > 0.0)
    }
}

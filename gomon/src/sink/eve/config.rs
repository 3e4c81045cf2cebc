//! The configuration of records: the fields that come from settings, and which records are written.

use gomon_common::Address;

use crate::core::{Policy, Sources, Verdict, WindowReport};
use crate::settings::Connections;

/// Where the packets came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputName {
    /// A capture file.
    Capture(String),
    /// A network interface.
    Interface(String),
}

/// The configuration of [`Eve`](super::Eve).
#[derive(Clone, Debug)]
pub struct EveConfig {
    /// Where the packets came from.
    pub input: InputName,
    /// The bot's addresses. Records have the first.
    pub sources: Sources,
    /// Name of the sensor.
    pub sensor_name: Option<String>,
    /// Name of the sample.
    pub sample_id: Option<String>,
    /// The bot's controllers.
    pub c2_ip: Vec<Address>,
    /// How windows are judged.
    pub policy: Policy,
    /// Whether records conform to Suricata's JSON schema.
    pub strict: bool,
    /// How ordinary destinations are reported.
    pub connections: Connections,
    /// Whether idle windows are reported.
    pub show_idle: bool,
    /// Whether every window has a stats record.
    pub stats: bool,
}

/// Which records are written.
#[derive(Clone, Copy, Debug)]
pub struct RecordSelection {
    /// How ordinary destinations are reported.
    pub connections: Connections,
    /// Whether idle windows are reported.
    pub show_idle: bool,
    /// Whether every window has a stats record.
    pub stats: bool,
}

impl RecordSelection {
    /// Returns the number of records of a window.
    #[must_use]
    pub fn count(self, report: &WindowReport) -> u64 {
        let is_written = |verdict: &&Verdict| match verdict {
            Verdict::Idle => self.show_idle || self.stats,
            Verdict::Connection { .. } => self.connections != Connections::Off,
            Verdict::Attack { .. }
            | Verdict::VerticalScan { .. }
            | Verdict::Scan { .. }
            | Verdict::Sweep { .. } => true,
        };
        let verdicts = report.verdicts.iter().filter(is_written).count() as u64;
        verdicts + u64::from(self.stats && !report.is_idle())
    }
}

//! The configuration of records: the fields that come from settings, and which records are written.

use gomon_common::Address;

use crate::core::{Policy, Sources};
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

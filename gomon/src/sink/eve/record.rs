//! The fields of a record, in the order in which they are written.
//!
//! `docs/eve.schema.json` is their JSON schema, and `docs/records.md` describes them.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::core::Timestamp;
use crate::sink::calendar;

/// Formats a timestamp like Suricata: UTC, microseconds, a numeric offset without a colon.
pub(super) fn timestamp(time: Timestamp) -> String {
    calendar(time).strftime("%Y-%m-%dT%H:%M:%S%.6f+0000").to_string()
}

/// Converts a duration to whole seconds, rounded down like Suricata's.
pub(super) fn whole_seconds(nanoseconds: i64) -> u64 {
    (nanoseconds.max(0) / 1_000_000_000).unsigned_abs()
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Record<'a> {
    pub timestamp: &'a str,
    pub flow_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_iface: Option<&'a str>,
    pub event_type: &'static str,
    /// Always present, like `dest_ip`; an `IpAddr` has no default.
    pub src_ip: Option<IpAddr>,
    pub dest_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcap_filename: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<Alert<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<Flow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Alert<'a> {
    pub action: &'static str,
    pub gid: u32,
    pub signature_id: u32,
    pub rev: u32,
    pub signature: &'static str,
    pub category: &'static str,
    pub severity: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata<'a>>,
}

/// Suricata's flow. Only the packets from the bot are counted.
#[derive(Debug, Serialize)]
pub(super) struct Flow<'a> {
    pub pkts_toserver: u64,
    pub bytes_toserver: u64,
    pub start: &'a str,
    pub end: &'a str,
    pub age: u64,
    pub alerted: bool,
}

/// Suricata's counters: totals since the start of the observation, up to the record's window.
#[derive(Debug, Serialize)]
pub(super) struct Stats {
    pub uptime: u64,
    pub capture: StatsCapture,
    pub decoder: Decoder,
    pub flow: StatsFlow,
    pub detect: Detect,
}

#[derive(Debug, Serialize)]
pub(super) struct StatsCapture {
    pub kernel_packets: u64,
    pub kernel_drops: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Decoder {
    pub pkts: u64,
    pub invalid: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct StatsFlow {
    /// Destination endpoints of the window.
    pub active: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Detect {
    pub alert: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Metadata<'a> {
    pub gomon: Gomon<'a>,
}

/// gomon's fields, in addition to Suricata's.
#[derive(Debug, Default, Serialize)]
pub(super) struct Gomon<'a> {
    /// The version of the format of this object.
    pub version: u32,
    /// A hash that is the same for the same record of the same input. Set last, as it is computed from other fields.
    #[serde(serialize_with = "hexadecimal")]
    pub id: u64,
    pub classification: &'static str,
    pub scope: &'static str,
    /// Whether it is the last record of its run.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    pub is_final: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c2_ip: Option<&'a str>,
    pub window_s: f64,
    pub step_s: f64,
    /// The actual length of a window that is longer than configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
    /// The number of windows that the record covers: more than one for a series of silent windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<u64>,
    pub packets: u64,
    pub bytes: u64,
    pub packet_rate: f64,
    pub packet_threshold: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_rate_threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan_detection_mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts_exact: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow_packets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst_ips: Option<Vec<IpAddr>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dest_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<Cow<'static, str>>,
    #[serde(flatten)]
    pub sweep_test: Option<SweepTestRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contacts_by_port: Option<Vec<PortContacts>>,
    /// The number of ports left out of that list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contacts_by_port_omitted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerRecord>,
    #[serde(flatten)]
    pub closing: Option<Closing<'a>>,
}

/// The fields of a run's last record that describe the end of the run.
#[derive(Debug, Serialize)]
pub(super) struct Closing<'a> {
    pub ended: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach: Option<&'a str>,
    pub eve_written: u64,
    pub eve_dropped: u64,
}

/// Contacts on one port that were decided in the window.
#[derive(Debug, Serialize)]
pub(super) struct PortContacts {
    pub proto: Cow<'static, str>,
    pub dest_port: u16,
    pub contacts: u64,
    pub answered: u64,
    pub unanswered: u64,
}

/// Serializes a number as a string of 16 hexadecimal digits: JavaScript has no 64-bit integers.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn hexadecimal<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    let digits: [u8; 16] = std::array::from_fn(|at| {
        let digit = (number >> (60 - 4 * at)) & 0xf;
        b"0123456789abcdef"[digit as usize]
    });
    serializer.serialize_str(std::str::from_utf8(&digits).unwrap_or_default())
}

/// The state of the sweep test of a port, since the start of the observation.
#[derive(Debug, Serialize)]
pub(super) struct SweepTestRecord {
    pub contacts: u64,
    pub answered: u64,
    pub unanswered: u64,
    pub score: f64,
}

/// The ledger of the window.
#[derive(Debug, Serialize)]
pub(super) struct LedgerRecord {
    pub frames: u64,
    pub counted: u64,
    pub not_from_bot: u64,
    pub ignored: u64,
    pub not_ip: u64,
    pub malformed: u64,
    pub lost: u64,
    pub late: u64,
    #[serde(rename = "wild")]
    pub implausible: u64,
}

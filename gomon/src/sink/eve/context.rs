//! The fields that records of one run, and of one window, have in common.

use gomon_common::{Address, protocol};

use super::config::{EveConfig, InputName};
use super::destination::{IdSeed, RecordDestination, WindowIdSeed};
use super::record::{Gomon, Metadata, Record, timestamp};
use crate::core::{Policy, Sources, Span, WindowReport};
use crate::sink::proto;

/// The version of the format of `metadata.gomon`.
const VERSION: u32 = 1;

/// The fields that do not change in a run.
pub(super) struct RecordContext {
    input: InputName,
    sources: Sources,
    sensor_name: Option<String>,
    sample_id: Option<String>,
    c2_ip: Option<String>,
    pub(super) policy: Policy,
    pub(super) strict: bool,
    seed: IdSeed,
}

/// A window, with its times in the format of records.
pub(super) struct WindowContext<'a> {
    pub(super) report: &'a WindowReport,
    pub(super) start: String,
    pub(super) end: String,
}

impl<'a> WindowContext<'a> {
    pub(super) fn new(report: &'a WindowReport) -> Self {
        let [start, end] = [report.span.start, report.span.end].map(timestamp);
        Self { report, start, end }
    }
}

impl RecordContext {
    pub(super) fn new(config: EveConfig) -> Self {
        let c2: Vec<_> = config.c2_ip.iter().map(ToString::to_string).collect();
        Self {
            seed: IdSeed::new(config.sensor_name.as_deref(), config.sample_id.as_deref()),
            input: config.input,
            sources: config.sources,
            sensor_name: config.sensor_name,
            sample_id: config.sample_id,
            c2_ip: (!c2.is_empty()).then(|| c2.join(",")),
            policy: config.policy,
            strict: config.strict,
        }
    }

    /// Returns the seed of the ids of a window's records.
    pub(super) fn window_seed(&self, window: Span) -> WindowIdSeed {
        let interface = match &self.input {
            InputName::Interface(name) => name.as_str(),
            InputName::Capture(_) => "",
        };
        self.seed.window(interface, window)
    }

    /// Returns the fields of every record.
    pub(super) fn common<'a>(
        &'a self,
        event_type: &'static str,
        time: &'a str,
        destination: &RecordDestination,
    ) -> Record<'a> {
        let (in_iface, pcap_filename) = match &self.input {
            InputName::Interface(name) => (Some(name.as_str()), None),
            InputName::Capture(name) => (None, Some(name.as_str())),
        };
        let bot = match &self.sources {
            Sources::Bot { first, .. } => *first,
            Sources::Any if destination.address.is_v4() => Address::v4([0; 4]),
            Sources::Any => Address::v6([0; 16]),
        };
        let has_ports = destination.protocol.is_some_and(protocol::has_ports);
        Record {
            timestamp: time,
            // The same for all records about a destination, whatever their `src_ip` is.
            flow_id: self.seed.flow_id(bot, destination),
            in_iface,
            event_type,
            src_ip: Some(bot.ip()),
            dest_ip: Some(destination.address.ip()),
            dest_port: destination.port.filter(|_| has_ports),
            proto: destination.protocol.map(proto::name),
            pcap_filename,
            host: self.sensor_name.as_deref().or(self.sample_id.as_deref()),
            ..Record::default()
        }
    }

    /// Returns the fields of `metadata.gomon` that do not depend on the window.
    pub(super) fn gomon<'a>(
        &'a self,
        classification: &'static str,
        packets: u64,
        bytes: u64,
    ) -> Gomon<'a> {
        Gomon {
            version: VERSION,
            classification,
            sample_id: self.sample_id.as_deref(),
            c2_ip: self.c2_ip.as_deref(),
            window_s: self.policy.window.as_secs_f64(),
            step_s: self.policy.step.as_secs_f64(),
            packets,
            bytes,
            packet_threshold: self.policy.packet_threshold,
            ..Gomon::default()
        }
    }

    /// Returns the fields of `metadata.gomon` of every verdict.
    pub(super) fn gomon_of_verdict<'a>(
        &'a self,
        classification: &'static str,
        report: &WindowReport,
        packets: u64,
        bytes: u64,
    ) -> Gomon<'a> {
        Gomon {
            duration_s: Some(report.seconds)
                .filter(|_| report.exceeds_nominal_length(&self.policy)),
            packet_rate: report.rate(packets),
            ..self.gomon(classification, packets, bytes)
        }
    }

    /// Returns the fields of `metadata.gomon` of a verdict on the whole window.
    pub(super) fn gomon_of_window<'a>(
        &'a self,
        classification: &'static str,
        report: &WindowReport,
    ) -> Gomon<'a> {
        let threshold = self.policy.destination_threshold;
        Gomon {
            scope: "global",
            hosts: Some(report.scanned_hosts.count),
            destination_threshold: Some(threshold),
            destination_rate: Some(report.rate(report.scanned_hosts.count)),
            // JSON has no infinity, which the quotient may be.
            destination_rate_threshold: Some(
                (threshold / self.policy.window.as_secs_f64()).min(f64::MAX),
            ),
            scan_detection_mode: Some(self.policy.scan_mode.name()),
            hosts_exact: Some(report.scanned_hosts.exact),
            overflow_packets: Some(report.overflow_packets),
            ..self.gomon_of_verdict(
                classification,
                report,
                report.total.packets,
                report.total.bytes,
            )
        }
    }

    /// Returns the top-level `metadata` object. Suricata's schema has no such field, so strict records lack it.
    pub(super) fn metadata<'a>(&self, gomon: Gomon<'a>) -> Option<Metadata<'a>> {
        (!self.strict).then_some(Metadata { gomon })
    }
}

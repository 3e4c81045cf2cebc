//! Verdicts as Suricata EVE records, one JSON object a line.

mod destination;
mod output;
mod queue;
mod record;
mod stats;
mod target;
mod writer;

use gomon_common::{Address, protocol};

pub use output::{Output, WhenFull};
pub use stats::Ended;

use self::destination::{Destination, Seed, WindowSeed, port};
use self::record::{Alert, Flow, Gomon, Metadata, Record, Walk};
use self::stats::Totals;
use crate::core::{AttackTarget, Policy, Sources, Span, Sweep, Timestamp, Verdict, WindowReport};
use crate::settings::{Connections, Settings};
use crate::sink::{calendar, proto};

/// The number of the form that `metadata.gomon` has.
const VERSION: u32 = 1;
/// The generator of all gomon's signatures.
const GID: u32 = 5;

/// Bytes of lines that are written at once: a call into the kernel for each would take as long as making
/// it.
const AT_ONCE: usize = 64 << 10;

/// What an alert says about itself.
struct Signature {
    id: u32,
    text: &'static str,
    category: &'static str,
    /// Suricata's order: 1 is the most severe.
    severity: u8,
}

const ATTACK: Signature = Signature {
    id: 2_100_001,
    text: "gomon high packet-rate to single host",
    category: "attack",
    severity: 2,
};
const SCAN: Signature = Signature {
    id: 2_100_002,
    text: "gomon horizontal scan host-rate exceeded",
    category: "scan",
    severity: 3,
};
const CONNECTION: Signature = Signature {
    id: 2_100_003,
    text: "gomon outbound connection observed",
    category: "connection",
    severity: 4,
};
const VERTICAL_SCAN: Signature = Signature {
    id: 2_100_004,
    text: "gomon vertical scan port-rate exceeded",
    category: "scan",
    severity: 3,
};

const SWEEP: Signature = Signature {
    id: 2_100_005,
    text: "gomon sweep of unanswered hosts",
    category: "scan",
    severity: 3,
};

/// Writes records.
pub struct Eve {
    output: Output,
    input: InputName,
    sources: Sources,
    sensor_name: Option<String>,
    sample_id: Option<String>,
    seed: Seed,
    c2_ip: Option<String>,
    policy: Policy,
    strict: bool,
    connections: Connections,
    show_idle: bool,
    stats: bool,
    /// The start of the first window.
    start: Option<Timestamp>,
    totals: Totals,
    alerts: u64,
    /// The lines that are being made, so that their memory serves the next ones too.
    lines: Vec<u8>,
}

/// A window, and what all its records say of its time.
struct Window<'a> {
    report: &'a WindowReport,
    start: String,
    end: String,
}

/// Where the packets came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputName {
    /// A capture file.
    Capture(String),
    /// A network interface.
    Interface(String),
}

impl Eve {
    /// Records about packets of `input`, written to `output`.
    #[must_use]
    pub fn new(settings: &Settings, input: InputName, output: Output) -> Self {
        let c2: Vec<_> = settings.c2_ip.iter().map(ToString::to_string).collect();
        Self {
            output,
            input,
            sources: settings.sources.clone(),
            sensor_name: settings.sensor_name.clone(),
            sample_id: settings.sample_id.clone(),
            seed: Seed::new(settings.sensor_name.as_deref(), settings.sample_id.as_deref()),
            c2_ip: (!c2.is_empty()).then(|| c2.join(",")),
            policy: settings.policy.clone(),
            strict: settings.eve_strict,
            connections: settings.connections,
            show_idle: settings.show_idle,
            stats: settings.stats,
            start: None,
            totals: Totals::default(),
            alerts: 0,
            lines: Vec::new(),
        }
    }

    /// Where the records go.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Writes what is to be said of a window. `artifact` is the path of a verdict's artifact.
    pub fn report(&mut self, report: &WindowReport, artifact: impl Fn(&Verdict) -> Option<String>) {
        self.start.get_or_insert(report.span.start);
        self.totals.add(report);
        let (start, end) = (timestamp(report.span.start), timestamp(report.span.end));
        let window = Window { report, start, end };
        let seed = self.window_seed(report.span);
        let mut lines = std::mem::take(&mut self.lines);
        for (number, verdict) in report.verdicts.iter().enumerate() {
            if let Some(mut record) = self.record(&window, verdict) {
                if let Some(source) = report.origins.get(number).copied().flatten() {
                    record.src_ip = Some(source.ip());
                }
                record.capture_file = artifact(verdict);
                identify(&mut record, seed);
                let is_alert = record.alert.is_some();
                add_line(&mut lines, &record);
                self.alerts += u64::from(is_alert);
                if lines.len() >= AT_ONCE {
                    self.output.lines(&lines);
                    lines.clear();
                }
            }
        }
        if self.stats && !report.is_idle() {
            let mut record = self.window_stats("busy", &window);
            identify(&mut record, seed);
            add_line(&mut lines, &record);
        }
        self.output.lines(&lines);
        lines.clear();
        self.lines = lines;
    }

    fn record<'a>(&'a self, window: &'a Window<'_>, verdict: &Verdict) -> Option<Record<'a>> {
        let report = window.report;
        match verdict {
            Verdict::Attack { target: AttackTarget::Endpoint(endpoint), counts } => {
                let gomon = Gomon {
                    scope: "local",
                    dest_port: port(endpoint),
                    proto: Some(proto::name(endpoint.protocol())),
                    ..self.gomon("attack", report, counts.packets, counts.bytes)
                };
                Some(self.alert(window, Destination::from(*endpoint), &ATTACK, gomon))
            }
            Verdict::Attack { target: AttackTarget::Host { host, ports, protocol }, counts } => {
                let gomon = Gomon {
                    scope: "host",
                    ports: Some(*ports),
                    proto: protocol.map(proto::name),
                    ..self.gomon("attack", report, counts.packets, counts.bytes)
                };
                let destination = Destination { protocol: *protocol, ..Destination::of(*host) };
                Some(self.alert(window, destination, &ATTACK, gomon))
            }
            Verdict::VerticalScan { host, ports, protocol, counts } => {
                let gomon = Gomon {
                    scope: "host",
                    ports: Some(*ports),
                    port_threshold: self.policy.port_threshold,
                    overflow_packets: Some(report.overflow_packets),
                    proto: protocol.map(proto::name),
                    ..self.gomon("vertical_scan", report, counts.packets, counts.bytes)
                };
                let destination = Destination { protocol: *protocol, ..Destination::of(*host) };
                Some(self.alert(window, destination, &VERTICAL_SCAN, gomon))
            }
            Verdict::Scan { hosts } => {
                let gomon = Gomon {
                    dst_ips: Some(hosts.iter().map(|host| host.ip()).collect()),
                    ..self.global("scan", report)
                };
                let destination = Destination::shared(hosts, report.scanned_hosts.count);
                Some(self.alert(window, destination, &SCAN, gomon))
            }
            Verdict::Sweep { sweep: Sweep { protocol, port, hosts, test }, counts } => {
                let gomon = Gomon {
                    scope: "global",
                    dst_ips: Some(hosts.iter().map(|host| host.ip()).collect()),
                    dest_port: Some(*port),
                    proto: Some(proto::name(*protocol)),
                    walk: Some(Walk {
                        contacts: test.contacts(),
                        answered: test.answered,
                        unanswered: test.unanswered,
                        score: test.score,
                    }),
                    ..self.gomon("sweep", report, counts.packets, counts.bytes)
                };
                // The subject is the port: all records of a sweep are of one flow.
                let destination = Destination {
                    subject: Destination::shared(hosts, u64::MAX).address,
                    protocol: Some(*protocol),
                    port: Some(*port),
                    ..Destination::shared(hosts, hosts.len() as u64)
                };
                Some(self.alert(window, destination, &SWEEP, gomon))
            }
            Verdict::Connection { endpoint, counts } => {
                let gomon = Gomon {
                    scope: "local",
                    dest_port: port(endpoint),
                    proto: Some(proto::name(endpoint.protocol())),
                    ..self.gomon("connection", report, counts.packets, counts.bytes)
                };
                let destination = Destination::from(*endpoint);
                match self.connections {
                    Connections::Off => None,
                    Connections::Alert => Some(self.alert(window, destination, &CONNECTION, gomon)),
                    Connections::Flow => Some(Record {
                        flow: Some(Flow {
                            pkts_toserver: counts.packets,
                            bytes_toserver: counts.bytes,
                            start: &window.start,
                            end: &window.end,
                            age: whole_seconds(report.span.end.since(report.span.start)),
                            alerted: false,
                        }),
                        metadata: self.beside(gomon),
                        ..self.common("flow", &window.start, &destination)
                    }),
                }
            }
            Verdict::Idle => {
                (self.show_idle || self.stats).then(|| self.window_stats("idle", window))
            }
        }
    }

    fn alert<'a>(
        &'a self,
        window: &'a Window<'_>,
        destination: Destination,
        signature: &Signature,
        gomon: Gomon<'a>,
    ) -> Record<'a> {
        let (inside, beside) =
            if self.strict { (Some(Metadata { gomon }), None) } else { (None, self.beside(gomon)) };
        Record {
            alert: Some(Alert {
                action: "allowed",
                gid: GID,
                signature_id: signature.id,
                rev: 1,
                signature: signature.text,
                category: signature.category,
                severity: signature.severity,
                metadata: inside,
            }),
            metadata: beside,
            ..self.common("alert", &window.start, &destination)
        }
    }

    /// What the ids of a window's records start with.
    fn window_seed(&self, window: Span) -> WindowSeed {
        let interface = match &self.input {
            InputName::Interface(name) => name.as_str(),
            InputName::Capture(_) => "",
        };
        self.seed.window(interface, window)
    }

    /// The fields every record has.
    fn common<'a>(
        &'a self,
        event_type: &'static str,
        time: &'a str,
        destination: &Destination,
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
        let ported = destination.protocol.is_some_and(protocol::has_ports);
        Record {
            timestamp: time,
            // The same for all records about a destination, whoever sent what they are about.
            flow_id: self.seed.flow_id(bot, destination),
            in_iface,
            event_type,
            src_ip: Some(bot.ip()),
            dest_ip: Some(destination.address.ip()),
            dest_port: destination.port.filter(|_| ported),
            proto: destination.protocol.map(proto::name),
            pcap_filename,
            host: self.sensor_name.as_deref().or(self.sample_id.as_deref()),
            ..Record::default()
        }
    }

    /// The fields every verdict has in `metadata.gomon`.
    fn gomon<'a>(
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
            ..self.settings(classification, packets, bytes)
        }
    }

    /// Those of them that don't depend on the window.
    fn settings<'a>(&'a self, classification: &'static str, packets: u64, bytes: u64) -> Gomon<'a> {
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

    /// Those of a verdict on the whole window.
    fn global<'a>(&'a self, classification: &'static str, report: &WindowReport) -> Gomon<'a> {
        let threshold = self.policy.destination_threshold;
        Gomon {
            scope: "global",
            hosts: Some(report.scanned_hosts.count),
            destination_threshold: Some(threshold),
            destination_rate: Some(report.rate(report.scanned_hosts.count)),
            // JSON has no infinity, which a threshold per second could come to.
            destination_rate_threshold: Some(
                (threshold / self.policy.window.as_secs_f64()).min(f64::MAX),
            ),
            scan_detection_mode: Some(self.policy.scan_mode.name()),
            hosts_exact: Some(report.scanned_hosts.exact),
            overflow_packets: Some(report.overflow_packets),
            ..self.gomon(classification, report, report.total.packets, report.total.bytes)
        }
    }

    /// The object beside Suricata's own, which a strict record has no place for.
    fn beside<'a>(&self, gomon: Gomon<'a>) -> Option<Metadata<'a>> {
        (!self.strict).then_some(Metadata { gomon })
    }
}

/// Gives a record its id, where it has a place for one.
fn identify(record: &mut Record<'_>, seed: WindowSeed) {
    let inside = record.alert.as_mut().and_then(|alert| alert.metadata.as_mut());
    if let Some(Metadata { gomon }) = inside.or(record.metadata.as_mut()) {
        gomon.id = seed.record_id(record.flow_id, gomon.classification, gomon.scope);
    }
}

/// Adds a record as a line.
fn add_line(lines: &mut Vec<u8>, record: &Record<'_>) {
    // Nothing in a record is beyond JSON, and memory takes any line.
    let _ = serde_json::to_writer(&mut *lines, record);
    lines.push(b'\n');
}

/// A point in time as Suricata writes it: UTC, microseconds, a numeric offset without a colon.
fn timestamp(time: Timestamp) -> String {
    calendar(time).strftime("%Y-%m-%dT%H:%M:%S%.6f+0000").to_string()
}

fn whole_seconds(nanoseconds: i64) -> u64 {
    (nanoseconds.max(0) / 1_000_000_000).unsigned_abs()
}

//! Records of verdicts: alerts, and flows for ordinary destinations.

use super::context::{RecordContext, WindowContext};
use super::destination::{RecordDestination, port};
use super::record::{Alert, Flow, Gomon, Metadata, Record, SweepTestRecord, whole_seconds};
use crate::core::{AttackTarget, Sweep, Verdict};
use crate::settings::Connections;
use crate::sink::proto;

/// The generator id of gomon's signatures.
const GID: u32 = 5;

/// The fields of an alert that identify its kind.
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

/// Returns the record of a verdict; `None` for an idle window, and for a connection that is not reported.
pub(super) fn verdict_record<'a>(
    context: &'a RecordContext,
    connections: Connections,
    window: &'a WindowContext<'_>,
    verdict: &Verdict,
) -> Option<Record<'a>> {
    let report = window.report;
    match verdict {
        Verdict::Attack { target: AttackTarget::Endpoint(endpoint), counts } => {
            let gomon = Gomon {
                scope: "local",
                dest_port: port(endpoint),
                proto: Some(proto::name(endpoint.protocol())),
                ..context.gomon_of_verdict("attack", report, counts.packets, counts.bytes)
            };
            Some(alert(context, window, RecordDestination::from(*endpoint), &ATTACK, gomon))
        }
        Verdict::Attack { target: AttackTarget::Host { host, ports, protocol }, counts } => {
            let gomon = Gomon {
                scope: "host",
                ports: Some(*ports),
                proto: protocol.map(proto::name),
                ..context.gomon_of_verdict("attack", report, counts.packets, counts.bytes)
            };
            let destination =
                RecordDestination { protocol: *protocol, ..RecordDestination::of(*host) };
            Some(alert(context, window, destination, &ATTACK, gomon))
        }
        Verdict::VerticalScan { host, ports, protocol, counts } => {
            let gomon = Gomon {
                scope: "host",
                ports: Some(*ports),
                port_threshold: context.policy.port_threshold,
                overflow_packets: Some(report.overflow_packets),
                proto: protocol.map(proto::name),
                ..context.gomon_of_verdict("vertical_scan", report, counts.packets, counts.bytes)
            };
            let destination =
                RecordDestination { protocol: *protocol, ..RecordDestination::of(*host) };
            Some(alert(context, window, destination, &VERTICAL_SCAN, gomon))
        }
        Verdict::Scan { hosts } => {
            let gomon = Gomon {
                dst_ips: Some(hosts.iter().map(|host| host.ip()).collect()),
                ..context.gomon_of_window("scan", report)
            };
            let destination = RecordDestination::shared(hosts, report.scanned_hosts.count);
            Some(alert(context, window, destination, &SCAN, gomon))
        }
        Verdict::Sweep { sweep: Sweep { protocol, port, hosts, test }, counts } => {
            let gomon = Gomon {
                scope: "global",
                dst_ips: Some(hosts.iter().map(|host| host.ip()).collect()),
                dest_port: Some(*port),
                proto: Some(proto::name(*protocol)),
                sweep_test: Some(SweepTestRecord {
                    contacts: test.contacts(),
                    answered: test.answered,
                    unanswered: test.unanswered,
                    score: test.score,
                }),
                ..context.gomon_of_verdict("sweep", report, counts.packets, counts.bytes)
            };
            // The subject is the port, so all records of a sweep have one flow id.
            let destination = RecordDestination {
                subject: RecordDestination::shared(hosts, u64::MAX).address,
                protocol: Some(*protocol),
                port: Some(*port),
                ..RecordDestination::shared(hosts, hosts.len() as u64)
            };
            Some(alert(context, window, destination, &SWEEP, gomon))
        }
        Verdict::Connection { endpoint, counts } => {
            let gomon = Gomon {
                scope: "local",
                dest_port: port(endpoint),
                proto: Some(proto::name(endpoint.protocol())),
                ..context.gomon_of_verdict("connection", report, counts.packets, counts.bytes)
            };
            let destination = RecordDestination::from(*endpoint);
            match connections {
                Connections::Off => None,
                Connections::Alert => Some(alert(context, window, destination, &CONNECTION, gomon)),
                Connections::Flow => Some(Record {
                    flow: Some(Flow {
                        pkts_toserver: counts.packets,
                        bytes_toserver: counts.bytes,
                        start: &window.start,
                        end: &window.end,
                        age: whole_seconds(report.span.end.since(report.span.start)),
                        alerted: false,
                    }),
                    metadata: context.metadata(gomon),
                    ..context.common("flow", &window.start, &destination)
                }),
            }
        }
        Verdict::Idle => None,
    }
}

fn alert<'a>(
    context: &'a RecordContext,
    window: &'a WindowContext<'_>,
    destination: RecordDestination,
    signature: &Signature,
    gomon: Gomon<'a>,
) -> Record<'a> {
    // A strict record has the metadata where Suricata's schema allows it: in the alert.
    let (in_alert, top_level) = if context.strict {
        (Some(Metadata { gomon }), None)
    } else {
        (None, context.metadata(gomon))
    };
    Record {
        alert: Some(Alert {
            action: "allowed",
            gid: GID,
            signature_id: signature.id,
            rev: 1,
            signature: signature.text,
            category: signature.category,
            severity: signature.severity,
            metadata: in_alert,
        }),
        metadata: top_level,
        ..context.common("alert", &window.start, &destination)
    }
}

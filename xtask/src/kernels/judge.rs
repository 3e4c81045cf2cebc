//! Compares what gomon reported on a kernel with what was sent.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
};

use serde_json::Value;

use super::traffic::{Expected, Sent};
use crate::vm::case::CaseReport;

/// The result of one attach mode.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Attached, and every count is that of the frames sent; with the log lines of the modes that failed before.
    Exact { attached: String, failed: Vec<String> },
    /// The counts differ from what was sent.
    Wrong(String),
    /// Not attached.
    Refused(String),
}

/// Packets and bytes of each destination, and frames in each field of the ledger.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    destinations: BTreeMap<(String, SocketAddr), [u64; 2]>,
    ledger: BTreeMap<&'static str, u64>,
}

/// The fields of a ledger.
const FIELDS: [&str; 7] =
    ["frames", "counted", "not_from_bot", "ignored", "not_ip", "malformed", "lost"];

impl Verdict {
    pub(super) fn of(report: CaseReport, sent: &[Sent]) -> Self {
        let Some(attached) = report.stderr.iter().find_map(|line| line.split_once(" attached by "))
        else {
            let error = report.stderr.iter().find_map(|line| line.strip_prefix("gomon: "));
            return Self::Refused(error.unwrap_or("no message").to_owned());
        };
        // "XDP (native) on vnet0: runs in the driver"
        let mode = attached.1.split_once(" on vnet0").map_or(attached.1, |(mode, _)| mode);
        let attached = mode.to_owned();
        let (reported, expected) = (Counted::reported(&report.records), Counted::expected(sent));
        if !report.success {
            return Self::Wrong(format!("{attached}: gomon failed: {}", report.stderr.join("\n")));
        }
        if reported != expected {
            return Self::Wrong(format!("{attached}: {reported:?} instead of {expected:?}"));
        }
        let failed = report.stderr.into_iter().filter(|line| line.contains("trying the next mode"));
        Self::Exact { attached, failed: failed.collect() }
    }

    pub(super) fn is_exact(&self) -> bool {
        matches!(self, Self::Exact { .. })
    }

    pub(super) fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong(_))
    }

    /// The reasons for the result, to print in addition to the table.
    pub(super) fn reasons(&self) -> Vec<&str> {
        match self {
            Self::Exact { failed, .. } => failed.iter().map(String::as_str).collect(),
            Self::Wrong(why) | Self::Refused(why) => vec![why],
        }
    }
}

/// A cell of the table.
impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { attached, .. } => out.write_str(attached),
            Self::Wrong(_) => out.write_str("WRONG"),
            Self::Refused(_) => out.write_str("no"),
        }
    }
}

impl Counted {
    fn expected(sent: &[Sent]) -> Self {
        let mut counted = Self { ledger: FIELDS.map(|field| (field, 0)).into(), ..Self::default() };
        for Sent { frame, expected } in sent {
            counted.add_frames("frames", 1);
            match expected {
                Expected::Counted { protocol, destination } => {
                    let length = frame.len() as u64;
                    counted.add_destination(protocol, *destination, [1, length]);
                    counted.add_frames("counted", 1);
                }
                Expected::NotFromBot => counted.add_frames("not_from_bot", 1),
                Expected::NotIp => counted.add_frames("not_ip", 1),
                Expected::Malformed => counted.add_frames("malformed", 1),
            }
        }
        counted
    }

    fn reported(records: &[Value]) -> Self {
        let mut counted = Self::default();
        for record in records {
            let number = |value: &Value| value.as_u64().unwrap_or_default();
            for field in FIELDS {
                counted.add_frames(field, number(&record["metadata"]["gomon"]["ledger"][field]));
            }
            let flow = &record["flow"];
            let host = record["dest_ip"].as_str().and_then(|text| text.parse::<IpAddr>().ok());
            let port = record["dest_port"].as_u64().and_then(|port| u16::try_from(port).ok());
            if let (true, Some(host), Some(port)) = (flow.is_object(), host, port) {
                let counts = [&flow["pkts_toserver"], &flow["bytes_toserver"]].map(number);
                let protocol = record["proto"].as_str().unwrap_or_default();
                counted.add_destination(protocol, (host, port).into(), counts);
            }
        }
        counted
    }

    fn add_destination(&mut self, protocol: &str, destination: SocketAddr, counts: [u64; 2]) {
        let sum = self.destinations.entry((protocol.to_owned(), destination)).or_default();
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }

    fn add_frames(&mut self, field: &'static str, frames: u64) {
        *self.ledger.entry(field).or_default() += frames;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernels::traffic;

    fn report(records: Vec<Value>, stderr: &[&str]) -> CaseReport {
        CaseReport {
            success: true,
            records,
            stderr: stderr.iter().map(ToString::to_string).collect(),
        }
    }

    /// gomon's records of ten frames in each of two windows.
    fn exact() -> Vec<Value> {
        let window = json!([
            { "metadata": { "gomon": { "ledger": { "frames": 10, "counted": 10 } } } },
            { "dest_ip": "203.0.113.50", "dest_port": 53, "proto": "UDP",
              "flow": { "pkts_toserver": 10, "bytes_toserver": 89_420 } },
        ]);
        let window = window.as_array().unwrap();
        window.iter().chain(window).cloned().collect()
    }

    fn sent() -> Vec<Sent> {
        let ten = || traffic::jumbo().unwrap().into_iter().filter(|sent| sent.frame.len() == 8942);
        ten().chain(ten()).collect()
    }

    #[test]
    fn windows_add_up() {
        let log = [
            "x INFO TCX: no: trying the next mode",
            "x INFO attached by TC (clsact) on vnet0: why",
        ];
        let verdict = Verdict::of(report(exact(), &log), &sent());
        assert_eq!(verdict.to_string(), "TC (clsact)", "{verdict:?}");
        assert_eq!(verdict.reasons(), &log[..1]);
        assert!(verdict.is_exact());
    }

    #[test]
    fn one_packet_more_or_less_is_wrong() {
        let log = ["x INFO attached by TCX on vnet0"];
        let mut records = exact();
        records[1]["flow"]["pkts_toserver"] = 11.into();
        assert!(Verdict::of(report(records, &log), &sent()).is_wrong());
        let mut records = exact();
        records.remove(0);
        assert!(Verdict::of(report(records, &log), &sent()).is_wrong());
    }

    #[test]
    fn a_refusal_is_reported_with_its_reason() {
        let verdict = Verdict::of(report(vec![], &["gomon: attaching to vnet0: no"]), &sent());
        assert_eq!(
            (verdict.to_string(), verdict.reasons()),
            ("no".into(), vec!["attaching to vnet0: no"])
        );
    }
}

//! EVE records as a readable table: one row per record, and one more for its artifact.

use serde_json::Value;

/// Connections shown per window; the rest is summed up in one row.
const CONNECTIONS_SHOWN: usize = 8;
/// Hosts named in the note of a scan.
const HOSTS_NAMED: usize = 2;

const CONNECTION: &str = "connection";

pub(crate) fn render(records: &[Value]) -> String {
    let lines: Vec<_> = records.iter().map(TableRow::of).collect();
    let mut rows = vec![row("time", "verdict", "destination", "packets", "packets/s", "note")];
    for alike in lines.chunk_by(TableRow::folds_with) {
        let (shown, folded) = alike.split_at(alike.len().min(CONNECTIONS_SHOWN));
        rows.extend(shown.iter().flat_map(TableRow::rows));
        if !folded.is_empty() {
            let more = format!("... and {} more", folded.len());
            let packets: u64 = folded.iter().map(|line| line.packets).sum();
            rows.push(row("", "", &more, &packets.to_string(), "", ""));
        }
    }
    rows.join("\n") + "\n"
}

/// The displayed part of a record.
struct TableRow<'record> {
    time: &'record str,
    verdict: &'record str,
    destination: String,
    packets: u64,
    packets_per_second: f64,
    note: String,
    artifact: Option<&'record str>,
}

impl<'record> TableRow<'record> {
    fn of(record: &'record Value) -> Self {
        let gomon = &record["metadata"]["gomon"];
        let verdict = verdict(record);
        let destination = match verdict {
            "idle" => String::new(),
            "scan" => format!("{} hosts", gomon["hosts"]),
            "sweep" => format!("*:{} {}", gomon["dest_port"], text(&gomon["proto"])),
            _ => destination(record),
        };
        let packets = gomon["packets"].as_u64().unwrap_or_default();
        Self {
            // 2026-01-29T10:00:00.123456+0000
            time: text(&record["timestamp"]).get(11..19).unwrap_or_default(),
            verdict,
            destination,
            packets,
            packets_per_second: gomon["packet_rate"].as_f64().unwrap_or_default(),
            note: note(verdict, packets, gomon),
            artifact: record["capture_file"].as_str(),
        }
    }

    fn folds_with(&self, next: &Self) -> bool {
        let both = [self, next];
        both.iter().all(|line| line.verdict == CONNECTION) && self.time == next.time
    }

    fn rows(&self) -> Vec<String> {
        let packets = self.packets.to_string();
        let rate = format!("{:.2}", self.packets_per_second);
        let mut rows =
            vec![row(self.time, self.verdict, &self.destination, &packets, &rate, &self.note)];
        if let Some(artifact) = self.artifact {
            rows.push(row("", "saved", artifact, "", "", ""));
        }
        rows
    }
}

/// Alerts are distinguished by signature, because horizontal and vertical scans share a category.
fn verdict(record: &Value) -> &str {
    match text(&record["event_type"]) {
        "flow" => CONNECTION,
        "stats" => "idle",
        _ => match record["alert"]["signature_id"].as_u64() {
            Some(2_100_001) => "attack",
            Some(2_100_002) => "scan",
            Some(2_100_003) => CONNECTION,
            Some(2_100_004) => "vertical scan",
            Some(2_100_005) => "sweep",
            _ => text(&record["alert"]["category"]),
        },
    }
}

fn destination(record: &Value) -> String {
    let (host, proto) = (text(&record["dest_ip"]), text(&record["proto"]));
    let host = match record["dest_port"].as_u64() {
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    format!("{host} {proto}")
}

fn note(verdict: &str, packets: u64, gomon: &Value) -> String {
    let ports = &gomon["ports"];
    match verdict {
        "scan" => {
            let hosts: Vec<_> =
                gomon["dst_ips"].as_array().into_iter().flatten().map(text).collect();
            let named = &hosts[..hosts.len().min(HOSTS_NAMED)];
            let dots = if hosts.len() > named.len() { ", ..." } else { "" };
            named.join(", ") + dots
        }
        "sweep" => format!("{} hosts tried, {} answered", gomon["contacts"], gomon["answered"]),
        "vertical scan" => format!("{ports} ports"),
        "attack" if gomon["scope"] == "host" && ports.is_number() => format!("over {ports} ports"),
        "idle" if packets == 0 => "silent".to_owned(),
        _ => String::new(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn row(
    time: &str,
    verdict: &str,
    destination: &str,
    packets: &str,
    packets_per_second: &str,
    note: &str,
) -> String {
    let row = format!(
        "{time:8}  {verdict:13}  {destination:22}  {packets:>7}  {packets_per_second:>9}  {note}"
    );
    row.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn connection(port: u16) -> Value {
        json!({
            "timestamp": "2026-01-29T10:00:00.000000+0000",
            "event_type": "flow",
            "dest_ip": "203.0.113.50",
            "dest_port": port,
            "proto": "TCP",
            "metadata": { "gomon": { "packets": 6, "packet_rate": 0.2 } },
        })
    }

    #[test]
    fn a_record_is_one_aligned_row() {
        let expected = "\
time      verdict        destination             packets  packets/s  note
10:00:00  connection     203.0.113.50:443 TCP          6       0.20
";
        assert_eq!(render(&[connection(443)]), expected);
    }

    #[test]
    fn a_scan_names_its_first_hosts_and_its_artifact() {
        let scan = json!({
            "timestamp": "2026-01-29T10:00:30.000000+0000",
            "event_type": "alert",
            "dest_ip": "0.0.0.0",
            "alert": { "signature_id": 2_100_002 },
            "capture_file": "captures/scan.pcap",
            "metadata": { "gomon": {
                "packets": 3, "packet_rate": 0.1,
                "hosts": 3, "dst_ips": ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
            } },
        });
        let table = render(&[scan]);
        let lines: Vec<_> = table.lines().skip(1).map(str::trim).collect();
        assert!(lines[0].starts_with("10:00:30  scan           3 hosts"));
        assert!(lines[0].ends_with("192.0.2.1, 192.0.2.2, ..."));
        assert_eq!(lines[1], "saved          captures/scan.pcap");
    }

    #[test]
    fn a_sweep_names_its_port_and_how_many_answered() {
        let sweep = json!({
            "timestamp": "2026-01-29T10:00:30.000000+0000",
            "event_type": "alert",
            "dest_ip": "0.0.0.0",
            "dest_port": 445,
            "proto": "TCP",
            "alert": { "signature_id": 2_100_005 },
            "metadata": { "gomon": {
                "packets": 14, "packet_rate": 0.5,
                "dest_port": 445, "proto": "TCP", "contacts": 14, "answered": 1,
            } },
        });
        let table = render(&[sweep]);
        let line = table.lines().nth(1).unwrap();
        assert!(line.starts_with("10:00:30  sweep          *:445 TCP"), "{line}");
        assert!(line.ends_with("14 hosts tried, 1 answered"), "{line}");
    }

    #[test]
    fn many_connections_of_one_window_fold_into_a_count() {
        let records: Vec<_> = (1..=20).map(connection).collect();
        let table = render(&records);
        let last = table.lines().last().unwrap();
        assert_eq!(table.lines().count(), 1 + CONNECTIONS_SHOWN + 1);
        assert!(last.contains("... and 12 more") && last.ends_with("72"));
    }

    #[test]
    fn connections_of_two_windows_do_not_fold_together() {
        let mut records: Vec<_> = (1..=16).map(connection).collect();
        for record in &mut records[8..] {
            record["timestamp"] = json!("2026-01-29T10:00:30.000000+0000");
        }
        assert!(!render(&records).contains("more"));
    }
}

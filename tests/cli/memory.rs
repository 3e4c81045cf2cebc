//! The most memory that a run takes.

use std::fs;

use crate::support::capture::at;
use crate::support::program::command;
use crate::support::running::Running;
use crate::traffic::{BOT, file, packet};

const DESTINATIONS: u32 = 1_000_000;
/// In KiB.
const LIMIT: u64 = 32 << 10;
/// The offset of the IPv4 destination in a pcap record: after its header (16 bytes) and in an Ethernet
/// frame.
const DESTINATION: usize = 16 + 14 + 16;

#[test]
fn a_million_destinations_in_a_window_stay_below_32_mib() {
    let capture = file(&[at(0, packet(1, 443))]);
    let (header, record) = capture.split_at(24);
    let mut gomon = Running::start(command().args(["-", BOT, "--quiet"]));
    gomon.feed(header);
    let mut chunk = record.repeat(1000);
    for first in (0..DESTINATIONS).step_by(1000) {
        for (record, n) in chunk.chunks_mut(record.len()).zip(first..) {
            let host = (0x0b00_0000 + n).to_be_bytes();
            record[DESTINATION..DESTINATION + 4].copy_from_slice(&host);
        }
        gomon.feed(&chunk);
    }
    // A frame of the next window: the record of the first one shows that the million were counted and
    // judged. The input stays open, so the process still runs and can be measured.
    let next = file(&[at(30_000_000_000, packet(1, 443))]);
    gomon.feed(&next[24..]);
    let scan = gomon.record();
    let status = fs::read_to_string(format!("/proc/{}/status", gomon.id())).unwrap();
    gomon.close_input();
    let run = gomon.finish();

    assert_eq!(scan["alert"]["category"], "scan");
    let gomon = &scan["metadata"]["gomon"];
    assert_eq!(gomon["packets"], DESTINATIONS);
    assert_eq!(gomon["hosts_exact"], false);
    assert_eq!(gomon["dst_ips"].as_array().unwrap().len(), 1024);
    let hosts = gomon["hosts"].as_f64().unwrap() / f64::from(DESTINATIONS);
    assert!((0.93..1.07).contains(&hosts), "within four standard errors: {hosts}");
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert!(run.line("Ledger: ").starts_with("Ledger: 1000001 frames seen = 1000001 counted "));

    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < LIMIT, "{peak} KiB at its peak");
}

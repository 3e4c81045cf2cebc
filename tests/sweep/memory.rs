//! The memory bound of sweep detection under adversarial traffic.

use std::fs;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::capture::{Captured, PLAIN, START, pcap};
use crate::support::frames::{ip, syn, udp};
use crate::support::program::{Scratch, command, records};
use crate::support::running::Running;

const BOT: &str = "10.0.0.5";
/// Packets per second: few enough that all destinations of a window are listed.
const RATE: u32 = 1000;
/// The limit of resident memory, in KiB.
const LIMIT: u64 = 32 << 10;
const HEADER: usize = 24;

/// Feeds `frames` to gomon, the first one at the time of packet number `from`.
fn feed(gomon: &mut Running, from: u32, frames: impl Iterator<Item = Vec<u8>>) {
    let mut chunk = Vec::new();
    for (number, data) in (from..).zip(frames) {
        let time = START + u64::from(number) * (1_000_000_000 / u64::from(RATE));
        let length = u32::try_from(data.len()).expect("a length");
        chunk.extend(&pcap(PLAIN, &[Captured { time, data, length }])[HEADER..]);
        if chunk.len() > 1 << 16 {
            gomon.feed(&chunk);
            chunk.clear();
        }
    }
    gomon.feed(&chunk);
}

fn host(number: u32) -> IpAddr {
    IpAddr::V4((0x0b00_0000 + number).into())
}

/// The peak resident memory so far, in KiB.
fn peak(gomon: &Running) -> u64 {
    let status =
        fs::read_to_string(format!("/proc/{}/status", gomon.id())).expect("gomon is running");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Runs gomon on `frames`, and returns its records and its peak memory in KiB.
fn run(frames: impl ExactSizeIterator<Item = Vec<u8>>) -> (Vec<Value>, u64) {
    let scratch = Scratch::new();
    let log = scratch.path().join("eve.json");
    let mut command = command();
    command.args(["-", BOT, "--quiet", "--window", "1", "--destination-threshold", "1e9"]);
    command.arg("--eve-log-path").arg(&log);
    let mut gomon = Running::start(&mut command);
    gomon.feed(&pcap(PLAIN, &[]));
    let number = u32::try_from(frames.len()).expect("a number");
    feed(&mut gomon, 0, frames);
    // Once the first of these packets is in the log, all earlier ones have been judged. The input stays open, so
    // that the process still runs when its memory is read.
    let end = "192.0.2.1";
    for later in [10, 20] {
        feed(&mut gomon, number + later * RATE, [syn(ip(BOT), ip(end), 53)].into_iter());
    }
    let read = || fs::read_to_string(&log).expect("UTF-8");
    while !read().lines().next_back().is_some_and(|line| line.contains(end)) {
        thread::sleep(Duration::from_millis(20));
    }
    let peak = peak(&gomon);
    gomon.close_input();
    let run = gomon.finish();
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    (records(&read()), peak)
}

fn sweeps(records: &[Value]) -> Vec<&Value> {
    let sweeps = records.iter().filter(|record| record["alert"]["signature_id"] == 2_100_005);
    sweeps.map(|record| &record["metadata"]["gomon"]).collect()
}

#[test]
fn a_million_hosts_on_one_port() {
    let million = 1_000_000;
    let (records, peak) = run((0..million).map(|n| syn(ip(BOT), host(n), 23)));
    let sweeps = sweeps(&records);
    // Contacts are decided three windows later, so those of the first window are decided in the fourth.
    assert_eq!(sweeps.len(), 1000, "one for every window");
    let contacts = sweeps[999]["contacts"].as_u64().expect("a number");
    // Hosts that end in 255 are no contacts. Of the others, a few are false positives of the Bloom filter.
    let most = u64::from(million - million / 256);
    assert!((most - most / 500..=most).contains(&contacts), "{contacts} of {most}");
    assert_eq!(sweeps[999]["answered"], 0);
    assert!(peak < LIMIT, "{peak} KiB at its peak");
}

#[test]
fn a_host_on_each_of_65536_ports() {
    let (records, peak) = run((0..=u16::MAX).map(|port| syn(ip(BOT), host(port.into()), port)));
    assert_eq!(sweeps(&records).len(), 0);
    assert!(peak < LIMIT, "{peak} KiB at its peak");
}

/// Unsolicited packets to the bot take no memory, and do not count as replies to contacts.
#[test]
fn unsolicited_replies() {
    let frames = (0..600_000).map(|n| match n % 100 {
        0 => udp(ip(BOT), host(n / 100), 161, 0),
        _ => udp(host(0x0010_0000 + n), ip(BOT), 161, 0),
    });
    let (records, peak) = run(frames);
    let sweeps = sweeps(&records);
    let contacts: u64 = 6000 - 6000 / 256;
    let reported =
        sweeps.last().map(|sweep| (sweep["contacts"].as_u64(), sweep["answered"].as_u64()));
    assert_eq!(reported, Some((Some(contacts), Some(0))));
    assert!(peak < LIMIT, "{peak} KiB at its peak");
}

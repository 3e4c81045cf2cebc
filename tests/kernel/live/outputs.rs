//! Slow output does not delay counting.

use std::thread;
use std::time::Duration;

use super::{BOT, LONG, attached, count, finish, net, packet, until_counted};
use crate::support::running::Running;

/// Returns the start of a record's window in milliseconds since the epoch.
fn start(record: &serde_json::Value) -> i64 {
    let text = record["timestamp"].as_str().unwrap();
    let time = jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).unwrap();
    time.as_millisecond()
}

#[test]
fn live_slow_reader_delays_no_window() {
    const WINDOW: u32 = 250; // milliseconds
    for mode in ["auto", "pcap"] {
        let Some(net) = net() else { return };
        let args = format!(
            "--window {WINDOW}ms --show-idle --destination-threshold 100000 --packet-threshold 100000 \
             --sweep-detection off --port-threshold 0 --attach {mode}"
        );
        let gomon = attached(&net, BOT, &args);
        // The records of a window, which are not read yet, are several times the capacity of a pipe.
        let frames: Vec<_> = (0..400).map(|n| packet((n % 200) as u8, 1000 + n)).collect();
        for _ in 0..8 {
            net.send(&frames);
            thread::sleep(Duration::from_millis(WINDOW.into()));
        }
        gomon.signal("INT");
        let run = finish(gomon);
        let records = run.records();
        let idle: Vec<_> = records.iter().filter(|r| r["event_type"] == "stats").collect();
        let starts: Vec<_> = idle.iter().map(|record| start(record)).collect();
        assert!(starts.len() >= 8, "{mode}: {starts:?}");
        let apart = |pair: &[i64]| (pair[1] - pair[0] - i64::from(WINDOW)).abs() <= 1;
        assert!(starts.windows(2).all(apart), "{mode}: {starts:?}");
        let packets = |r: &&serde_json::Value| r["metadata"]["gomon"]["packets"].as_u64().unwrap();
        assert_eq!(idle.iter().map(packets).sum::<u64>(), 3200, "{mode}: {}", run.stderr);
    }
}

#[test]
fn live_status_request_logs_the_ledgers() {
    for mode in ["xdp", "tc", "pcap"] {
        let Some(net) = net() else { return };
        let mut gomon: Running = attached(&net, BOT, &format!("{LONG} --attach {mode}"));
        net.send(&[packet(1, 80), packet(2, 80), packet(2, 81)]);
        until_counted(&mut gomon, 3);
        gomon.signal("USR1");
        let open = gomon.wait_for_part(" open window: ");
        assert!(open.contains(": 3 frames seen = 3 counted + 0 not from the bot "), "{open}");
        let all = gomon.wait_for_part(" since the start: ");
        assert!(all.contains(": 3 frames seen = 3 counted "), "{all}");
        // The request does not change the counts.
        let run = count(&net, gomon, &[packet(1, 80)]);
        assert!(run.line("Ledger: ").starts_with("Ledger: 4 frames seen = 4 counted "));
    }
}

#[test]
fn live_closed_standard_output_ends_the_run_with_the_number_of_lost_records() {
    let Some(net) = net() else { return };
    let mut gomon = attached(&net, BOT, "--window 100ms --show-idle");
    gomon.record();
    gomon.close_output();
    let run = finish(gomon);
    let last = run.stderr.lines().last().unwrap();
    assert!(last.starts_with("Standard output was closed by its reader: "), "{}", run.stderr);
    assert!(!last.contains(": 0 record(s)"), "{last}");
}

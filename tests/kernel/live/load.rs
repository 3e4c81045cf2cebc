//! At full load across many windows, no frame is lost or counted twice. With libpcap, all losses are
//! reported.

use std::thread;

use gomon_xdpgen::{Timing, Traffic, of_process};
use serde_json::Value;

use super::{BOT, attached, finish, net, packet};
use crate::can_generate;
use crate::support::net::Net;
use crate::support::program::{Outcome, Scratch};
use crate::support::running::Running;

/// All windows are idle: each has a record with its ledger, and a record for each listed destination.
const ARGS: &str = "--show-idle --packet-threshold 1000000000 --destination-threshold 1000000000 \
     --port-threshold 0 --sweep-hosts 1000000";

/// The number of frames in the capture that is sent.
const FRAMES: u16 = 1000;
/// How often the capture is sent.
const TIMES: u32 = 1000;

/// The same with short windows, so that there are many window boundaries.
pub(super) const SHORT: &str = "--window 100ms --show-idle --packet-threshold 1000000000 \
     --destination-threshold 1000000000 --port-threshold 0";

#[test]
fn live_windows_add_up_to_what_arrived_at_full_speed() {
    for mode in ["xdp", "tc", "pcap"] {
        let Some(net) = net() else { return };
        let frames: Vec<_> = (0..FRAMES).map(|k| packet((k % 8) as u8, 80)).collect();
        let gomon = attached(&net, BOT, &format!("{SHORT} --attach {mode}"));
        let scratch = Scratch::new();
        let mut sender = net.sender(&scratch, &frames, TIMES);
        let (sums, run) = gather(gomon, || sender.has_ended());
        sender.finish();
        let sent = u64::from(FRAMES) * u64::from(TIMES);
        // The queue of the veth pair drops frames while the receiver does not get CPU time.
        let arrived = net.arrived();
        println!("{mode}: {arrived} of {sent} frames arrived over {} windows", sums.windows);
        assert!((sent / 2..=sent).contains(&arrived), "{mode}: {arrived} frames arrived");
        let lost = lost(&run);
        assert!(lost == 0 || mode == "pcap", "{mode}: {lost} frames lost");
        assert_eq!(sums.lost, lost, "{mode}");
        sums.assert_add_up_to(arrived - lost, frames[0].len() as u64, &run);
        assert_eq!((sums.packets, sums.overflow), (arrived - lost, 0), "{mode}");
        assert!(sums.windows > 3, "{mode}: sent within {} windows", sums.windows);
    }
}

/// Returns the number of lost frames in the summary.
pub(super) fn lost(run: &Outcome) -> u64 {
    let (_, lost) = run.line("Attached: ").split_once(", ").unwrap();
    lost.strip_suffix(" lost").unwrap().parse().unwrap()
}

/// The number of frames that the kernel generates.
const GENERATED: u64 = 6_000_000;
/// The number of destinations of an ordinary flood.
const HOSTS: u32 = 512;

#[test]
fn live_six_million_generated_frames_are_counted_exactly_over_windows_of_a_second() {
    let Some(net) = net().filter(|_| can_generate()) else { return };
    let traffic = Traffic::to_random_hosts(BOT.parse().unwrap(), HOSTS);
    let (sums, run) = flood(&net, &traffic);
    sums.assert_add_up_to(net.arrived(), traffic.length as u64, &run);
    assert_eq!((sums.packets, sums.overflow), (net.arrived(), 0));
    assert!(sums.inexact == 0 && sums.hosts <= u64::from(HOSTS) * sums.windows);
    // Half a million random draws in a window miss no host.
    assert!(sums.hosts >= u64::from(HOSTS) * (sums.windows - 2), "{} hosts", sums.hosts);
}

#[test]
fn live_six_million_frames_to_distinct_hosts_are_counted_exactly_and_hosts_estimated() {
    let Some(net) = net().filter(|_| can_generate()) else { return };
    let traffic = Traffic::to_new_hosts(BOT.parse().unwrap());
    let (sums, run) = flood(&net, &traffic);
    sums.assert_add_up_to(net.arrived(), traffic.length as u64, &run);
    // Each listed host has one packet, and at most 1024 hosts are listed in a window.
    assert!(sums.packets <= 1024 * sums.windows && sums.overflow > 5_000_000);
    assert!(sums.inexact >= sums.windows - 2, "{} of {}", sums.inexact, sums.windows);
    println!("{} hosts estimated for {}", sums.hosts, sums.counted);
    // A single estimate has a standard error of 1.6 %, and the sum of several has less.
    let error = sums.hosts.abs_diff(sums.counted);
    assert!(error * 20 < sums.counted, "{} hosts for {}", sums.hosts, sums.counted);
}

/// Runs gomon while [`GENERATED`] frames arrive.
fn flood(net: &Net, traffic: &Traffic) -> (Sums, Outcome) {
    let gomon = attached(net, BOT, &format!("{ARGS} --window 1s --attach xdp"));
    let _timing = Timing::start().expect("the kernel counts runs of programs");
    let (id, before) = (gomon.id(), net.arrived());
    assert_eq!(before, 0, "frames before the test");
    let (sums, run) = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let sent = net.generate(traffic, GENERATED);
            // The program has run on every frame by now, because the sender's CPU also receives the frames.
            (sent, of_process(id).expect("gomon has a program"))
        });
        let gathered = gather(gomon, || sender.is_finished());
        let (sent, program) = sender.join().expect("the sender ends");
        let (arrived, dropped) = (net.arrived(), net.statistic("rx_dropped"));
        println!(
            "{GENERATED} frames in {:.2} s: {dropped} dropped by the full queue, {} windows, \
             {} ns a frame",
            sent.elapsed.as_secs_f64(),
            gathered.0.windows,
            program.nanoseconds / program.runs.max(1)
        );
        // The kernel counts the frames dropped because the queue is full.
        assert_eq!((sent.frames, arrived + dropped), (GENERATED, GENERATED));
        assert_eq!(program.runs, arrived);
        gathered
    });
    assert!(sums.windows > 2, "sent within {} windows", sums.windows);
    (sums, run)
}

/// Reads records until the sender is done and two silent windows follow, and then stops gomon.
fn gather(mut gomon: Running, mut over: impl FnMut() -> bool) -> (Sums, Outcome) {
    let (mut sums, mut silent) = (Sums::default(), 0);
    // Frames in transit when the sender ends are counted in that window or in the next.
    while silent < 2 {
        let over = over();
        let frames = sums.add(&gomon.record());
        silent += u32::from(over && frames == Some(0));
    }
    gomon.signal("INT");
    let run = finish(gomon);
    for record in run.records() {
        sums.add(&record);
    }
    (sums, run)
}

/// Sums over the records so far.
#[derive(Default)]
pub(super) struct Sums {
    /// From the ledgers.
    pub(super) frames: u64,
    counted: u64,
    pub(super) lost: u64,
    /// From the windows.
    window_packets: u64,
    window_bytes: u64,
    overflow: u64,
    hosts: u64,
    /// From the flow records.
    packets: u64,
    bytes: u64,
    /// Windows with frames.
    windows: u64,
    /// Windows whose number of hosts was estimated.
    inexact: u64,
}

impl Sums {
    /// Adds a record. For a record with a ledger, returns the frames of the window.
    pub(super) fn add(&mut self, record: &Value) -> Option<u64> {
        let number = |value: &Value| value.as_u64().expect("a number");
        if record["event_type"] == "flow" {
            self.packets += number(&record["flow"]["pkts_toserver"]);
            self.bytes += number(&record["flow"]["bytes_toserver"]);
            return None;
        }
        assert_eq!(record["event_type"], "stats");
        let window = &record["metadata"]["gomon"];
        let frames = number(&window["ledger"]["frames"]);
        self.frames += frames;
        self.counted += number(&window["ledger"]["counted"]);
        self.lost += number(&window["ledger"]["lost"]);
        self.window_packets += number(&window["packets"]);
        self.window_bytes += number(&window["bytes"]);
        self.overflow += number(&window["overflow_packets"]);
        self.hosts += number(&window["hosts"]);
        self.windows += u64::from(frames > 0);
        self.inexact += u64::from(window["hosts_exact"] == false);
        Some(frames)
    }

    /// Checks that ledgers, windows, and flows each contain every arrived frame, of `length` bytes,
    /// exactly once.
    #[track_caller]
    fn assert_add_up_to(&self, arrived: u64, length: u64, run: &Outcome) {
        assert_eq!((self.frames, self.counted), (arrived, arrived), "the ledgers");
        assert_eq!((self.window_packets, self.window_bytes), (arrived, arrived * length));
        assert_eq!(self.packets + self.overflow, arrived, "the connections and the overflow");
        assert_eq!(self.bytes, self.packets * length);
        let ledger = run.line("Ledger: ");
        assert!(ledger.starts_with(&format!("Ledger: {arrived} frames seen = {arrived} counted ")));
        assert!(ledger.ends_with(&format!(", {} packets in overflow", self.overflow)), "{ledger}");
        assert_eq!(lost(run), self.lost);
    }
}

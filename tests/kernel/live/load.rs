//! At full load across many windows nothing is lost and nothing is counted twice; through libpcap
//! nothing is lost without being told.

use super::{BOT, attached, finish, net, packet};
use crate::support::program::{Outcome, Scratch};

/// Frames of the capture that is sent again and again, and how often.
const FRAMES: u16 = 1000;
const TIMES: u32 = 1000;

/// Short windows, so that there are many boundaries. None of them is anything but idle: each has a
/// record of its ledger, and one for each destination.
pub(super) const ARGS: &str = "--window 100ms --show-idle --packet-threshold 1000000000 \
     --destination-threshold 1000000 --port-threshold 0";

#[test]
fn live_windows_add_up_to_what_arrived_at_full_speed() {
    for mode in ["xdp", "tc", "pcap"] {
        let Some(net) = net() else { return };
        let frames: Vec<_> = (0..FRAMES).map(|k| packet((k % 8) as u8, 80)).collect();
        let mut gomon = attached(&net, BOT, &format!("{ARGS} --attach {mode}"));
        let scratch = Scratch::new();
        let mut sender = net.sender(&scratch, &frames, TIMES);
        let (mut sums, mut silent) = (Sums::default(), 0);
        // What is under way when the sender ends is counted in that window or in the next, and a
        // silent one follows.
        while silent < 2 {
            let over = sender.try_wait().unwrap().is_some();
            let frames = sums.enter(&gomon.record());
            silent += u32::from(over && frames == Some(0));
        }
        assert!(sender.wait().unwrap().success());
        gomon.signal("INT");
        let run = finish(gomon);
        for record in run.records() {
            sums.enter(&record);
        }
        let sent = u64::from(FRAMES) * u64::from(TIMES);
        // The wire is a queue, which drops what comes while the receiver has no processor.
        let arrived = net.arrived();
        println!("{mode}: {arrived} of {sent} frames arrived over {} windows", sums.windows);
        assert!((sent / 2..=sent).contains(&arrived), "{mode}: {arrived} frames arrived");
        let lost = lost(&run);
        assert!(lost == 0 || mode == "pcap", "{mode}: {lost} frames lost");
        let seen = arrived - lost;
        assert_eq!((sums.frames, sums.counted, sums.lost), (seen, seen, lost), "{mode}");
        assert_eq!(sums.packets, seen, "{mode}");
        assert_eq!(sums.bytes, seen * frames[0].len() as u64, "{mode}");
        let ledger = run.line("Ledger: ");
        assert!(ledger.starts_with(&format!("Ledger: {seen} frames seen = {seen} counted ")));
        assert!(sums.windows > 3, "{mode}: sent within {} windows", sums.windows);
    }
}

/// What the summary says was lost.
pub(super) fn lost(run: &Outcome) -> u64 {
    let (_, lost) = run.line("Attached: ").split_once(", ").unwrap();
    lost.strip_suffix(" lost").unwrap().parse().unwrap()
}

/// What the records say so far.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) frames: u64,
    counted: u64,
    pub(super) lost: u64,
    packets: u64,
    bytes: u64,
    windows: u64,
}

impl Sums {
    /// Enters a record; returns the frames of the window when it is its ledger.
    pub(super) fn enter(&mut self, record: &serde_json::Value) -> Option<u64> {
        let number = |value: &serde_json::Value| value.as_u64().expect("a number");
        if record["event_type"] == "flow" {
            self.packets += number(&record["flow"]["pkts_toserver"]);
            self.bytes += number(&record["flow"]["bytes_toserver"]);
            return None;
        }
        assert_eq!(record["event_type"], "stats");
        let ledger = &record["metadata"]["gomon"]["ledger"];
        let frames = number(&ledger["frames"]);
        self.frames += frames;
        self.counted += number(&ledger["counted"]);
        self.lost += number(&ledger["lost"]);
        self.windows += u64::from(frames > 0);
        Some(frames)
    }
}

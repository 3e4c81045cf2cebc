//! Real captures: sweeps are reported for scanners, and for no other bot.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use gomon::core::{
    PacketFilter, PaneClock, Sources, Span, SweepDetector, SweepTest, Tally, Timestamp,
    WindowCounts,
};
use gomon::frame::{Frame, RemoteHosts};
use gomon::source::replay::{Input, Reader, Replay};
use gomon::source::{PacketSink, PaneSink, Stop};
use gomon_common::{LinkType, parse};

use crate::support::capture::{Captured, PLAIN, pcap};
use crate::support::frames::ip;
use crate::support::program::{Scratch, gomon};
use crate::support::real;

/// Captures of scanners: file, bot, numbers of answered and of unanswered contacts on all ports together, and the
/// swept ports.
type Row = (&'static str, &'static str, [u64; 2], &'static [(&'static str, u64)]);
const SCANNERS: [Row; 4] = [
    (
        "malware-scan__test7-malicious.pcap",
        "192.168.2.16",
        [7, 259],
        &[("TCP", 23), ("TCP", 2323), ("TCP", 8080)],
    ),
    (
        "malware-scan__2017-05-10-Cerber-from-weekdkla.top.pcap",
        "10.5.10.102",
        [3, 1084],
        &[("UDP", 6893)],
    ),
    (
        "malware-spam__2017-10-10-Emotet-malspam-traffic.pcap",
        "10.10.10.101",
        [37, 714],
        &[("TCP", 465), ("TCP", 587)],
    ),
    ("scan-slow__scan-1433.pcap", "122.224.112.162", [0, 7276], &[("TCP", 1433)]),
];

struct ContactCounter {
    sweeps: SweepDetector,
    window: i64,
}

impl PacketSink for ContactCounter {
    fn needs_packets(&self) -> bool {
        false
    }

    fn packet(&mut self, _: RemoteHosts, _: &Frame<'_>) {}
}

impl PaneSink for ContactCounter {
    fn pane(&mut self, counts: WindowCounts) -> ControlFlow<()> {
        self.sweeps.add_pane(&counts);
        ControlFlow::Continue(())
    }

    fn silence(&mut self, start: Timestamp, _: u64) -> ControlFlow<()> {
        // One silent window is longer than the reply timeout, so all pending contacts are decided.
        self.sweeps.add_pane(&WindowCounts::empty(Span::starting(start, self.window)));
        ControlFlow::Continue(())
    }

    fn packets_lost(&mut self, _: u64) {}
    fn progress(&mut self, _: u64, _: u64) {}
}

/// The answered and unanswered contacts of a replay that lists all destinations.
fn contacts(folder: &Path, capture: &str, bot: &str) -> [u64; 2] {
    let window = 30_000_000_000;
    let input = Input::open(&folder.join(capture), Stop::default()).expect("the capture exists");
    let reader = Reader::new(input).expect("a capture");
    let bot = Sources::Bot { first: ip(bot).into(), others: vec![] };
    let tally = Tally::new(PacketFilter::new(bot, vec![]), 100_000);
    let mut counter = ContactCounter { sweeps: SweepDetector::default(), window };
    let replay = Replay::new(PaneClock::new(window, window), tally);
    replay.run(reader, &Stop::default(), &mut counter).expect("an intact capture");
    let sum = |[answered, unanswered]: [u64; 2], test: SweepTest| {
        [answered + test.answered, unanswered + test.unanswered]
    };
    counter.sweeps.tests().into_iter().map(|(_, test)| test).fold([0; 2], sum)
}

/// The ports that gomon reports as swept by default, and how often it warns that UDP can't be judged.
fn reported(folder: &Path, capture: &str, bot: &str) -> (BTreeSet<(String, u64)>, usize) {
    let path = folder.join(capture);
    let run = gomon([path.to_str().expect("a path"), bot]);
    let sweeps = run.records().into_iter().filter(|r| r["alert"]["signature_id"] == 2_100_005);
    let ports = sweeps.map(|r| {
        (r["proto"].as_str().expect("a name").to_owned(), r["dest_port"].as_u64().expect("a port"))
    });
    (ports.collect(), run.stderr.matches("UDP sweeps can't be judged").count())
}

#[test]
fn the_ports_that_scanners_sweep_are_reported() {
    let Some(folder) = real::captures() else { return };
    for (capture, bot, expected, swept) in SCANNERS {
        assert_eq!(contacts(&folder, capture, bot), expected, "{capture}");
        let (ports, _) = reported(&folder, capture, bot);
        let swept: BTreeSet<_> =
            swept.iter().map(|(name, port)| ((*name).to_owned(), *port)).collect();
        assert_eq!(ports, swept, "{capture}");
    }
}

#[test]
fn busy_clients_beacons_and_floods_are_not_reported() {
    let Some(folder) = real::captures() else { return };
    let manifest = std::fs::read_to_string(folder.join("MANIFEST.tsv")).expect("a manifest");
    let mut tested = 0;
    for line in manifest.lines().skip(1) {
        let fields: Vec<_> = line.split('\t').collect();
        let (capture, bot) = (fields[0], fields[13]);
        let is_scanner = SCANNERS.iter().any(|(name, ..)| *name == capture);
        if is_scanner || bot.parse::<std::net::IpAddr>().is_err() {
            continue;
        }
        assert_eq!(reported(&folder, capture, bot).0, BTreeSet::new(), "{capture} from {bot}");
        tested += 1;
    }
    assert!(tested > 12, "only {tested} captures");
}

/// Captures with one direction only: TCP is judged as with both, and UDP is not judged.
#[test]
fn with_one_direction_tcp_is_judged_and_a_warning_says_that_udp_is_not() {
    let Some(folder) = real::captures() else { return };
    let scratch = Scratch::new();
    for (capture, bot, _, swept) in SCANNERS {
        let sent: Vec<_> = real::frames(&folder.join(capture))
            .into_iter()
            .filter(|(_, frame)| {
                parse(LinkType::Ethernet, &frame[..])
                    .is_ok_and(|packet| packet.source == ip(bot).into())
            })
            .map(|(time, data)| Captured {
                time: time.nanoseconds().unsigned_abs(),
                length: u32::try_from(data.len()).expect("a length"),
                data,
            })
            .collect();
        scratch.file(capture, &pcap(PLAIN, &sent));
        let (ports, warnings) = reported(scratch.path(), capture, bot);
        let tcp = swept.iter().filter(|(name, _)| *name == "TCP");
        let tcp: BTreeSet<_> = tcp.map(|(name, port)| ((*name).to_owned(), *port)).collect();
        assert_eq!(ports, tcp, "{capture}");
        assert_eq!(warnings, 1, "{capture}");
    }
}

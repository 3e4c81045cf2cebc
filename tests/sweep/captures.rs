//! Real captures: who scans is named, and nobody else.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use gomon::core::{
    PacketFilter, PaneClock, Sources, Span, Sweeps, Tally, Timestamp, Walk, WindowCounts,
};
use gomon::frame::{Frame, RemoteHosts};
use gomon::source::replay::{Input, Reader, Replay};
use gomon::source::{PacketSink, PaneSink, Stop};
use gomon_common::{LinkType, parse};

use crate::support::capture::{Captured, PLAIN, pcap};
use crate::support::frames::ip;
use crate::support::program::{Scratch, gomon};
use crate::support::real;

/// Captures of scanners: file, bot, contacts that were answered and those that were not, on all ports
/// together, and the ports that are swept.
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

struct Judge {
    sweeps: Sweeps,
    window: i64,
}

impl PacketSink for Judge {
    fn wants_packets(&self) -> bool {
        false
    }

    fn packet(&mut self, _: RemoteHosts, _: &Frame<'_>) {}
}

impl PaneSink for Judge {
    fn pane(&mut self, counts: WindowCounts) -> ControlFlow<()> {
        self.sweeps.pane(&counts);
        ControlFlow::Continue(())
    }

    fn silence(&mut self, start: Timestamp, _: u64) -> ControlFlow<()> {
        // One silent window is enough for all that waits.
        self.sweeps.pane(&WindowCounts::empty(Span::starting(start, self.window)));
        ControlFlow::Continue(())
    }

    fn packets_lost(&mut self, _: u64) {}
    fn progress(&mut self, _: u64, _: u64) {}
}

/// Contacts of a replay with room for all destinations, answered and not.
fn contacts(folder: &Path, capture: &str, bot: &str) -> [u64; 2] {
    let window = 30_000_000_000;
    let input = Input::open(&folder.join(capture), Stop::default()).expect("it is there");
    let reader = Reader::new(input).expect("a capture");
    let bot = Sources::Bot { first: ip(bot).into(), others: vec![] };
    let tally = Tally::new(PacketFilter::new(bot, vec![]), 100_000);
    let mut judge = Judge { sweeps: Sweeps::default(), window };
    let replay = Replay::new(PaneClock::new(window, window), tally);
    replay.run(reader, &Stop::default(), &mut judge).expect("a sound capture");
    let sum = |[answered, unanswered]: [u64; 2], walk: Walk| {
        [answered + walk.answered, unanswered + walk.unanswered]
    };
    judge.sweeps.walks().map(|(_, walk)| walk).fold([0; 2], sum)
}

/// The ports gomon names by default, and how often it says that UDP can't be judged.
fn named(folder: &Path, capture: &str, bot: &str) -> (BTreeSet<(String, u64)>, usize) {
    let path = folder.join(capture);
    let run = gomon([path.to_str().expect("a path"), bot]);
    let sweeps = run.records().into_iter().filter(|r| r["alert"]["signature_id"] == 2_100_005);
    let ports = sweeps.map(|r| {
        (r["proto"].as_str().expect("a name").to_owned(), r["dest_port"].as_u64().expect("a port"))
    });
    (ports.collect(), run.stderr.matches("UDP sweeps can't be judged").count())
}

#[test]
fn scanners_are_named_by_the_ports_they_sweep() {
    let Some(folder) = real::captures() else { return };
    for (capture, bot, expected, swept) in SCANNERS {
        assert_eq!(contacts(&folder, capture, bot), expected, "{capture}");
        let (ports, _) = named(&folder, capture, bot);
        let swept: BTreeSet<_> =
            swept.iter().map(|(name, port)| ((*name).to_owned(), *port)).collect();
        assert_eq!(ports, swept, "{capture}");
    }
}

#[test]
fn busy_clients_bots_that_call_home_and_floods_are_not() {
    let Some(folder) = real::captures() else { return };
    let manifest = std::fs::read_to_string(folder.join("MANIFEST.tsv")).expect("a manifest");
    let mut quiet = 0;
    for line in manifest.lines().skip(1) {
        let fields: Vec<_> = line.split('\t').collect();
        let (capture, bot) = (fields[0], fields[13]);
        let scans = SCANNERS.iter().any(|(name, ..)| *name == capture);
        if scans || bot.parse::<std::net::IpAddr>().is_err() {
            continue;
        }
        assert_eq!(named(&folder, capture, bot).0, BTreeSet::new(), "{capture} from {bot}");
        quiet += 1;
    }
    assert!(quiet > 12, "only {quiet} captures");
}

/// What one direction of a capture shows: TCP is judged as ever, and UDP not at all.
#[test]
fn of_one_direction_alone_tcp_is_judged_and_udp_is_told_not_to_be() {
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
        let (ports, told) = named(scratch.path(), capture, bot);
        let tcp = swept.iter().filter(|(name, _)| *name == "TCP");
        let tcp: BTreeSet<_> = tcp.map(|(name, port)| ((*name).to_owned(), *port)).collect();
        assert_eq!(ports, tcp, "{capture}");
        assert_eq!(told, 1, "{capture}");
    }
}

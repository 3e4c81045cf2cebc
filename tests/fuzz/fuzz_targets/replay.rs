//! Any bytes as a capture file, read, counted and judged: the replay ends, and every frame is accounted for.
#![no_main]

use std::fs::File;
use std::io::{Seek, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use gomon::core::{
    PaneClock, Engine, Ledger, Policy, ScanMode, PacketFilter, Sources, Tally, Timestamp, WindowCounts,
    WindowReport,
};
use gomon::frame::{Frame, RemoteHosts};
use gomon::source::replay::{Input, Reader, Replay};
use gomon::source::{PacketSink, PaneSink, Stop};
use gomon_common::Address;
use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};

/// Sums the ledgers of panes and windows.
struct Totals {
    engine: Engine,
    frames: u64,
    panes: Ledger,
    windows: Ledger,
    reported: u64,
}

impl PacketSink for Totals {
    fn needs_packets(&self) -> bool {
        false
    }

    fn packet(&mut self, _: RemoteHosts, _: &Frame<'_>) {}
}

impl PaneSink for Totals {
    fn pane(&mut self, counts: WindowCounts) -> ControlFlow<()> {
        assert_eq!(counts.total().packets, counts.ledger.counted);
        self.panes += &counts.ledger;
        let (windows, reported) = (&mut self.windows, &mut self.reported);
        self.engine.add_pane(counts, &mut |report| add(windows, reported, &report));
        ControlFlow::Continue(())
    }

    fn silence(&mut self, start: Timestamp, panes: u64) -> ControlFlow<()> {
        let (windows, reported) = (&mut self.windows, &mut self.reported);
        self.engine.add_silent_panes(start, panes, &mut |report| add(windows, reported, &report));
        ControlFlow::Continue(())
    }

    fn packets_lost(&mut self, _: u64) {}

    fn progress(&mut self, frames: u64, _: u64) {
        self.frames = frames;
    }
}

fn add(windows: &mut Ledger, reported: &mut u64, report: &WindowReport) {
    *windows += &report.ledger;
    *reported += 1;
}

/// Builds a capture whose first bytes are valid, so that the rest is read.
fn capture(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    match kind % 8 {
        0 => file.extend(data),
        // Classic pcap, little-endian and big-endian, of some link type.
        1..=3 => {
            let link = [1, 101, 113][usize::from(kind % 3)];
            for field in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, link] {
                file.extend(field.to_le_bytes());
            }
            file.extend(data);
        }
        4 => {
            for field in [0xa1b2_3c4d_u32, 0x0002_0004, 0, 0, 65535, 1] {
                file.extend(field.to_be_bytes());
            }
            file.extend(data);
        }
        // pcapng: the section header, and then the bytes unchanged or framed as blocks.
        5 => {
            file.extend(SECTION);
            file.extend(data);
        }
        _ => {
            file.extend(SECTION);
            let mut rest = data;
            while let [kind, length, tail @ ..] = rest {
                let (body, tail) = tail.split_at(usize::from(*length).min(tail.len()));
                let padded = body.len().next_multiple_of(4);
                let total = u32::try_from(padded + 12).expect("a byte's worth");
                file.extend(u32::from(kind % 7).to_le_bytes());
                file.extend(total.to_le_bytes());
                file.extend(body);
                file.resize(file.len() + padded - body.len(), 0);
                file.extend(total.to_le_bytes());
                rest = tail;
            }
        }
    }
    file
}

/// A little-endian section header, and an Ethernet interface.
const SECTION: [u8; 48] = [
    0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 28, 0, 0, 0, 1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20,
    0, 0, 0,
];

fuzz_target!(|data: &[u8]| {
    let [kind, panes, data @ ..] = data else { return };
    let file = memfd_create("capture", MemfdFlags::CLOEXEC).expect("memory");
    let mut file = File::from(file);
    file.write_all(&capture(*kind, data)).expect("memory");
    file.rewind().expect("a file");
    let input = Input::from_file(file, Stop::default()).expect("a file");
    let Ok(reader) = Reader::new(input) else { return };

    let step = Duration::from_secs(1);
    let policy = Policy {
        window: step * (1 + u32::from(panes % 4)),
        step,
        packet_threshold: 1.0,
        destination_threshold: 2.0,
        port_threshold: Some(2.0),
        scan_mode: ScanMode::ALL[usize::from(panes % 3)],
        sweep_hosts: Some(2),
        connections: true,
    };
    let tumbling = policy.panes() == 1;
    let clock = PaneClock::new(policy.step_nanoseconds(), policy.window_nanoseconds());
    // An address that fuzzed frames are likely to contain, so that plain IPv4 frames are the bot's.
    let sources = match panes % 8 {
        0..4 => Sources::Any,
        _ => Sources::Bot { first: Address::v4([0; 4]), others: vec![] },
    };
    let tally = Tally::new(PacketFilter::new(sources, vec![]), 4);
    let mut totals = Totals {
        engine: Engine::new(policy),
        frames: 0,
        panes: Ledger::default(),
        windows: Ledger::default(),
        reported: 0,
    };
    let _ = Replay::new(clock, tally).run(reader, &Stop::default(), &mut totals);
    let (windows, reported) = (&mut totals.windows, &mut totals.reported);
    totals.engine.finish(&mut |report| add(windows, reported, &report));
    assert_eq!(totals.panes.seen(), totals.frames, "every frame is in a pane");
    if tumbling {
        assert_eq!(totals.windows, totals.panes, "every pane is in a window");
    }
    assert!(totals.reported <= 1001 * (totals.frames + 1), "output is bounded by the frames");
});

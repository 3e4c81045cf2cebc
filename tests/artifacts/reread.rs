//! Packets are reread from a file, and from the recent bytes of a stream: the artifacts are the same.

use std::fs;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;

use gomon::core::{PacketFilter, PaneClock, Sources, Tally, Timestamp, WindowCounts};
use gomon::frame::{Frame, RemoteHosts};
use gomon::source::replay::{Input, Reader, Replay, Rereader};
use gomon::source::{PacketSink, PaneSink, Stop};
use proptest::prelude::*;

use crate::support::capture::{Captured, Classic, PLAIN, Pcapng, SECOND, START, at, pcap};
use crate::support::frames::{ip, syn, udp};
use crate::support::program::{Scratch, gomon_with_input};
use crate::support::real::frames;
use crate::{BOT, flood};

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_and_a_stream_make_the_same_artifacts(
        packets in prop::collection::vec((0u8..6, any::<bool>(), 0usize..40, 0u64..2_000_000_000, 0u8..40), 1..200),
        saved in 1u32..6,
        any in any::<bool>(),
    ) {
        let mut now = 0;
        let captured: Vec<_> = packets.into_iter().map(|(host, sent, payload, step, leap)| {
            now += step;
            let (bot, host) = (ip(BOT), IpAddr::from([192, 0, 2, host]));
            let (source, destination) = if sent { (bot, host) } else { (host, bot) };
            // Late, far ahead, or regular.
            let time = match leap {
                0 => now / 2,
                1 => now + 200_000 * SECOND,
                _ => now,
            };
            at(time, udp(source, destination, 80, payload))
        }).collect();
        let [reread, retained] = from_file_and_stream(&captured, if any { "any" } else { BOT }, &saved.to_string());
        prop_assert_eq!(reread, retained);
    }
}

/// Returns the artifacts of a capture, each with its name: from a file first, then from a stream.
fn from_file_and_stream(
    captured: &[Captured],
    bot: &str,
    saved: &str,
) -> [Vec<(Vec<u8>, String)>; 2] {
    from_bytes_in_file_and_stream(&pcap(PLAIN, captured), bot, saved)
}

/// Returns the artifacts of the bytes of a capture: from a file first, then from a stream.
fn from_bytes_in_file_and_stream(
    bytes: &[u8],
    bot: &str,
    saved: &str,
) -> [Vec<(Vec<u8>, String)>; 2] {
    let scratch = Scratch::new();
    let path = scratch.file("in.pcap", bytes);
    [(path.to_str().unwrap(), "file"), ("-", "stream")].map(|(input, directory)| {
        let into = scratch.path().join(directory);
        let flags =
            ["--packet-threshold", "0.1", "--destination-threshold", "1", "--save-packets", saved];
        let args = [input, bot, "--quiet", "--capture-dir", into.to_str().unwrap()];
        let outcome = gomon_with_input(args.into_iter().chain(flags), bytes, 1 << 20);
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
        let names = scratch.names(directory).into_iter();
        names.map(|name| (fs::read(into.join(&name)).unwrap(), name)).collect()
    })
}

/// The windows are reread in many pieces, back to the packets of a host that was silent after the first ones.
#[test]
fn a_file_and_a_stream_make_the_same_artifacts_of_long_windows() {
    let (bot, frames) = (ip(BOT), 20_000);
    let captured: Vec<_> = (0..3 * frames)
        .map(|n| {
            let host = if n % frames < 200 { n % 7 } else { 7 + n % 3 };
            let host = IpAddr::from([192, 0, 2, u8::try_from(host).unwrap()]);
            at(n * 30 * SECOND / frames, udp(bot, host, 80, usize::try_from(n % 90).unwrap()))
        })
        .collect();
    let [reread, retained] = from_file_and_stream(&captured, BOT, "50");
    assert_eq!(reread.len(), 3 * 10, "one per window and host");
    assert_eq!(reread, retained);
}

/// Of a stream, a window of 75 MiB is neither kept completely nor stored completely.
#[test]
fn a_file_and_a_stream_make_the_same_artifacts_of_windows_that_are_not_kept() {
    let (bot, frames) = (ip(BOT), 60_000u64);
    let captured: Vec<_> = (0..frames)
        .map(|n| {
            // Hosts with packets at the start, at the end, in all of it, and around the middle.
            let host = match n {
                _ if n < 100 => n % 3,
                _ if n > frames - 100 => 3 + n % 3,
                _ if n.abs_diff(frames / 2) < 8000 && n % 500 == 0 => 6,
                _ => 7 + n % 5,
            };
            let host = IpAddr::from([192, 0, 2, u8::try_from(host).unwrap()]);
            at(
                n * 29 * SECOND / frames,
                udp(bot, host, 80, 1200 + usize::try_from(n % 90).unwrap()),
            )
        })
        .collect();
    let [file, stream] = from_file_and_stream(&captured, BOT, "50");
    assert_eq!(file.len(), 12, "one per host");
    assert!(file == stream);
}

/// A block of a stream that is longer than what is kept: the packets before it are missing, which is an error.
#[test]
fn packets_before_a_long_block_of_a_stream_are_reported_as_missing() {
    let frame = |n: u64| udp(ip(BOT), ip("192.0.2.1"), 80, usize::try_from(n % 90).unwrap());
    for length in [50, 70] {
        let mut file = Pcapng::new(false);
        file.interface(1, 9, 0);
        for n in 0..100 {
            file.packet(0, START + n, &frame(n));
        }
        file.block(5, &vec![0; length << 20]);
        for n in 100..107 {
            file.packet(0, START + n, &frame(n));
        }
        let scratch = Scratch::new();
        let into = scratch.path().join("out");
        let args = ["-", BOT, "--quiet", "--save-packets", "50", "--packet-threshold", "1"];
        let args = args.into_iter().chain(["--capture-dir", into.to_str().unwrap()]);
        let outcome = gomon_with_input(args, &file.bytes(), 1 << 20);
        assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("is too long to keep"), "{}", outcome.stderr);
        let name = &scratch.names("out")[0];
        assert_eq!(frames(&into.join(name)).len(), 7, "those after the block");
    }
}

/// Windows, and the ranges that are reread at once, contain several concatenated captures.
#[test]
fn a_file_and_a_stream_make_the_same_artifacts_of_concatenated_captures() {
    let bot = ip(BOT);
    let formats = [
        PLAIN,
        Classic { big_endian: true, ..PLAIN },
        Classic { big_endian: true, nanoseconds: false, ..PLAIN },
        PLAIN,
        PLAIN,
    ];
    for frames in [50, 5000] {
        // Four windows, and no capture ends where a window does.
        let pieces = formats.iter().enumerate().map(|(piece, format)| {
            let captured: Vec<_> = (piece as u64 * frames..(piece as u64 + 1) * frames)
                .map(|n| {
                    let host = IpAddr::from([192, 0, 2, u8::try_from(n % 7).unwrap()]);
                    at(
                        n * 24 * SECOND / frames,
                        udp(bot, host, 80, usize::try_from(n % 90).unwrap()),
                    )
                })
                .collect();
            pcap(*format, &captured)
        });
        let bytes = pieces.collect::<Vec<_>>().concat();
        let [reread, retained] = from_bytes_in_file_and_stream(&bytes, BOT, "60");
        assert!(reread.len() >= 4 * 7, "one per window and host: {}", reread.len());
        assert_eq!(reread, retained);
    }
}

/// Contacts attempted at the end of a window are decided in the next, which may have no packets.
#[test]
fn a_sweep_that_is_decided_in_silence_has_no_packets() {
    let hello = |time| at(time, udp(ip(BOT), ip("192.0.2.1"), 53, 1));
    let mut captured = vec![hello(0)];
    captured.extend((0..20u8).map(|n| {
        at(28 * SECOND + u64::from(n), syn(ip(BOT), IpAddr::from([198, 51, 100, n]), 23))
    }));
    captured.push(hello(100 * SECOND));
    let [reread, retained] = from_file_and_stream(&captured, BOT, "9");
    let is_sweep = |(_, name): &(Vec<u8>, String)| name.starts_with("sweep_");
    assert!(!reread.iter().any(is_sweep));
    assert_eq!(reread, retained);
}

/// Rereads the packets of each pane when it is closed, then truncates the capture and rereads them again.
struct Rereading {
    rereader: Rereader,
    path: PathBuf,
    packets: usize,
    error: Option<anyhow::Error>,
}

impl PacketSink for Rereading {
    fn needs_packets(&self) -> bool {
        false
    }

    fn packet(&mut self, _: RemoteHosts, _: &Frame<'_>) {}
}

impl PaneSink for Rereading {
    fn pane(&mut self, _: WindowCounts) -> ControlFlow<()> {
        let filter = PacketFilter::new(Sources::Any, vec![]);
        let packets = &mut self.packets;
        let mut count = |_: u64, _, _: &Frame<'_>| {
            *packets += 1;
            ControlFlow::Continue(())
        };
        self.rereader.visit_closed_pane(&filter, &mut count).unwrap();
        let file = fs::File::options().write(true).open(&self.path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 60).unwrap();
        let mut none = |_: u64, _, _: &Frame<'_>| ControlFlow::Break(());
        self.error = self.rereader.visit_closed_pane(&filter, &mut none).err();
        ControlFlow::Continue(())
    }

    fn silence(&mut self, _: Timestamp, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn packets_lost(&mut self, _: u64) {}
    fn progress(&mut self, _: u64, _: u64) {}
}

#[test]
fn a_capture_that_has_become_shorter_is_not_reread() {
    let scratch = Scratch::new();
    let path = scratch.file("in.pcap", &pcap(PLAIN, &flood(10)));
    let input = Input::open(&path, Stop::default()).unwrap();
    let mut reader = Reader::new(input).unwrap();
    let rereader = reader.take_rereader(100).expect("a plain file");
    let mut sink = Rereading { rereader, path, packets: 0, error: None };
    let window = 30_000_000_000;
    let tally = Tally::new(PacketFilter::new(Sources::Any, vec![]), 100);
    let replay = Replay::new(PaneClock::new(window, window), tally);
    replay.run(reader, &Stop::default(), &mut sink).unwrap();
    // If every source counts, each packet may be a reply too, and belongs to both its hosts.
    assert_eq!(sink.packets, 2 * flood(10).len());
    let error = sink.error.expect("the capture is shorter");
    assert!(format!("{error:#}").contains("changed meanwhile"), "{error:#}");
}

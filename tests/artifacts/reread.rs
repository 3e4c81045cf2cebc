//! Packets of a file are read again, those of a stream kept: the artifacts are the same.

use std::fs;
use std::net::IpAddr;
use std::ops::ControlFlow;

use gomon::core::{PacketFilter, Sources};
use gomon::frame::Frame;
use gomon::source::Stop;
use gomon::source::replay::{Input, Reader};
use proptest::prelude::*;

use crate::support::capture::{Captured, Classic, PLAIN, SECOND, at, pcap};
use crate::support::frames::{ip, syn, udp};
use crate::support::program::{Scratch, gomon_with_input};
use crate::{BOT, flood};

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Of a file packets are read again when an artifact calls for them; of a stream they are kept.
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
            // Late, far ahead, or where it belongs.
            let time = match leap {
                0 => now / 2,
                1 => now + 200_000 * SECOND,
                _ => now,
            };
            at(time, udp(source, destination, 80, payload))
        }).collect();
        let [again, kept] = of_a_file_and_a_stream(&captured, if any { "any" } else { BOT }, &saved.to_string());
        prop_assert_eq!(again, kept);
    }
}

/// The artifacts of one capture, each with its name: of a file first, of a stream then.
fn of_a_file_and_a_stream(
    captured: &[Captured],
    bot: &str,
    saved: &str,
) -> [Vec<(Vec<u8>, String)>; 2] {
    of_bytes_and_a_stream(&pcap(PLAIN, captured), bot, saved)
}

/// The same, of a capture as it lies in the file.
fn of_bytes_and_a_stream(bytes: &[u8], bot: &str, saved: &str) -> [Vec<(Vec<u8>, String)>; 2] {
    let scratch = Scratch::new();
    let path = scratch.file("in.pcap", bytes);
    [(path.to_str().unwrap(), "again"), ("-", "kept")].map(|(input, directory)| {
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

/// So long that a window is read again in many pieces, back to the packets of a host that was quiet
/// ever since.
#[test]
fn of_a_long_window_too_a_file_and_a_stream_make_the_same_artifacts() {
    let (bot, frames) = (ip(BOT), 20_000);
    let captured: Vec<_> = (0..3 * frames)
        .map(|n| {
            let host = if n % frames < 200 { n % 7 } else { 7 + n % 3 };
            let host = IpAddr::from([192, 0, 2, u8::try_from(host).unwrap()]);
            at(n * 30 * SECOND / frames, udp(bot, host, 80, usize::try_from(n % 90).unwrap()))
        })
        .collect();
    let [again, kept] = of_a_file_and_a_stream(&captured, BOT, "50");
    assert_eq!(again.len(), 3 * 10, "of each window its hosts");
    assert_eq!(again, kept);
}

/// Captures one behind the other, of which windows and what is read again at once hold several.
#[test]
fn of_captures_one_behind_the_other_a_file_and_a_stream_make_the_same_artifacts() {
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
        let [again, kept] = of_bytes_and_a_stream(&bytes, BOT, "60");
        assert!(again.len() >= 4 * 7, "of each window its hosts: {}", again.len());
        assert_eq!(again, kept);
    }
}

/// What is tried at the end of a window is decided in the next, in which nothing may be sent at all.
#[test]
fn a_sweep_that_is_decided_in_silence_has_no_packets() {
    let hello = |time| at(time, udp(ip(BOT), ip("192.0.2.1"), 53, 1));
    let mut captured = vec![hello(0)];
    captured.extend((0..20u8).map(|n| {
        at(28 * SECOND + u64::from(n), syn(ip(BOT), IpAddr::from([198, 51, 100, n]), 23))
    }));
    captured.push(hello(100 * SECOND));
    let [again, kept] = of_a_file_and_a_stream(&captured, BOT, "9");
    let is_sweep = |(_, name): &(Vec<u8>, String)| name.starts_with("sweep_");
    assert!(!again.iter().any(is_sweep));
    assert_eq!(again, kept);
}

#[test]
fn a_capture_that_has_become_shorter_is_not_read_again() {
    let scratch = Scratch::new();
    let bytes = pcap(PLAIN, &flood(10));
    let path = scratch.file("in.pcap", &bytes);
    let input = Input::open(&path, Stop::default()).unwrap();
    let mut again = Reader::new(input).unwrap().take_reread().expect("a plain file");
    let selection = PacketFilter::new(Sources::Any, vec![]);
    let mut packets = 0;
    let whole = 24..bytes.len() as u64;
    let mut count = |_: u64, _, _: &Frame<'_>| {
        packets += 1;
        ControlFlow::Continue(())
    };
    assert!(
        again.packets_from_the_last(whole.clone(), &selection, &mut count).unwrap().is_continue()
    );
    // Of everybody's packets each may be an answer, and is its sender's too.
    assert_eq!(packets, 2 * flood(10).len());

    fs::File::options().write(true).open(&path).unwrap().set_len(bytes.len() as u64 - 60).unwrap();
    let mut none = |_: u64, _, _: &Frame<'_>| ControlFlow::Break(());
    let error = again.packets_from_the_last(whole, &selection, &mut none).unwrap_err();
    assert!(format!("{error:#}").contains("changed meanwhile"), "{error:#}");
}

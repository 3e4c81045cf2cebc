//! Concatenated captures in one file, as `cat a.pcap b.pcap` makes.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::support::capture::{Captured, Classic, ETHERNET, PLAIN, Pcapng, SECOND, at, pcap};
use crate::support::frames::{ip, syn, udp, without_ethernet};
use crate::support::program::{Outcome, Scratch, gomon, gomon_with_input};

const BOT: &str = "10.0.0.5";
const RAW: u32 = 101;

/// A flood, then a scan in the next window.
fn halves() -> [Vec<Captured>; 2] {
    let bot = ip(BOT);
    let flood = (0..200).map(|n| at(n * SECOND / 10, udp(bot, ip("192.0.2.1"), 53, 10)));
    let scan = (0..30u8)
        .map(|n| at(40 * SECOND + u64::from(n), syn(bot, IpAddr::from([198, 51, 100, n]), 23)));
    [flood.collect(), scan.collect()]
}

/// Removes the Ethernet headers, for a capture of raw IP.
fn raw(frames: &[Captured]) -> Vec<Captured> {
    let cut = |frame: &Captured| {
        let data = without_ethernet(&frame.data);
        Captured { time: frame.time, length: u32::try_from(data.len()).unwrap(), data }
    };
    frames.iter().map(cut).collect()
}

fn file(format: Classic, frames: &[Captured]) -> Vec<u8> {
    if format.link == RAW { pcap(format, &raw(frames)) } else { pcap(format, frames) }
}

fn variants() -> impl Iterator<Item = Classic> {
    let flags = [(false, false), (false, true), (true, false), (true, true)];
    flags.into_iter().flat_map(|(big_endian, nanoseconds)| {
        [ETHERNET, RAW].map(|link| Classic { big_endian, nanoseconds, modified: false, link })
    })
}

/// Runs gomon on a file with these bytes, or with pieces of them on standard input.
fn run(scratch: &Scratch, bytes: &[u8], piece: Option<usize>) -> Outcome {
    let flags = [BOT, "--quiet"];
    if let Some(piece) = piece {
        return gomon_with_input(["-"].iter().chain(&flags), bytes, piece);
    }
    let path = scratch.file("capture", bytes);
    gomon([path.to_str().unwrap()].iter().chain(&flags))
}

/// Returns the records, without what differs between file names and link types.
fn records(run: &Outcome) -> Vec<Value> {
    let mut records = run.records();
    for record in &mut records {
        record["pcap_filename"] = json!("capture");
        record["metadata"]["gomon"]["bytes"] = json!(0);
        if record["flow"].is_object() {
            record["flow"]["bytes_toserver"] = json!(0);
        }
    }
    records
}

#[track_caller]
fn reads_all(scratch: &Scratch, bytes: &[u8], piece: Option<usize>, expected: &[Value]) {
    let run = run(scratch, bytes, piece);
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
    assert_eq!(records(&run), expected);
    assert!(run.line("Ledger: ").starts_with("Ledger: 230 frames seen = 230 counted "));
    assert!(run.line("Ledger: ").contains("; 0 late, 0 with an implausible timestamp"));
}

fn reference(scratch: &Scratch) -> Vec<Value> {
    let run = run(scratch, &pcap(PLAIN, &halves().concat()), None);
    let records = records(&run);
    let class = |record: &Value| record["metadata"]["gomon"]["classification"].clone();
    let classes: Vec<_> = records.iter().map(class).collect();
    assert_eq!(classes, ["attack", "scan", "sweep"]);
    records
}

#[test]
fn a_plain_capture_of_any_variant_is_read_after_one_of_any_other() {
    let scratch = Scratch::new();
    let (expected, [first, second]) = (reference(&scratch), halves());
    for before in variants() {
        for after in variants() {
            let bytes = [file(before, &first), file(after, &second)].concat();
            reads_all(&scratch, &bytes, None, &expected);
        }
    }
}

#[test]
fn streams_and_compressed_captures_too_and_captures_without_frames_change_nothing() {
    let scratch = Scratch::new();
    let (expected, [first, second]) = (reference(&scratch), halves());
    let other = Classic { big_endian: true, nanoseconds: false, modified: false, link: RAW };
    let none = [pcap(PLAIN, &[]), pcap(other, &[]), pcap(other, &[])].concat();
    let files = [none.clone(), file(PLAIN, &first), none.clone(), file(other, &second), none];
    let bytes = files.concat();
    reads_all(&scratch, &bytes, None, &expected);
    for piece in [1, 7, 16, 24, 1 << 20] {
        reads_all(&scratch, &bytes, Some(piece), &expected);
    }
    let compressed: Vec<_> =
        files.iter().flat_map(|file| zstd::encode_all(file.as_slice(), 1).unwrap()).collect();
    reads_all(&scratch, &compressed, None, &expected);
}

/// A capture that starts before the end of the previous one: the clock was set back, as in a single capture.
#[test]
fn the_clock_continues_as_in_a_single_capture() {
    let scratch = Scratch::new();
    let [flood, scan] = halves();
    let later: Vec<_> =
        flood.iter().cloned().map(|f| Captured { time: f.time + 3600 * SECOND, ..f }).collect();
    let one = run(&scratch, &pcap(PLAIN, &[later.clone(), scan.clone()].concat()), None);
    let two = run(&scratch, &[pcap(PLAIN, &later), pcap(PLAIN, &scan)].concat(), None);
    assert_eq!(one.status, Some(0), "{}", one.stderr);
    assert_eq!(two.status, Some(0), "{}", two.stderr);
    assert_eq!(records(&two), records(&one));
    assert_eq!(two.line("Ledger: "), one.line("Ledger: "));
}

#[test]
fn a_capture_that_is_not_read_is_reported_with_its_offset() {
    let scratch = Scratch::new();
    let [first, second] = halves();
    let ng = |big_endian, frames: &[Captured]| {
        let mut file = Pcapng::new(big_endian);
        file.interface(1, 9, 0);
        for frame in frames {
            file.packet(0, frame.time, &frame.data);
        }
        file.bytes()
    };
    let swapped = Classic { big_endian: true, ..PLAIN };
    let plain = pcap(PLAIN, &first);
    let cases = [
        (plain.clone(), ng(false, &second), "a pcapng capture"),
        (plain.clone(), ng(true, &second), "a pcapng capture"),
        (plain.clone(), pcap(Classic { modified: true, ..PLAIN }, &second), "a capture"),
        (plain.clone(), pcap(Classic { link: 147, ..PLAIN }, &second), "link type 147"),
        (plain, pcap(Classic { link: 147, ..swapped }, &second), "link type 147"),
        (ng(false, &first), pcap(PLAIN, &second), "a pcap capture"),
        (ng(false, &first), pcap(swapped, &second), "a pcap capture"),
        (ng(true, &first), pcap(PLAIN, &second), "a pcap capture"),
    ];
    for (before, after, what) in cases {
        let offset = format!(" starts at byte {}", before.len());
        let bytes = [before, after].concat();
        for piece in [None, Some(1000)] {
            let run = run(&scratch, &bytes, piece);
            let [error] = run.errors()[..] else { panic!("{}", run.stderr) };
            assert_eq!(run.status, Some(1), "{}", run.stderr);
            assert!(error.contains(&offset) && error.contains(what), "{what}: {error}");
            assert!(run.line("Ledger: ").starts_with("Ledger: 200 frames seen = 200 counted "));
        }
    }
}

#[test]
fn a_truncated_second_header_is_damage() {
    let scratch = Scratch::new();
    let [first, second] = halves();
    let first = pcap(PLAIN, &first);
    let bytes = [first.clone(), pcap(PLAIN, &second)].concat();
    for length in first.len() + 1..first.len() + 24 {
        for piece in [None, Some(5)] {
            let run = run(&scratch, &bytes[..length], piece);
            let [error] = run.errors()[..] else { panic!("{}", run.stderr) };
            assert_eq!(run.status, Some(3), "{}", run.stderr);
            assert!(error.contains(&format!("at byte {}: ", first.len())), "{error}");
            assert!(run.line("Ledger: ").starts_with("Ledger: 200 frames seen = 200 counted "));
        }
    }
}

/// A record whose first bytes equal a file header's is a record, if the bytes after them differ.
#[test]
fn a_record_that_starts_like_a_header_is_a_record() {
    let scratch = Scratch::new();
    let frame = |data: Vec<u8>, length| {
        // The seconds are the magic number, the microseconds the version.
        Captured { time: 0xa1b2_c3d4 * SECOND + 0x0004_0002 * 1000, length, data }
    };
    let of = |frames: &[Captured]| {
        let format = Classic { nanoseconds: false, ..PLAIN };
        let run = run(&scratch, &pcap(format, frames), None);
        assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
        run.line("Ledger: ").to_owned()
    };
    let packet = udp(ip(BOT), ip("192.0.2.1"), 53, 10);
    let length = u32::try_from(packet.len()).unwrap();
    assert!(of(&[frame(packet, length)]).starts_with("Ledger: 1 frames seen = 1 counted "));
    assert!(of(&[frame(Vec::new(), 60)]).starts_with("Ledger: 1 frames seen = 0 counted "));
}

//! Captures that are truncated, corrupt, or of an unsupported link type: all that could be read is analysed
//! and written, the run reports the position, and exits with status 3 if damage is the only failure.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::support::capture::{Classic, PLAIN, Pcapng, SECOND, START, at, pcap};
use crate::support::program::{self, Outcome, Scratch, command, gomon, gomon_with_input};
use crate::support::running::Running;
use crate::traffic::{BOT, beacon, error, file, flood, packet, refusal};

/// Exit status: records or artifacts are missing.
const FAILED: i32 = 1;
/// Exit status: the input is damaged, and nothing else failed.
const DAMAGED: i32 = 3;

/// A capture with one frame per second, of which frame k is at bytes `ends[k - 1]..ends[k]`; the header
/// ends at `ends[0]`.
struct Capture {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Capture {
    fn pcap(frames: u64) -> Self {
        let ends = (0..=frames).map(|k| file(&beacon(k)).len()).collect();
        Self { bytes: file(&beacon(frames)), ends }
    }

    fn pcapng(frames: u64) -> Self {
        let mut file = Pcapng::new(false);
        file.interface(1, 9, 0);
        let mut ends = vec![file.bytes().len()];
        for frame in beacon(frames) {
            file.packet(0, frame.time, &frame.data);
            ends.push(file.bytes().len());
        }
        Self { bytes: file.bytes(), ends }
    }
}

/// Runs gomon on a file with these bytes, or with them as standard input.
fn run(scratch: &Scratch, bytes: &[u8], streamed: bool) -> Outcome {
    let flags = [BOT, "--window", "1", "--quiet"];
    if streamed {
        return gomon_with_input(["-"].iter().chain(&flags), bytes, usize::MAX);
    }
    let path = scratch.file("capture", bytes);
    gomon([path.to_str().unwrap()].iter().chain(&flags))
}

/// The records without the name of the input.
fn records(run: &Outcome) -> Vec<Value> {
    let mut records = run.records();
    for record in &mut records {
        record.as_object_mut().unwrap().remove("pcap_filename");
    }
    records
}

/// Truncates `capture` at every byte. Where a record ends, for which `whole` returns true, the run
/// succeeds; elsewhere it fails and reports the position. The records of whole frames are written in both
/// cases.
fn cut_everywhere(capture: &Capture, whole: impl Fn(usize) -> bool, streamed: bool) {
    let scratch = Scratch::new();
    let all = records(&run(&scratch, &capture.bytes, streamed));
    assert_eq!(all.len(), capture.ends.len() - 1);
    for length in 0..=capture.bytes.len() {
        let run = run(&scratch, &capture.bytes[..length], streamed);
        let frames = capture.ends[1..].iter().filter(|end| **end <= length).count();
        assert_eq!(records(&run), all[..frames], "cut at byte {length}");
        if whole(length) {
            assert_eq!((run.status, run.errors()), (Some(0), vec![]), "cut at byte {length}");
            continue;
        }
        let error = error(&run, DAMAGED);
        assert!(error.starts_with("reading "), "{error}");
        assert!(error.ends_with(": all that could be read was analysed"), "{error}");
        let place = if length < capture.ends[0] {
            error.contains(" at byte ")
        } else {
            error.contains(&format!(": frame {}", frames + 1))
        };
        assert!(place, "cut at byte {length}: {error}");
    }
}

#[test]
fn a_pcap_file_truncated_inside_a_record_fails_after_all_whole_frames() {
    let capture = Capture::pcap(3);
    cut_everywhere(&capture, |length| capture.ends.contains(&length), false);
}

#[test]
fn a_pcap_stream_truncated_inside_a_record_fails_after_all_whole_frames() {
    let capture = Capture::pcap(2);
    cut_everywhere(&capture, |length| capture.ends.contains(&length), true);
}

#[test]
fn a_pcapng_file_truncated_inside_a_block_fails_after_all_whole_frames() {
    let capture = Capture::pcapng(3);
    let section = Pcapng::new(false).bytes().len();
    let whole = |length| length == section || capture.ends.contains(&length);
    cut_everywhere(&capture, whole, false);
}

#[test]
fn a_pcapng_stream_truncated_inside_a_block_fails_after_all_whole_frames() {
    let capture = Capture::pcapng(1);
    let section = Pcapng::new(false).bytes().len();
    let whole = |length| length == section || capture.ends.contains(&length);
    cut_everywhere(&capture, whole, true);
}

#[test]
fn a_truncated_compressed_capture_fails() {
    let scratch = Scratch::new();
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(&file(&beacon(20))).unwrap();
    let bytes = gz.finish().unwrap();
    let all = records(&run(&scratch, &bytes, false));
    assert_eq!(all.len(), 20);
    for length in 2..bytes.len() {
        let run = run(&scratch, &bytes[..length], length % 2 == 0);
        error(&run, DAMAGED);
        let records = records(&run);
        assert_eq!(records, all[..records.len()], "cut at byte {length}");
    }
}

#[test]
fn a_corrupt_record_ends_the_run_after_all_earlier_records_and_is_numbered() {
    let scratch = Scratch::new();
    let (classic, ng) = (Capture::pcap(5), Capture::pcapng(5));
    let last = ng.ends[3] - ng.ends[2] - 4;
    for (what, capture, offset, number, why) in [
        ("absurd length", &classic, 8, u32::MAX, "4294967295"),
        ("negative length", &classic, 8, 1 << 31, "2147483648"),
        ("1 MiB length", &classic, 8, 1 << 20, "1048576"),
        ("zero block length", &ng, 4, 0, "a block length of 0"),
        ("unaligned block length", &ng, 4, 77, "a block length of 77"),
        ("block length below its frame", &ng, 4, 8, "a block length of 8"),
        ("huge block length", &ng, 4, 0xffff_fff0, "a block length of 4294967280"),
        ("two different block lengths", &ng, last, 0, "a packet block that can't be read"),
        ("interface of no description", &ng, 8, 7, "interface 7, which is not described"),
        ("captured more than the block", &ng, 20, 5000, "a packet block that can't be read"),
        ("captured 4 GiB", &ng, 20, u32::MAX, "a packet block that can't be read"),
    ] {
        let mut bytes = capture.bytes.clone();
        let at = capture.ends[2] + offset;
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        for streamed in [false, true] {
            let run = run(&scratch, &bytes, streamed);
            let error = error(&run, DAMAGED);
            assert!(error.contains(": frame 3"), "{what}: {error}");
            assert!(error.contains(why), "{what}: {error}");
            assert_eq!(run.records().len(), 2, "{what}");
            assert!(run.line("Ledger: ").starts_with("Ledger: 2 frames seen = 2 counted "));
        }
    }
}

#[test]
fn damage_ends_the_run_whatever_follows_it() {
    let scratch = Scratch::new();
    let mut bytes = Capture::pcap(3).bytes;
    let at = Capture::pcap(2).bytes.len() + 8;
    bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    bytes.resize(4 << 20, 0); // more than pipes hold
    let compressed = zstd::encode_all(bytes.as_slice(), 1).unwrap();
    for (bytes, streamed) in [(&bytes, false), (&bytes, true), (&compressed, false)] {
        let run = run(&scratch, bytes, streamed);
        assert!(error(&run, DAMAGED).contains(": frame 3"), "{}", run.stderr);
        assert_eq!(run.records().len(), 2);
    }
}

#[test]
fn damage_ends_the_run_while_its_input_stays_open() {
    let corrupt = |capture: Capture, offset: usize| {
        let at = capture.ends[2] + offset;
        let mut bytes = capture.bytes;
        bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        (bytes, 2)
    };
    let unsupported = pcap(Classic { link: 147, ..PLAIN }, &beacon(1));
    let captures = [
        (corrupt(Capture::pcap(3), 8), DAMAGED),
        (corrupt(Capture::pcapng(3), 4), DAMAGED),
        ((unsupported, 0), FAILED),
    ];
    for ((bytes, records), status) in captures {
        let mut gomon = Running::start(command().args(["-", BOT, "--window", "1"]));
        gomon.feed(&bytes);
        let run = gomon.finish();
        error(&run, status);
        assert_eq!(run.records().len(), records);
    }
}

#[test]
fn a_corrupt_block_that_would_be_skipped_ends_the_run_too() {
    let scratch = Scratch::new();
    let mut ng = Pcapng::new(false);
    ng.interface(1, 9, 0);
    ng.packet(0, START, &packet(1, 443));
    let at = ng.bytes().len() + 4;
    ng.block(0x0777, &[0; 32]).packet(0, START + SECOND, &packet(1, 443));
    assert_eq!(run(&scratch, &ng.bytes(), false).records().len(), 2, "an unknown block is skipped");
    for length in [0, 4, 33, 0xffff_fff0_u32] {
        let mut bytes = ng.bytes();
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        let run = run(&scratch, &bytes, false);
        let place = format!(": frame 2, block at byte {}: ", at - 4);
        assert!(error(&run, DAMAGED).contains(&place), "{}", run.stderr);
        assert_eq!(run.records().len(), 1);
    }
}

#[test]
fn an_unsupported_link_type_is_named() {
    let scratch = Scratch::new();
    for (link, name) in [(226, "226 (IPNET)"), (9999, "9999")] {
        let bytes = pcap(Classic { link, ..PLAIN }, &[at(0, packet(1, 443))]);
        let named = format!("link type {name} is not supported: capture on Ethernet, ");
        let before = run(&scratch, &bytes, false);
        let error_of_file = refusal(&before);
        assert!(error_of_file.contains(&named), "{error_of_file}");
        let streamed = run(&scratch, &bytes, true);
        let error_of_stream = error(&streamed, FAILED);
        assert!(error_of_stream.contains(&named), "{error_of_stream}");
        assert_eq!(streamed.records().len(), 0);
        assert_eq!(streamed.closing()["metadata"]["gomon"]["ended"], "failed");
    }
}

#[test]
fn frames_of_an_unsupported_pcapng_interface_fail_the_run_after_all_others() {
    let scratch = Scratch::new();
    let mut ng = Pcapng::new(false);
    ng.interface(1, 9, 0).interface(226, 9, 0);
    for k in 0..4u32 {
        ng.packet(k % 2, START + u64::from(k) * SECOND, &packet(1, 443));
    }
    let run = run(&scratch, &ng.bytes(), false);
    let error = error(&run, FAILED);
    assert!(error.contains("2 frame(s) left out: link type 226 (IPNET) is not"), "{error}");
    assert_eq!(run.records().len(), 2);
    assert!(run.line("Ledger: ").contains(" 2 counted "), "{}", run.stderr);
}

#[test]
fn missing_records_or_artifacts_take_precedence_over_damage() {
    let scratch = Scratch::new();
    let frames = flood(400);
    let bytes = file(&frames);
    let capture = scratch.file("cut.pcap", &bytes[..bytes.len() - 1]);
    let capture = capture.to_str().unwrap();
    let damage = "the capture ends in the middle of a record: all that could be read was analysed";

    let full = File::options().write(true).open("/dev/full").unwrap();
    let lost = program::run(command().args([capture, BOT]).stdout(full));
    let [read, written] = lost.errors()[..] else { panic!("not two errors: {}", lost.stderr) };
    assert!(read.ends_with(damage) && written.contains("2 record(s) are lost"), "{}", lost.stderr);
    assert_eq!(lost.status, Some(FAILED));

    let mut ng = Pcapng::new(false);
    ng.interface(1, 9, 0).interface(226, 9, 0);
    ng.packet(0, START, &packet(1, 443)).packet(1, START, &packet(1, 443));
    let left_out = run(&scratch, &[&ng.bytes()[..], &[6]].concat(), false);
    let error = error(&left_out, FAILED);
    assert!(
        error.contains("the capture ends in the middle of a block; 1 frame(s) left out"),
        "{error}"
    );
}

#[test]
fn a_read_error_is_not_damage() {
    let bytes = Capture::pcap(3).bytes;
    let compressed = zstd::encode_all(bytes.as_slice(), 1).unwrap();
    let (two, ng) = (Capture::pcap(2).bytes, Capture::pcapng(2).bytes);
    for bytes in [&two[..], &two[..two.len() - 1], &ng[..], &compressed[..compressed.len() - 1]] {
        let (near, mut far) = UnixStream::pair().unwrap();
        // Closing a socket with unread data resets the connection.
        (&near).write_all(b"unread").unwrap();
        far.write_all(bytes).unwrap();
        drop(far);
        let near = Stdio::from(OwnedFd::from(near));
        let run = program::run(command().args(["-", BOT, "--quiet"]).stdin(near));
        let error = error(&run, FAILED);
        assert!(error.contains("Connection reset by peer"), "{error}");
    }
}

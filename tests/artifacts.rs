//! Artifacts contain exactly the last packets, in files that other tools read.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that can't continue fails, and prints what it skipped"
)]

mod support;

#[path = "artifacts/index.rs"]
mod index;
#[path = "artifacts/reread.rs"]
mod reread;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use gomon::core::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

use support::capture::{Captured, PLAIN, Pcapng, SECOND, at, pcap};
use support::frames::{ip, syn, udp, without_ethernet};
use support::program::{Outcome, Scratch, command, gomon, outcome, run};
use support::real::frames;
use support::tools::{checked, have};

const BOT: &str = "10.0.0.5";

/// Returns the time and bytes of captured frames.
fn original<'a>(frames: impl IntoIterator<Item = &'a Captured>) -> Vec<(Timestamp, Vec<u8>)> {
    let time = |frame: &Captured| Timestamp::from_nanoseconds(i64::try_from(frame.time).unwrap());
    frames.into_iter().map(|frame| (time(frame), frame.data.clone())).collect()
}

fn replay(scratch: &Scratch, bytes: &[u8], flags: &[&str]) -> Outcome {
    let capture = scratch.file("in.pcap", bytes);
    let directory = scratch.path().join("out");
    let mut args = vec![capture.to_str().unwrap(), BOT, "--quiet"];
    args.extend(["--capture-dir", directory.to_str().unwrap()]);
    args.extend(flags);
    let outcome = gomon(args);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    outcome
}

/// A flood of `packets`, with a reply to every third one, and packets of other hosts in between.
fn flood(packets: u64) -> Vec<Captured> {
    let (bot, victim) = (ip(BOT), ip("192.0.2.1"));
    let mut frames = Vec::new();
    for n in 0..packets {
        frames.push(at(n * 1_000_000, udp(bot, victim, 80, usize::try_from(n % 50).unwrap())));
        if n % 3 == 0 {
            frames.push(at(n * 1_000_000 + 1, udp(victim, bot, 40000, 5)));
            frames.push(at(n * 1_000_000 + 2, udp(bot, ip("192.0.2.2"), 53, 5)));
            frames.push(at(n * 1_000_000 + 3, udp(victim, ip("192.0.2.9"), 53, 5)));
        }
    }
    frames
}

/// Whether a frame is between the bot and `host`, in either direction.
fn between(frame: &Captured, host: IpAddr) -> bool {
    let address = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&frame.data[at..at + 4]).unwrap());
    let pair = (address(26), address(30));
    pair == (ip(BOT), host) || pair == (host, ip(BOT))
}

#[test]
fn the_last_packets_of_an_attacked_host_in_both_directions() {
    let scratch = Scratch::new();
    let frames_in = flood(400);
    let outcome = replay(&scratch, &pcap(PLAIN, &frames_in), &["--save-packets", "100"]);
    assert_eq!(scratch.names("out"), ["attack_192.0.2.1_20260129T100000Z.pcap"]);
    let path = scratch.path().join("out/attack_192.0.2.1_20260129T100000Z.pcap");
    let attack = &outcome.records()[0];
    assert_eq!(attack["capture_file"], path.to_str().unwrap());
    assert!(outcome.line("Summary:").ends_with("1 capture(s) saved"), "{}", outcome.stderr);

    let all: Vec<_> = frames_in.iter().filter(|f| between(f, ip("192.0.2.1"))).collect();
    let last = original(all[all.len() - 100..].iter().copied());
    assert_eq!(frames(&path), last);
}

#[test]
fn records_have_absolute_paths_whatever_the_working_directory() {
    let scratch = Scratch::new();
    let capture = scratch.file("flood.pcap", &pcap(PLAIN, &flood(200)));
    fs::create_dir(scratch.path().join("elsewhere")).unwrap();
    for (directory, expected) in [("out", "elsewhere/out"), ("./deep/er", "elsewhere/deep/er")] {
        let mut gomon = command();
        gomon.arg(&capture).args([BOT, "--save-packets", "5", "--capture-dir", directory]);
        let outcome = run(gomon.current_dir(scratch.path().join("elsewhere")));
        let file = "attack_192.0.2.1_20260129T100000Z.pcap";
        let path = scratch.path().join(expected).join(file);
        assert_eq!(outcome.records()[0]["capture_file"], path.to_str().unwrap());
        assert!(path.exists(), "{path:?}");
        assert_eq!(outcome.line("  capture-dir: "), format!("  capture-dir: {directory}"));
    }
}

#[test]
fn tcpdump_and_wireshark_read_artifacts() {
    let scratch = Scratch::new();
    // Longer than the snap length of 65535 bytes that libpcap's writer would state.
    let mut frames_in = flood(300);
    frames_in.push(at(SECOND, udp(ip(BOT), ip("192.0.2.1"), 80, 65_500)));
    replay(&scratch, &pcap(PLAIN, &frames_in), &["--save-packets", "50"]);
    let path = scratch.path().join("out/attack_192.0.2.1_20260129T100000Z.pcap");
    let header = fs::read(&path).unwrap();
    assert_eq!(header[..4], 0xa1b2_3c4d_u32.to_le_bytes(), "nanoseconds");
    assert_eq!(header[16..20], 262_144_u32.to_le_bytes(), "snap length");
    for (tool, flags) in [("tcpdump", &["-n", "-r"][..]), ("tshark", &["-n", "-r"])] {
        if have(tool) {
            let listing = checked(Command::new(tool).args(flags).arg(&path));
            assert_eq!(listing.lines().count(), 50, "{tool}");
        }
    }
}

#[test]
fn one_file_for_a_scan_a_sweep_and_each_attacked_host_and_window() {
    let scratch = Scratch::new();
    let mut frames_in = flood(200);
    for (window, port) in [(0, 23), (1, 24)] {
        for n in 0..30u8 {
            let time = window * 30 * SECOND + 29 * SECOND + u64::from(n);
            frames_in.push(at(time, syn(ip(BOT), IpAddr::from([198, 51, 100, n]), port)));
        }
    }
    for n in 0..150u16 {
        frames_in.push(at(61 * SECOND + u64::from(n), syn(ip(BOT), ip("203.0.113.7"), 1 + n)));
    }
    let flags = ["--save-packets", "10", "--sample-id", "be a/con:42"];
    let outcome = replay(&scratch, &pcap(PLAIN, &frames_in), &flags);
    assert_eq!(
        scratch.names("out"),
        [
            "attack_be_a-con-42_192.0.2.1_20260129T100000Z.pcap",
            "scan_be_a-con-42_global_20260129T100000Z.pcap",
            "scan_be_a-con-42_global_20260129T100030Z.pcap",
            // Contacts attempted late in a window are decided in the next.
            "sweep_be_a-con-42_TCP-23_20260129T100030Z.pcap",
            "sweep_be_a-con-42_TCP-23_20260129T100100Z.pcap",
            "sweep_be_a-con-42_TCP-24_20260129T100100Z.pcap",
            "vertical_scan_be_a-con-42_203.0.113.7_20260129T100100Z.pcap",
        ]
    );
    let scan = frames(&scratch.path().join("out").join(&scratch.names("out")[2]));
    assert_eq!(scan.len(), 30);
    assert!(scan.is_sorted_by_key(|(time, _)| *time));
    let files: BTreeSet<_> = outcome
        .records()
        .iter()
        .filter_map(|r| r["capture_file"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(files.len(), 7);
    assert!(files.iter().all(|file| Path::new(file).exists()));
}

#[test]
fn a_name_that_exists_gets_a_number_and_no_temporary_file_is_left() {
    let scratch = Scratch::new();
    for _ in 0..3 {
        replay(&scratch, &pcap(PLAIN, &flood(200)), &["--save-packets", "5"]);
    }
    let stem = "attack_192.0.2.1_20260129T100000Z";
    let expected = [format!("{stem}-1.pcap"), format!("{stem}-2.pcap"), format!("{stem}.pcap")];
    assert_eq!(scratch.names("out"), expected);
}

#[test]
fn artifacts_of_sliding_windows_have_the_packets_of_their_own_span() {
    let scratch = Scratch::new();
    let (bot, victim) = (ip(BOT), ip("192.0.2.1"));
    let frames_in: Vec<_> = (0..60)
        .map(|n| at(n * SECOND, udp(bot, victim, 80, usize::try_from(n).unwrap())))
        .collect();
    let flags =
        ["--window", "20", "--step", "10", "--packet-threshold", "0.5", "--save-packets", "1000"];
    replay(&scratch, &pcap(PLAIN, &frames_in), &flags);
    for (name, start) in scratch.names("out").iter().zip([0, 10, 20, 30, 40]) {
        let expected = original(&frames_in[start..(start + 20).min(60)]);
        assert_eq!(frames(&scratch.path().join("out").join(name)), expected, "{name}");
    }
    assert_eq!(scratch.names("out").len(), 5);
}

/// A flood to one host over two link types, from `start` seconds after the epoch on, with nanosecond timestamps
/// relative to `offset` seconds after the epoch. Returns the capture and its frames.
fn over_two_links(start: i64, offset: i64) -> (Vec<u8>, Vec<(Timestamp, Vec<u8>)>) {
    let frame = udp(ip(BOT), ip("192.0.2.1"), 80, 4);
    let mut file = Pcapng::new(false);
    file.interface(1, 9, offset).interface(101, 9, offset);
    let mut frames = Vec::new();
    for n in 0..400u32 {
        let ticks = u64::try_from(start - offset).unwrap() * SECOND + u64::from(n) * 1000;
        let data = if n % 2 == 0 { frame.clone() } else { without_ethernet(&frame) };
        file.packet(n % 2, ticks, &data);
        let time = start * i64::try_from(SECOND).unwrap() + i64::from(n) * 1000;
        frames.push((Timestamp::from_nanoseconds(time), data));
    }
    (file.bytes(), frames)
}

#[test]
fn packets_that_pcap_cannot_represent_make_one_pcapng_file() {
    const DAY: i64 = 86_400;
    // Two link types, in 2026; before 1970; after 2106; and at the edge of 1970.
    for (start, offset) in
        [(20_000 * DAY, 0), (-7_000 * DAY, -8_000 * DAY), (65_000 * DAY, 0), (-1, -1)]
    {
        let scratch = Scratch::new();
        let (bytes, expected) = over_two_links(start, offset);
        let outcome = replay(&scratch, &bytes, &["--save-packets", "11"]);
        let names = scratch.names("out");
        assert_eq!(names.len(), 1, "{names:?}");
        let path = scratch.path().join("out").join(&names[0]);
        assert_eq!(path.extension().unwrap(), "pcapng");
        assert_eq!(outcome.records()[0]["capture_file"], path.to_str().unwrap());
        assert!(outcome.stderr.contains(" 1 capture(s) saved"), "{}", outcome.stderr);
        assert_eq!(frames(&path), expected[400 - 11..], "the last packets, in order");
        if have("tshark") {
            let tshark = Command::new("tshark")
                .args(["-r", path.to_str().unwrap(), "-T", "fields", "-e", "udp.dstport"])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&tshark.stdout), "80\n".repeat(11));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_the_last_packets_of_any_traffic(
        packets in prop::collection::vec((0u64..20, 0u8..3, any::<bool>()), 1..300), saved in 1usize..40,
    ) {
        let host = |n: u8| IpAddr::from([192, 0, 2, n]);
        let mut frames_in = Vec::new();
        let mut time = 0;
        for (number, &(pause, n, is_reply)) in packets.iter().enumerate() {
            time += pause * SECOND / 20;
            let (from, to) = if is_reply { (host(n), ip(BOT)) } else { (ip(BOT), host(n)) };
            frames_in.push(at(time, udp(from, to, 80, number)));
        }
        let scratch = Scratch::new();
        let saved_text = saved.to_string();
        let flags = ["--save-packets", &saved_text, "--window", "3", "--packet-threshold", "4/window"];
        let outcome = replay(&scratch, &pcap(PLAIN, &frames_in), &flags);
        for record in outcome.records().iter().filter(|r| r["alert"]["category"] == "attack") {
            let start: jiff::Timestamp = text(&record["timestamp"]).replace("+0000", "Z").parse().unwrap();
            // The record has microseconds, and the frames here multiples of that.
            let start = u64::try_from(start.as_nanosecond()).unwrap();
            let window = start..start + 3 * SECOND;
            let of_host: Vec<_> = frames_in
                .iter()
                .filter(|f| window.contains(&f.time) && between(f, ip(&text(&record["dest_ip"]))))
                .collect();
            let last = &of_host[of_host.len().saturating_sub(saved)..];
            let path = text(&record["capture_file"]);
            prop_assert_eq!(frames(Path::new(&path)), original(last.iter().copied()));
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

#[test]
fn a_deleted_directory_fails_its_files_and_not_the_run() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("out");
    let bytes = pcap(
        PLAIN,
        &[flood(200), vec![at(31 * SECOND, syn(ip(BOT), ip("192.0.2.1"), 1))]].concat(),
    );
    let mut second = flood(200);
    for frame in &mut second {
        frame.time += 60 * SECOND;
    }
    let second = pcap(PLAIN, &second)[24..].to_vec();

    let mut child = command()
        .args(["-", BOT, "--quiet", "--save-packets", "5", "--capture-dir"])
        .arg(&directory)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&bytes).unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap(); // the first window is over, and its artifact is written
    assert_eq!(scratch.names("out").len(), 1);
    fs::remove_dir_all(&directory).unwrap();
    stdin.write_all(&second).unwrap();
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let outcome = outcome(&child.wait_with_output().unwrap());
    assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
    assert_eq!(outcome.errors().len(), 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("ERROR saving packets:"), "{}", outcome.stderr);
    let attacks = rest.lines().filter(|line| line.contains("\"attack\"")).collect::<Vec<_>>();
    assert_eq!(attacks.len(), 1, "the second attack is reported without a file");
    assert!(!attacks[0].contains("capture_file"));
}

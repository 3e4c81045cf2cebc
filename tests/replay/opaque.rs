//! Frames that gomon can't parse are reported, and captured bytes are used whatever the snap length.

use serde_json::json;

use crate::support::capture::{Captured, Classic, PLAIN, Pcapng, SECOND, START, at, pcap};
use crate::support::frames::{arp, ip, ip_packet, syn, udp};
use crate::support::program::{Outcome, Scratch, gomon};

const BOT: &str = "10.0.0.5";

/// Builds a frame with an `EtherType`.
fn typed(kind: u16) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend(kind.to_be_bytes());
    frame.resize(60, 0);
    frame
}

/// Repeats each frame the given number of times, a millisecond apart.
fn several(frames: &[(u64, Vec<u8>)]) -> Vec<Captured> {
    let all = frames.iter().flat_map(|(times, frame)| (0..*times).map(move |_| frame.clone()));
    (0..).zip(all).map(|(n, frame)| at(n * SECOND / 1000, frame)).collect()
}

fn run(bytes: &[u8], bot: &str) -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.file("capture", bytes);
    let outcome = gomon([path.to_str().unwrap(), bot, "--quiet"]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    outcome
}

/// Returns the warnings of a run, without the time of day.
fn warnings(outcome: &Outcome) -> Vec<&str> {
    outcome.stderr.lines().filter_map(|line| Some(line.split_once(" WARN  ")?.1)).collect()
}

#[test]
fn ethertypes_of_most_opaque_frames_are_named() {
    let ip = (40, udp(ip(BOT), ip("192.0.2.1"), 53, 0));
    let warned = |frames: &[(u64, Vec<u8>)]| {
        let outcome = run(&pcap(PLAIN, &several(frames)), "any");
        let warnings = warnings(&outcome).into_iter().filter(|w| w.contains(" frames carry "));
        warnings.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        warned(&[ip.clone(), (60, typed(0x88cc))]),
        ["60 of 100 frames carry EtherType 0x88cc (LLDP), which is not parsed"]
    );
    let (half, requests) = ((40, typed(0x88cc)), (100, arp()));
    assert!(warned(&[ip.clone(), half]).is_empty(), "half is not most");
    assert!(warned(&[ip.clone(), requests]).is_empty(), "ARP never carries IP");
    let many = [(3, typed(0x9200)), (30, typed(38)), (20, typed(0x88cc))];
    let more = [(2, typed(0x4321)), (1, typed(0x1234))];
    assert_eq!(
        warned(&[&[ip][..], &many, &more].concat()),
        [
            "56 of 96 frames carry layers that are not parsed: 30 without an EtherType, 20 with EtherType \
          0x88cc (LLDP), 3 with EtherType 0x9200, 3 with one of 2 others"
        ]
    );
}

/// SYNs to a new host each, without replies.
fn scan() -> Vec<Captured> {
    let hosts = (1..=100u64).map(|host| {
        let destination = [198, 51, 100, u8::try_from(host).unwrap()].into();
        at(host * SECOND / 10, syn(ip(BOT), destination, 23))
    });
    hosts.collect()
}

/// Builds a capture whose file header states a snap length of 46 bytes.
fn with_snap_length(format: Classic, frames: &[Captured]) -> Vec<u8> {
    let mut bytes = pcap(format, frames);
    let length = 46u32;
    bytes[16..20].copy_from_slice(&if format.big_endian {
        length.to_be_bytes()
    } else {
        length.to_le_bytes()
    });
    bytes
}

#[test]
fn captured_bytes_count_whatever_the_snap_length_in_the_header() {
    let records = |bytes: &[u8]| {
        let mut records = run(bytes, BOT).records();
        for record in &mut records {
            record["pcap_filename"] = json!("");
        }
        records
    };
    let expected = records(&pcap(PLAIN, &scan()));
    assert!(expected.iter().any(|record| record["alert"]["signature_id"] == 2_100_005));
    for big_endian in [false, true] {
        for modified in [false, true] {
            let format = Classic { big_endian, modified, ..PLAIN };
            assert_eq!(records(&with_snap_length(format, &scan())), expected, "{format:?}");
        }
    }
    let mut file = Pcapng::new(false);
    file.interface(1, 9, 0);
    for frame in scan() {
        file.packet(0, frame.time, &frame.data);
    }
    assert_eq!(records(&file.bytes()), expected);
}

#[test]
fn flags_cut_off_by_the_snap_length_are_reported_once() {
    let mut frames = scan();
    frames.push(at(11 * SECOND, syn(ip("192.0.2.9"), ip(BOT), 80)));
    for bytes in [46, 36] {
        let mut frames = frames.clone();
        for frame in &mut frames {
            frame.data.truncate(bytes);
        }
        let outcome = run(&pcap(PLAIN, &frames), BOT);
        let expected = "TCP sweeps can't be judged: the snap length cut off the flags of 100 TCP packet(s) of \
                    the bot: capture more of each frame (tcpdump -s 128)";
        let warnings = warnings(&outcome);
        assert_eq!(
            warnings.iter().filter(|warning| **warning == expected).count(),
            1,
            "{warnings:?}"
        );
    }
    let whole = run(&pcap(PLAIN, &frames), BOT);
    assert!(!whole.stderr.contains("TCP sweeps"), "{}", whole.stderr);
    // A later fragment has no flags, and neither does a packet that is too short for them.
    let short = ip_packet(ip(BOT), ip("192.0.2.1"), 6, &[0, 80, 0, 23]);
    let mut later = ip_packet(ip(BOT), ip("192.0.2.1"), 6, &[1; 40]);
    later[21] = 7;
    later.truncate(46);
    let outcome = run(&pcap(PLAIN, &[at(0, short), at(0, later)]), BOT);
    assert!(!outcome.stderr.contains("TCP sweeps"), "{}", outcome.stderr);
}

#[test]
fn ports_after_too_many_extension_headers_are_reported_once() {
    let bot = "2001:db8::5";
    let chain = |headers: usize| {
        let options = [60u8, 0, 1, 4, 0, 0, 0, 0].repeat(headers - 1);
        let last = [6u8, 0, 1, 4, 0, 0, 0, 0];
        let segment = &syn(ip(bot), ip("2001:db8:1::1"), 23)[54..];
        ip_packet(ip(bot), ip("2001:db8:1::1"), 60, &[&options[..], &last, segment].concat())
    };
    let warning = |frame: Vec<u8>| {
        let outcome = run(&pcap(PLAIN, &[at(0, frame.clone()), at(1, frame)]), bot);
        warnings(&outcome).into_iter().find(|w| w.contains("extension")).map(str::to_owned)
    };
    assert_eq!(
        warning(chain(9)).as_deref(),
        Some(
            "2 packet(s) of the bot have more than 8 IPv6 extension headers, which hide their ports: \
             sweeps and vertical scans in them are not seen"
        )
    );
    assert_eq!(warning(chain(8)), None);
    assert_eq!(warning(chain(8)[..70].to_vec()), None, "the capture truncated the frame");
}

#[test]
fn a_scan_in_fragments_too_short_for_flags_is_seen() {
    let mut frames = Vec::new();
    for frame in scan() {
        let (header, segment) = frame.data.split_at(34);
        for (number, part) in (0u16..).zip(segment.chunks(8)) {
            let mut data = [header, part].concat();
            let total = u16::try_from(data.len() - 14).unwrap();
            let more =
                if usize::from(number) * 8 + part.len() < segment.len() { 0x2000 } else { 0 };
            data[16..18].copy_from_slice(&total.to_be_bytes());
            data[20..22].copy_from_slice(&(more | number).to_be_bytes());
            frames.push(Captured { time: frame.time + u64::from(number), data, ..frame });
        }
    }
    let records = run(&pcap(PLAIN, &frames), BOT).records();
    let sweep = records.iter().find(|r| r["alert"]["signature_id"] == 2_100_005);
    assert_eq!(sweep.expect("a sweep")["dest_port"], 23);
    assert!(frames[0].time > START);
}

//! The same traffic in every format makes the same records.

use std::io::Write;
use std::net::IpAddr;

use etherparse::{PacketBuilder, SingleVlanHeader, VlanId};
use serde_json::{Value, json};

use crate::support::capture::{
    Captured, Classic, ETHERNET, PLAIN, Pcapng, SECOND, START, at, pcap,
};
use crate::support::frames::{arp, ip, ping, syn, udp, without_ethernet};
use crate::support::program::{Scratch, gomon, gomon_with_input};

const BOT: &str = "10.0.0.5";

type Compress<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// Traffic of every class, over three windows.
fn traffic() -> Vec<Captured> {
    let bot = ip(BOT);
    let mut frames = vec![at(0, arp())];
    for n in 0..200u64 {
        frames.push(at(1_000_000 + n * 1000, udp(bot, ip("192.0.2.1"), 53, 10)));
    }
    for n in 1..5u16 {
        frames.push(at(2 * SECOND, syn(bot, ip("192.0.2.2"), 8000 + n)));
        frames.push(at(2 * SECOND, syn(ip("192.0.2.2"), bot, 40000)));
    }
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (bot, ip("192.0.2.3")) else {
        panic!("IPv4")
    };
    frames.push(at(31 * SECOND, ping(source, destination)));
    for n in 0..30u8 {
        let host = IpAddr::from([198, 51, 100, n]);
        frames.push(at(65 * SECOND + u64::from(n), syn(bot, host, 23)));
    }
    frames
}

/// Returns the records of a capture, without its file name.
#[track_caller]
fn records_of(name: &str, bytes: &[u8], flags: &[&str]) -> Vec<Value> {
    let scratch = Scratch::new();
    let path = scratch.file(name, bytes);
    let mut args = vec![path.to_str().expect("a path"), BOT, "--quiet", "--show-idle"];
    args.extend(flags);
    let outcome = gomon(args);
    assert_eq!(outcome.status, Some(0), "{name}: {}", outcome.stderr);
    anonymous(outcome.records())
}

fn anonymous(mut records: Vec<Value>) -> Vec<Value> {
    for record in &mut records {
        record["pcap_filename"] = json!("capture");
    }
    records
}

/// Removes what a shorter link header changes.
fn without_bytes(mut records: Vec<Value>) -> Vec<Value> {
    for record in &mut records {
        record["metadata"]["gomon"]["bytes"] = json!(0);
        if record["flow"].is_object() {
            record["flow"]["bytes_toserver"] = json!(0);
        }
    }
    records
}

fn reference() -> Vec<Value> {
    let records = records_of("plain.pcap", &pcap(PLAIN, &traffic()), &[]);
    let classes: Vec<_> =
        records.iter().map(|r| r["metadata"]["gomon"]["classification"].clone()).collect();
    assert_eq!(
        classes,
        [
            "attack",
            "connection",
            "connection",
            "connection",
            "connection",
            "connection",
            "idle",
            "scan",
            "sweep"
        ]
    );
    records
}

#[test]
fn every_classic_variant() {
    let reference = reference();
    for big_endian in [false, true] {
        for (nanoseconds, modified) in [(true, false), (false, false), (false, true)] {
            let format = Classic { big_endian, nanoseconds, modified, link: ETHERNET };
            let records = records_of("variant", &pcap(format, &traffic()), &[]);
            assert_eq!(records, reference, "{format:?}");
        }
    }
}

#[test]
fn every_pcapng_variant() {
    let reference = reference();
    for big_endian in [false, true] {
        // if_tsresol, ticks a second, if_tsoffset
        for (resolution, ticks, offset) in [
            (9, 1_000_000_000u128, 0),
            (6, 1_000_000, 0),
            (9, 1_000_000_000, 1_700_000_000),
            (0x80 + 30, 1 << 30, 0),
        ] {
            for obsolete in [false, true] {
                let mut file = Pcapng::new(big_endian);
                file.interface(1, resolution, offset);
                for frame in traffic() {
                    let past = u128::from(frame.time)
                        - u128::from(offset.unsigned_abs()) * u128::from(SECOND);
                    // Rounded up: a nanosecond is not a whole number of binary ticks, and gomon rounds down.
                    let tick = (past * ticks).div_ceil(u128::from(SECOND));
                    let tick = u64::try_from(tick).expect("64 bits");
                    if obsolete {
                        file.obsolete_packet(0, tick, &frame.data);
                    } else {
                        file.packet(0, tick, &frame.data);
                    }
                    file.block(5, &[0; 12]); // interface statistics: unused, and skipped
                    file.block(0x0bad, &[1, 2, 3]);
                }
                let records = records_of("variant", &file.bytes(), &[]);
                assert_eq!(records, reference, "{big_endian} {resolution} {offset} {obsolete}");
            }
        }
    }
}

#[test]
fn interfaces_of_different_link_types_clocks_and_sections_in_one_file() {
    let reference = without_bytes(reference());
    let mut file = Pcapng::new(false);
    file.interface(1, 6, 0).interface(101, 9, 0).interface(147, 6, 0);
    let frames = traffic();
    let (first, second) = frames.split_at(frames.len() / 2);
    for (n, frame) in first.iter().enumerate() {
        match (n % 2, frame.data[12..14] == [0x08, 0x06]) {
            (0, _) | (_, true) => file.packet(0, frame.time / 1000, &frame.data),
            _ => file.packet(1, frame.time, &without_ethernet(&frame.data)),
        };
    }
    file.section().interface(113, 9, 0);
    for frame in second {
        let mut cooked = vec![0u8; 14];
        cooked.extend(&frame.data[12..]);
        file.packet(0, frame.time, &cooked);
    }
    assert_eq!(without_bytes(records_of("mixed.pcapng", &file.bytes(), &[])), reference);
}

#[test]
fn frames_of_an_unsupported_interface_are_left_out_and_reported() {
    let scratch = Scratch::new();
    let mut file = Pcapng::new(false);
    file.interface(1, 9, 0).interface(147, 9, 0);
    file.packet(0, START, &udp(ip(BOT), ip("192.0.2.1"), 53, 0));
    file.packet(1, START, &[0; 40]);
    file.packet(0, START, &udp(ip(BOT), ip("192.0.2.1"), 53, 0));
    let path = scratch.file("mixed.pcapng", &file.bytes());
    let outcome = gomon([path.to_str().unwrap(), BOT, "--quiet"]);
    assert_eq!(outcome.status, Some(1));
    assert_eq!(outcome.records()[0]["flow"]["pkts_toserver"], 2);
    assert!(
        outcome.errors()[0].contains("1 frame(s) left out: link type 147"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn every_link_type_and_encapsulation() {
    let payload = without_ethernet(&udp(ip(BOT), ip("192.0.2.1"), 53, 10));
    let with = |header: &[u8]| [header, &payload].concat();
    let mut mac = [2u8; 14];
    let mut ethernet = |kind: [u8; 2], more: &[u8]| {
        mac[12..].copy_from_slice(&kind);
        [&mac[..], more, &payload].concat()
    };
    let mut vlan = Vec::new();
    PacketBuilder::ethernet2([2; 6], [2; 6])
        .vlan(etherparse::VlanHeader::Single(SingleVlanHeader {
            pcp: etherparse::VlanPcp::ZERO,
            drop_eligible_indicator: false,
            vlan_id: VlanId::try_new(7).unwrap(),
            ether_type: etherparse::EtherType::IPV4,
        }))
        .ipv4([10, 0, 0, 5], [192, 0, 2, 1], 64)
        .udp(40000, 53)
        .write(&mut vlan, &[0; 10])
        .unwrap();
    let mut wireless = vec![8, 1, 0, 0];
    wireless.resize(24, 0);
    wireless.extend([0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00]);
    let cases: Vec<(u32, Vec<u8>)> = vec![
        (1, ethernet([0x08, 0x00], &[])),
        (1, vlan),
        (1, ethernet([0x88, 0xa8], &[0, 1, 0x81, 0, 0, 2, 0x91, 0, 0, 3, 0x08, 0x00])),
        (1, ethernet([0x88, 0x64], &[0x11, 0, 0, 1, 0, 40, 0, 0x21])),
        (1, ethernet([0x88, 0x47], &[0, 1, 0, 64, 0, 1, 1, 64])),
        (1, ethernet([0, 46], &[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00])),
        (0, with(&[2, 0, 0, 0])),
        (0, with(&[0, 0, 0, 2])),
        (108, with(&[0, 0, 0, 2])),
        (101, payload.clone()),
        (228, payload.clone()),
        (113, with(&[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x08, 0x00])),
        (9, with(&[0xff, 3, 0, 0x21])),
        (9, with(&[0x21])),
        (50, with(&[0x0f, 0, 0x08, 0x00])),
        (51, with(&[0x11, 0, 0, 1, 0, 40, 0, 0x21])),
        (104, with(&[0x0f, 0, 0x08, 0x00])),
        (105, with(&wireless)),
        (107, with(&[0x18, 0x41, 3, 0xcc])),
        (127, [&[0, 0, 8, 0, 0, 0, 0, 0], &wireless[..], &payload].concat()),
        (192, [&[0, 0, 8, 0, 105, 0, 0, 0], &wireless[..], &payload].concat()),
        (239, with(&[2, 0, 0, 5, 42, 0, 9, 0])),
        (258, [&[12, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0][..], &payload].concat()),
        (276, with(&[0x08, 0, 0, 0, 0, 0, 0, 2, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0])),
    ];
    for (link, frame) in cases {
        let format = Classic { link, ..PLAIN };
        let records = records_of("link", &pcap(format, &[at(0, frame)]), &[]);
        let flow = records.iter().find(|r| r["event_type"] == "flow");
        let flow = flow.unwrap_or_else(|| panic!("link type {link}: {records:?}"));
        assert_eq!(flow["dest_ip"], "192.0.2.1", "link type {link}");
        assert_eq!(flow["dest_port"], 53, "link type {link}");
        assert_eq!(flow["proto"], "UDP", "link type {link}");
    }
}

#[test]
fn compressed_captures_of_any_file_name() {
    let reference = reference();
    let mut file = Pcapng::new(false);
    file.interface(1, 9, 0);
    for frame in traffic() {
        file.packet(0, frame.time, &frame.data);
    }
    for plain in [pcap(PLAIN, &traffic()), file.bytes()] {
        // Halves compressed separately and concatenated, as log rotation that appends does.
        let (one, two) = plain.split_at(plain.len() / 2);
        let gzip = |bytes: &[u8]| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        };
        let lz4 = |bytes: &[u8]| {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        };
        let xz = |bytes: &[u8]| {
            let mut out = liblzma::write::XzEncoder::new(Vec::new(), 1);
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        };
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        let cases: [(&str, Compress<'_>); 4] =
            [("gzip", &gzip), ("lz4", &lz4), ("xz", &xz), ("zstd", &zstd)];
        for (name, compress) in cases {
            assert_eq!(records_of("capture", &compress(&plain), &[]), reference, "{name}");
            let parts = [compress(one), compress(two)].concat();
            assert_eq!(records_of("capture", &parts, &[]), reference, "{name} in two parts");
        }
        // Padding, as on tapes: shorter than one read, and as long as several.
        for zeros in [1, 512, 1 << 20] {
            let parts = [gzip(one), vec![0; zeros], gzip(two), vec![0; zeros]].concat();
            assert_eq!(records_of("capture", &parts, &[]), reference, "gzip with {zeros} zeros");
        }
    }
}

#[test]
fn standard_input_in_pieces_of_any_size() {
    let reference = reference();
    let mut file = Pcapng::new(true);
    file.interface(1, 9, 0);
    for frame in traffic() {
        file.packet(0, frame.time, &frame.data);
    }
    for bytes in [pcap(PLAIN, &traffic()), file.bytes()] {
        for piece in [1, 7, 24, 1000, 1 << 20] {
            let outcome = gomon_with_input(["-", BOT, "--quiet", "--show-idle"], &bytes, piece);
            assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
            assert_eq!(anonymous(outcome.records()), reference, "pieces of {piece}");
        }
    }
}

#[test]
fn two_runs_write_the_same_bytes() {
    let scratch = Scratch::new();
    let path = scratch.file("x.pcap", &pcap(PLAIN, &traffic()));
    let run = || gomon([path.to_str().unwrap(), "any", "--quiet", "--show-idle"]).stdout;
    assert_eq!(run(), run());
}

#[test]
fn an_empty_capture_has_no_window() {
    let records = records_of("empty.pcap", &pcap(PLAIN, &[]), &[]);
    assert!(records.is_empty());
    assert!(records_of("empty.pcapng", &Pcapng::new(false).bytes(), &[]).is_empty());
}

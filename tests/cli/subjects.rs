//! The lines of the summary about the subjects of alerts, and about all traffic.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::{Span, Timestamp};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::capture::{Captured, SECOND, at};
use crate::support::frames::{ip, syn, udp};
use crate::support::program::{Outcome, Scratch, gomon};
use crate::traffic::{BOT, file, packet};

/// Runs gomon on these frames.
fn run(scratch: &Scratch, bot: &str, frames: &[Captured], flags: &[&str]) -> Outcome {
    let capture = scratch.file("capture.pcap", &file(frames));
    let run = gomon([capture.to_str().unwrap(), bot, "--quiet"].iter().chain(flags));
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    run
}

/// The lines on subjects, which follow the summary.
fn subjects(run: &Outcome) -> Vec<&str> {
    let lines = run.stderr.lines().skip_while(|line| !line.starts_with("Summary: ")).skip(1);
    lines.map_while(|line| line.strip_prefix("  ")).collect()
}

/// A number with thousands separators.
fn human(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

fn numbers(text: &str) -> Vec<u64> {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != ',');
    words.filter_map(|word| word.replace(',', "").parse().ok()).collect()
}

#[test]
fn a_sweep_of_many_windows_is_one_line() {
    let scratch = Scratch::new();
    let host = |n: u32| Ipv4Addr::from(0x0b00_0000 + n).into();
    let frames: Vec<_> =
        (0..1800).map(|n| at(u64::from(n) * SECOND / 20, syn(ip(BOT), host(n), 1433))).collect();
    let run = run(&scratch, BOT, &frames, &["-d", "1e6", "-w", "10"]);
    assert!(run.line("Summary: ").contains(" 9 sweep alert(s), "), "{}", run.stderr);
    let [line] = subjects(&run)[..] else { panic!("{}", run.stderr) };
    // The contacts of the last three seconds are not decided yet.
    assert!(line.starts_with("sweep TCP/1433: 1,7"), "{line}");
    assert!(line.ends_with(" hosts, 0 answered, 10:00:00 to 10:01:30"), "{line}");
}

#[test]
fn destinations_of_every_kind_are_named() {
    let scratch = Scratch::new();
    let six = "2001:db8::5";
    let mut frames = Vec::new();
    for k in 0..100 {
        frames.push(at(k, udp(ip(six), ip("2001:db8::7"), 53, 0)));
        let mut gre = packet(9, 0);
        gre[23] = 47;
        frames.push(at(k, gre));
        frames.push(at(k, packet(8, u16::try_from(1000 + k).unwrap())));
    }
    let flags = ["-w", "10", "--port-threshold", "50", "--sweep-detection", "off"];
    let run = run(&scratch, &format!("{BOT},{six}"), &frames, &flags);
    let when = "1 window, 10:00:00 to 10:00:10";
    assert_eq!(
        subjects(&run),
        [
            format!("attack 192.0.2.9/GRE: 100 packets, peak 10 packets/s, {when}"),
            format!("attack [2001:db8::7]:53/UDP: 100 packets, peak 10 packets/s, {when}"),
            format!("attack 192.0.2.8, over 100 ports: 100 packets, peak 10 packets/s, {when}"),
            format!("vertical scan 192.0.2.8: 100 ports, 100 packets, {when}"),
        ]
    );
}

#[test]
fn the_ten_largest_subjects_include_every_kind_and_the_number_of_others() {
    let scratch = Scratch::new();
    let mut frames = Vec::new();
    // Thirty attacked hosts in the first window, the busiest last; in every other window after it a scan.
    for host in 1..=30u8 {
        frames.extend((0..100 + u64::from(host)).map(|k| at(k, packet(host, 80))));
    }
    for window in [2, 4, 6] {
        let hosts = 20 + u8::try_from(window).unwrap();
        frames.extend((1..=hosts).map(|host| at(window * 10 * SECOND, packet(host, 80))));
    }
    let flags = ["-w", "10", "-d", "15", "--sweep-detection", "off"];
    let run = run(&scratch, BOT, &frames, &flags);
    let lines = subjects(&run);
    let starts = lines.iter().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(": "));
    let starts: Vec<_> = starts.map(|start| start.split(',').next().unwrap().to_owned()).collect();
    let attacks = (24..=30).rev();
    let mut expected: Vec<_> =
        attacks.map(|n| format!("attack 192.0.2.{n}:80/UDP: {} packets", 100 + n)).collect();
    expected.extend([26, 24, 22].map(|hosts| format!("scan: {hosts} hosts")));
    expected.push("and more: 23 attacks".to_owned());
    assert_eq!(starts, expected);
}

#[test]
fn subjects_past_the_limit_are_counted() {
    let scratch = Scratch::new();
    // Each of these hosts is attacked with one packet, and one host with as many as all others; in a second
    // window of ten seconds the hosts are others.
    let host = |n: u32| Ipv4Addr::from(0x0b00_0000 + n).into();
    let (hosts, busy) = (6000, ip("192.0.2.1"));
    let frames: Vec<_> = (0..hosts)
        .flat_map(|n| {
            let time = u64::from(n) * SECOND / 300;
            [at(time, udp(ip(BOT), host(n), 53, 0)), at(time, udp(ip(BOT), busy, 53, 0))]
        })
        .collect();
    let flags = "-w 10 -p 0.05 -d 1e9 --max-destinations 100000 --connections off";
    let flags: Vec<_> = flags.split(' ').chain(["--sweep-detection", "off"]).collect();
    let run = run(&scratch, BOT, &frames, &flags);
    assert!(run.line("Summary: ").starts_with("Summary: 6002 attack alert(s)"), "{}", run.stderr);
    let lines = subjects(&run);
    assert!(lines[0].starts_with("attack 192.0.2.1:53/UDP: 6,000 packets, peak 300 packets/s, 2 "));
    assert_eq!(lines.len(), 12, "{lines:#?}");
    let (more, dropped) = (numbers(lines[10])[0], numbers(lines[11])[1]);
    assert!(
        lines[11]
            .starts_with("and smaller ones, beyond the 1,024 of each kind that are kept: up to ")
    );
    assert_eq!(10 + more + dropped, u64::from(hosts) + 1);

    let top = run.line("Top destinations, at least: ");
    assert!(top.contains(": 192.0.2.1 6,000 packets, "), "{top}");
    let named = top.split(", ").skip(1).take(5).map(|part| part.rsplit(' ').nth(1).unwrap());
    let named: u64 = named.map(|packets| packets.replace(',', "").parse::<u64>().unwrap()).sum();
    let others = top.split(" other hosts ").nth(1).unwrap().replace(',', "");
    assert_eq!(named + others.parse::<u64>().unwrap(), 12_000, "{top}");
    assert!(top.contains(", about 5,9") || top.contains(", about 6,0"), "{top}");
}

#[test]
fn overlapping_windows_count_no_packet_twice() {
    let scratch = Scratch::new();
    let frames: Vec<_> = (0..600).map(|k| at(k * SECOND / 10, packet(7, 80))).collect();
    let run = run(&scratch, BOT, &frames, &["-w", "10", "-s", "1", "-p", "9.5"]);
    let [line] = subjects(&run)[..] else { panic!("{}", run.stderr) };
    let expected = "attack 192.0.2.7:80/UDP: at least 600 packets, peak 10 packets/s, 51 windows, ";
    assert!(line.starts_with(expected), "{line}");
}

#[test]
fn a_run_of_several_days_shows_dates() {
    let scratch = Scratch::new();
    let day = 24 * 3600 * SECOND;
    let times = (0..100).map(|k| (k / 50) * day + k);
    let frames: Vec<_> = times.map(|time| at(time, packet(7, 80))).collect();
    let run = run(&scratch, BOT, &frames, &["-w", "1h", "-p", "0.01"]);
    let span = "2026-01-29 10:00:00 to 2026-01-30 11:00:00";
    assert!(subjects(&run)[0].ends_with(&format!(", 2 windows, {span}")), "{}", run.stderr);
    let observed = run.line("Observed: ");
    assert!(observed.starts_with(&format!("Observed: {span} UTC, 25 windows, 100 packets, ")));
}

/// The expected lines about subjects, computed from the records about them.
fn expected(records: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let mut by_subject: BTreeMap<(String, String), Vec<&Value>> = BTreeMap::new();
    for record in records.iter().filter(|record| record["alert"].is_object()) {
        let gomon = &record["metadata"]["gomon"];
        let (host, proto) = (&record["dest_ip"], &record["proto"]);
        let class = text(&gomon["classification"]);
        let subject = match (class.as_str(), record["dest_port"].as_u64()) {
            ("scan", _) => String::new(),
            ("sweep", port) => format!("{}/{}", text(proto), port.expect("a port")),
            (_, Some(port)) => format!("{}:{port}/{}", text(host), text(proto)),
            (_, None) => text(host),
        };
        by_subject.entry((class, subject)).or_default().push(record);
    }
    let lines = by_subject.into_iter().map(|((class, subject), records)| {
        let of = |field: &'static str| {
            let value = move |r: &&Value| r["metadata"]["gomon"][field].as_f64();
            records.iter().map(move |record| value(record).unwrap_or_default())
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
        let whole = |value: f64| value as u64;
        let packets = human(whole(of("packets").sum()));
        let most = |field: &'static str| human(whole(of(field).fold(0.0, f64::max)));
        let time = |record: &Value| -> Timestamp {
            text(&record["timestamp"]).replace("+0000", "Z").parse().expect("a timestamp")
        };
        let start = time(records[0]).strftime("%H:%M:%S").to_string();
        let end = time(records[records.len() - 1]) + Span::new().seconds(10);
        let windows = records.len();
        let plural = if windows == 1 { "" } else { "s" };
        let when = format!("{start} to {}", end.strftime("%H:%M:%S"));
        let windows = format!("{windows} window{plural}");
        match class.as_str() {
            "sweep" => {
                let last = &records[records.len() - 1]["metadata"]["gomon"];
                let [contacts, answered] = ["contacts", "answered"].map(|f| last[f].to_string());
                format!("sweep {subject}: {contacts} hosts, {answered} answered, {when}")
            }
            "attack" => {
                let over = match most("ports").as_str() {
                    "0" => String::new(),
                    ports => format!(", over {ports} ports"),
                };
                let peak = of("packet_rate").fold(0.0, f64::max);
                let peak = format!("peak {peak} packets/s");
                format!("attack {subject}{over}: {packets} packets, {peak}, {windows}, {when}")
            }
            _ => {
                let ports = most("ports");
                format!(
                    "vertical scan {subject}: {ports} ports, {packets} packets, {windows}, {when}"
                )
            }
        }
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn lines_say_what_the_records_add_up_to(
        packets in prop::collection::vec((0u64..60, 0u8..3, 0u16..9, any::<bool>(), 1usize..30), 0..60),
        swept in 0u8..40,
    ) {
        let mut frames = Vec::new();
        for (second, host, port, busy, more) in packets {
            let port = if busy { 80 } else { 1000 + port };
            let count = if busy { more } else { 1 };
            frames.extend(std::iter::repeat_n(at(second * SECOND, packet(host, port)), count));
        }
        frames.extend((0..swept).map(|n| {
            at(u64::from(n) * SECOND, syn(ip(BOT), ip(&format!("198.51.100.{}", n + 1)), 23))
        }));
        frames.push(at(0, packet(200, 1)));
        frames.sort_by_key(|frame| frame.time);
        let scratch = Scratch::new();
        let flags = ["-w", "10", "-p", "1.5", "-d", "1e6", "--port-threshold", "4"];
        let run = run(&scratch, BOT, &frames, &flags);
        let mut lines = subjects(&run);
        prop_assert!(lines.len() <= 10);
        lines.sort_unstable();
        prop_assert_eq!(lines, expected(&run.records()));
        let observed = run.line("Observed: ").split(", ").nth(2).unwrap();
        let packets = frames.len() as u64;
        let plural = if packets == 1 { "" } else { "s" };
        prop_assert_eq!(observed, format!("{} packet{plural}", human(packets)));
    }
}

//! The list of sources, and the warnings that the given address may not be the bot's.

use std::io::Write;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::capture::{Captured, PLAIN, Pcapng, SECOND, START, at, pcap};
use crate::support::frames::{arp, ip, udp, without_ethernet};
use crate::support::program::{Outcome, Scratch, command, gomon, gomon_with_input};
use crate::support::running::Running;
use crate::traffic::{BOT, beacon, error, file, flood, packet, refusal};

/// The same frame, from another MAC address.
fn from_mac(last: u8, mut frame: Vec<u8>) -> Vec<u8> {
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0xab, last]);
    frame
}

/// Two hosts that send to each other, one a bit more, and an IPv6 source.
fn talk() -> Vec<Captured> {
    let to = |host: &str, n| from_mac(1, udp(ip(BOT), ip(host), 53, n));
    let back = from_mac(2, udp(ip("192.0.2.1"), ip(BOT), 40000, 10));
    let v6 = from_mac(3, udp(ip("2001:db8::1"), ip("2001:db8::2"), 53, 0));
    vec![
        at(0, arp()),
        at(SECOND, to("192.0.2.1", 0)),
        at(2 * SECOND, back.clone()),
        at(3 * SECOND, to("192.0.2.2", 0)),
        at(4 * SECOND, to("192.0.2.1", 2)),
        at(5 * SECOND, back),
        at(6 * SECOND, v6),
        at(7 * SECOND, packet(7, 9)[..20].to_vec()),
    ]
}

const TABLE: &str = "\
source       mac                packets  bytes  destinations  first                        last
10.0.0.5     02:00:00:00:ab:01        3    128             2  2026-01-29T10:00:01.000000Z  2026-01-29T10:00:04.000000Z
192.0.2.1    02:00:00:00:ab:02        2    104             1  2026-01-29T10:00:02.000000Z  2026-01-29T10:00:05.000000Z
2001:db8::1  02:00:00:00:ab:03        1     62             1  2026-01-29T10:00:06.000000Z  2026-01-29T10:00:06.000000Z
";

#[track_caller]
fn assert_lists(run: &Outcome) {
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
    assert_eq!(run.stdout, TABLE);
    assert_eq!(run.line("Frames: "), "Frames: 8 seen = 6 packets + 1 not IP + 1 malformed");
}

#[test]
fn sources_are_listed_from_every_kind_of_input() {
    let scratch = Scratch::new();
    let plain = file(&talk());
    let mut ng = Pcapng::new(false);
    ng.interface(1, 9, 0);
    for frame in talk() {
        ng.packet(0, frame.time, &frame.data);
    }
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(&plain).unwrap();
    for (name, bytes) in [
        ("plain", plain.clone()),
        ("swapped", pcap(crate::support::capture::Classic { big_endian: true, ..PLAIN }, &talk())),
        ("ng", ng.bytes()),
        ("gz", gz.finish().unwrap()),
    ] {
        let path = scratch.file(name, &bytes);
        assert_lists(&gomon([path.to_str().unwrap(), "--list-sources"]));
        assert_lists(&gomon_with_input(["-", "--list-sources"], &bytes, 7));
    }
    // As it is appended to a command that names a bot.
    let path = scratch.file("plain", &plain);
    assert_lists(&gomon([path.to_str().unwrap(), "10.0.0.9", "--list-sources"]));
}

#[test]
fn sources_of_frames_that_name_no_sender_are_listed_without_one() {
    let scratch = Scratch::new();
    let frames: Vec<_> =
        beacon(2).into_iter().map(|f| at(f.time - START, without_ethernet(&f.data))).collect();
    let raw = pcap(crate::support::capture::Classic { link: 101, ..PLAIN }, &frames);
    let path = scratch.file("raw", &raw);
    let run = gomon([path.to_str().unwrap(), "--list-sources"]);
    let row = run.stdout.lines().nth(1).unwrap();
    assert!(row.starts_with("10.0.0.5  -          2     56             1  2026-01-29T"), "{row}");
}

#[test]
fn the_sources_of_a_damaged_capture_are_listed_up_to_the_damage() {
    let scratch = Scratch::new();
    let mut bytes = file(&talk());
    bytes.truncate(bytes.len() - 3);
    let path = scratch.file("cut", &bytes);
    let run = gomon([path.to_str().unwrap(), "--list-sources"]);
    assert!(error(&run, 3).ends_with(": all that could be read is listed"), "{}", run.stderr);
    assert_eq!(run.stdout, TABLE);
    let none = scratch.file("none", b"no capture");
    refusal(&gomon([none.to_str().unwrap(), "--list-sources"]));
    assert!(refusal(&gomon([none.to_str().unwrap()])).contains("<SRC_IP>"));
}

#[test]
fn a_list_of_sources_whose_reader_closes_the_pipe_is_no_failure() {
    let scratch = Scratch::new();
    let path = scratch.file("plain", &file(&talk()));
    let mut list = Running::start(command().arg(path).arg("--list-sources").stdin(Stdio::null()));
    list.close_output();
    assert_eq!(list.end().status, Some(0));
}

#[test]
fn random_sources_leave_the_busy_one_in_a_bounded_list() {
    let scratch = Scratch::new();
    let random =
        (0..20_000u32).map(|n| udp((0x0b00_0000 + n).to_be_bytes().into(), ip("192.0.2.9"), 80, 0));
    let frames = random.enumerate().flat_map(|(n, frame)| {
        let own = (n % 10 == 0).then(|| packet(1, 443));
        own.into_iter().chain([frame]).map(|frame| at(0, frame))
    });
    let frames: Vec<_> = frames.collect();
    let path = scratch.file("flood", &file(&frames));
    let run = gomon([path.to_str().unwrap(), "--list-sources"]);
    assert_eq!(run.status, Some(0));
    let rows: Vec<Vec<&str>> =
        run.stdout.lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
    assert_eq!((rows[0][0], rows[0][2]), (BOT, "2000"));
    assert!(rows.len() <= 4096, "{}", rows.len());
    let listed: u64 = rows.iter().map(|row| row[2].parse::<u64>().unwrap()).sum();
    let others = run.line("Not listed: ").split(' ').nth(2).unwrap().parse::<u64>().unwrap();
    assert_eq!(listed + others, frames.len() as u64);
}

/// The warnings that the bot's address may be wrong.
fn warnings(run: &Outcome) -> Vec<&str> {
    let texts = ["no packet counted", "packets of every source count as the bot's"];
    run.stderr.lines().filter(|line| texts.iter().any(|text| line.contains(text))).collect()
}

#[test]
fn a_wrong_address_is_reported_after_the_window_of_the_tenth_packet_with_the_busiest_sources() {
    let mut frames = talk();
    // Three windows with 6, 3 and 1 packets, and the start of a fourth one.
    for second in [31, 32, 33, 61, 91] {
        frames.push(at(second * SECOND, packet(1, 443)));
    }
    let mut run = Running::start(command().args(["-", "10.0.0.9", "--quiet"]));
    run.feed(&file(&frames));
    // The stream is still open.
    let warning = run.wait_for_part("no packet counted so far: is 10.0.0.9 the bot's address?");
    let busiest = "Of 10 packets examined, 10.0.0.5 sent 7, 192.0.2.1 sent 2, 2001:db8::1 sent 1: ";
    assert!(warning.contains(busiest), "{warning}");
    run.close_input();
    assert_eq!(warnings(&run.finish()).len(), 1);
}

#[test]
fn a_bot_that_is_silent_while_others_start_is_not_reported() {
    let scratch = Scratch::new();
    let other = udp(ip("192.0.2.1"), ip("10.0.0.9"), 80, 0);
    let mut frames = vec![at(0, other.clone()); 9];
    let path = scratch.file("none", &file(&frames));
    let run = gomon([path.to_str().unwrap(), "10.0.0.9"]);
    assert_eq!(warnings(&run).len(), 1, "at the end of the run: {}", run.stderr);
    frames.push(at(31 * SECOND, udp(ip("10.0.0.9"), ip("192.0.2.1"), 80, 0)));
    frames.extend(vec![at(32 * SECOND, other); 20]);
    let path = scratch.file("late", &file(&frames));
    let run = gomon([path.to_str().unwrap(), "10.0.0.9"]);
    assert_eq!(warnings(&run), Vec::<&str>::new());
    for source in ["fe80::1", "169.254.7.7", "0.0.0.0", "::", "ff02::1"] {
        let to = if source.contains(':') { "ff02::2" } else { "255.255.255.255" };
        let path = scratch.file("local", &file(&vec![at(0, udp(ip(source), ip(to), 1, 0)); 20]));
        let run = gomon([path.to_str().unwrap(), "10.0.0.9"]);
        assert_eq!(warnings(&run), Vec::<&str>::new(), "{source}");
    }
}

#[test]
fn a_bot_that_sent_anything_is_not_reported() {
    let scratch = Scratch::new();
    let path = scratch.file("talk", &file(&talk()));
    let path = path.to_str().unwrap();
    for args in [
        vec![BOT],
        vec!["192.0.2.1"],
        vec!["2001:db8::1"],
        // All its packets are to an ignored destination, and still its own.
        vec![BOT, "--ignore-dst", "192.0.2.0/24"],
        vec![BOT, "--window", "2", "--step", "1"],
    ] {
        let run = gomon([path].into_iter().chain(args.iter().copied()));
        assert_eq!(warnings(&run), Vec::<&str>::new(), "{args:?}");
    }
}

#[test]
fn any_source_is_reported_when_hosts_send_to_each_other() {
    let scratch = Scratch::new();
    let both = scratch.file("both", &file(&talk()));
    let run = gomon([both.to_str().unwrap(), "any", "--window", "2"]);
    let warnings_shown = warnings(&run);
    assert_eq!(warnings_shown.len(), 1, "{}", run.stderr);
    assert!(warnings_shown[0].contains("10.0.0.5 sent "), "{}", run.stderr);
    let one = scratch.file("one", &file(&flood(200)));
    assert_eq!(warnings(&gomon([one.to_str().unwrap(), "any"])), Vec::<&str>::new());
}

/// The endpoints of a run's records.
fn endpoints(run: &Outcome) -> Vec<String> {
    let endpoint =
        |record: &serde_json::Value| format!("{} {}", record["dest_ip"], record["dest_port"]);
    run.records().iter().map(endpoint).collect()
}

#[test]
fn with_a_mac_address_the_packets_of_other_senders_are_not_the_bots() {
    let scratch = Scratch::new();
    // The bot's own frame is the first one, as on its tap.
    let frames: Vec<_> = talk().into_iter().skip(1).collect();
    let path = scratch.file("talk", &file(&frames));
    let path = path.to_str().unwrap();
    let ledger = |run: &Outcome| run.line("Ledger: ").split(';').next().unwrap().to_owned();
    for mac in ["auto", "02:00:00:00:ab:01", "02-00-00-00-AB-01"] {
        for source in ["any", BOT] {
            let run = gomon([path, source, "--bot-mac", mac]);
            assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
            assert_eq!(endpoints(&run), ["\"192.0.2.1\" 53", "\"192.0.2.2\" 53"], "{mac} {source}");
            let fates = "3 counted + 3 not from the bot + 0 ignored + 0 not IP + 1 malformed";
            assert!(ledger(&run).starts_with(&format!("Ledger: 7 frames seen = {fates}")), "{mac}");
            assert_eq!(warnings(&run), Vec::<&str>::new(), "{mac} {source}");
        }
    }
    // A packet with a spoofed source is the bot's by its MAC address, and one of another sender with the
    // bot's address is not.
    let spoofed = gomon([path, "any", "--bot-mac", "02:00:00:00:ab:03"]);
    assert_eq!(endpoints(&spoofed), ["\"2001:db8::2\" 53"]);
    let unknown = gomon([path, BOT, "--bot-mac", "02:00:00:00:ab:02"]);
    assert_eq!(endpoints(&unknown), Vec::<String>::new());
    let shown = warnings(&unknown);
    let text = "is 10.0.0.5 the bot's address and 02:00:00:00:ab:02 its MAC address? Of 6 packets";
    assert!(shown.len() == 1 && shown[0].contains(text), "{}", unknown.stderr);
    let others = gomon([path, "any", "--bot-mac", "02:00:00:00:ab:09"]);
    let shown = warnings(&others);
    let text = "is 02:00:00:00:ab:09 the bot's MAC address? 6 packets examined have other senders: see \
                their MAC addresses with --list-sources";
    assert!(shown.len() == 1 && shown[0].ends_with(text), "{}", others.stderr);
}

#[test]
fn cooked_frames_name_their_sender_and_raw_ones_do_not() {
    let scratch = Scratch::new();
    let cooked = |frame: &Captured| {
        let mut data = vec![0, 0, 0, 1, 0, 6];
        data.extend(&frame.data[6..12]);
        data.extend([0, 0]);
        data.extend(&frame.data[12..]);
        at(frame.time - START, data)
    };
    let raw = |frame: &Captured| at(frame.time - START, without_ethernet(&frame.data));
    // Without ARP and truncated frames, which have no cooked form.
    let frames = &talk()[1..7];
    let classic = |link| crate::support::capture::Classic { link, ..PLAIN };
    let sll = pcap(classic(113), &frames.iter().map(cooked).collect::<Vec<_>>());
    let sll = scratch.file("sll", &sll);
    let run = gomon([sll.to_str().unwrap(), "any", "--bot-mac", "auto"]);
    assert_eq!((run.status, endpoints(&run).len()), (Some(0), 2), "{}", run.stderr);
    let raw = pcap(classic(101), &frames.iter().map(raw).collect::<Vec<_>>());
    let raw = scratch.file("raw", &raw);
    let run = gomon([raw.to_str().unwrap(), "any", "--bot-mac", "auto"]);
    let error = error(&run, 1);
    assert!(
        error.contains(": 6 frame(s) counted as not from the bot: ")
            && error.contains("leave --bot-mac out")
    );
    assert!(
        run.line("Ledger: ").starts_with("Ledger: 6 frames seen = 0 counted + 6 not from the bot ")
    );
}

#[test]
fn artifacts_with_a_mac_address_hold_both_directions_of_the_bot_only() {
    let scratch = Scratch::new();
    let mut frames = vec![at(0, from_mac(1, udp(ip("198.51.100.7"), ip("192.0.2.1"), 53, 0)))];
    for n in 1..20u64 {
        frames.push(at(n, from_mac(1, udp(ip(BOT), ip("192.0.2.1"), 53, 0))));
        frames.push(at(n, from_mac(2, udp(ip("192.0.2.1"), ip(BOT), 40000, 0))));
        frames.push(at(n, from_mac(2, udp(ip("192.0.2.8"), ip("192.0.2.9"), 1, 0))));
    }
    let path = scratch.file("flood", &file(&frames));
    let captures = scratch.path().join("captures");
    let flags = format!(
        "--bot-mac auto --packet-threshold 5/window --save-packets 1000 --quiet --capture-dir {}",
        captures.display()
    );
    let run = gomon([path.to_str().unwrap(), "any"].into_iter().chain(flags.split(' ')));
    assert_eq!(endpoints(&run), ["\"192.0.2.1\" 53"], "{}", run.stderr);
    let records = run.records();
    let saved = crate::support::real::frames(records[0]["capture_file"].as_str().unwrap().as_ref());
    let expected = frames.iter().filter(|frame| frame.data[26..30] != [192, 0, 2, 8]);
    let expected: Vec<_> = expected.map(|frame| frame.data.clone()).collect();
    assert_eq!(saved.into_iter().map(|(_, data)| data).collect::<Vec<_>>(), expected);
}

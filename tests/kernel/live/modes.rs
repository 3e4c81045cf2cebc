//! Every mode counts what a replay of the same frames counts.

use serde_json::Value;

use super::{
    BOT, LONG, attached, comparable, count, finish, ledger, net, packet, replay, until_counted,
};
use crate::support::frames::{arp, ip, ping, ping6, syn, udp};
use crate::support::program::Outcome;

/// The values of `--attach`, and the mode that gomon then uses on a veth interface.
const MODES: [(&str, &str); 5] = [
    ("auto", "TCX"),
    ("xdp", "XDP (native)"),
    ("xdp-generic", "XDP (generic)"),
    ("tc", "TCX"),
    ("pcap", "libpcap"),
];

/// Thresholds for [`mixed`] in a window of any length.
const THRESHOLDS: &str = "--packet-threshold 10/window --port-threshold 5";

/// A flood, a vertical scan, some connections, and frames that are not from the bot.
fn mixed() -> Vec<Vec<u8>> {
    let mut frames = vec![packet(1, 80); 30];
    frames.extend((1..=8).map(|port| syn(ip(BOT), ip("192.0.2.2"), port)));
    frames.extend([packet(3, 53), packet(3, 53), syn(ip(BOT), ip("192.0.2.4"), 443)]);
    frames.push(ping([10, 0, 0, 5].into(), [192, 0, 2, 5].into()));
    frames.push(udp(ip(BOT), ip("192.0.2.6"), 9999, 1400));
    frames.push(udp(ip("10.0.0.6"), ip("192.0.2.1"), 80, 0));
    frames.push(udp(ip("192.0.2.1"), ip(BOT), 40000, 0));
    frames.extend([arp(), arp()]);
    frames
}

/// The length of the MAC addresses of a frame in bytes.
const ADDRESSES: usize = 12;

/// Inserts VLAN tags after the MAC addresses of a frame.
fn tagged(tags: &[u16], frame: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(ADDRESSES);
    let tags =
        tags.iter().zip(7u16..).flat_map(|(kind, id)| [kind.to_be_bytes(), id.to_be_bytes()]);
    [addresses, &tags.flatten().collect::<Vec<_>>(), rest].concat()
}

/// Inserts an extension header of eight bytes before the payload of an IPv6 frame.
fn extended(number: u8, header: [u8; 7], frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let length = u16::from_be_bytes([frame[18], frame[19]]) + 8;
    frame[18..20].copy_from_slice(&length.to_be_bytes());
    let next = std::mem::replace(&mut frame[20], number);
    let header: Vec<u8> = [next].into_iter().chain(header).collect();
    frame.splice(54..54, header);
    frame
}

/// Makes an IPv4 frame a fragment at `offset`, which is in units of eight bytes.
fn fragment(offset: u16, frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[20..22].copy_from_slice(&(offset | 0x2000).to_be_bytes());
    frame[24..26].fill(0);
    let words =
        frame[14..34].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame
}

const BOT6: &str = "2001:db8::5";

/// Packets with each kind of header.
fn layered() -> Vec<Vec<u8>> {
    let six = |host: &str| udp(ip(BOT6), ip(host), 53, 16);
    vec![
        tagged(&[0x8100], &packet(1, 80)),
        tagged(&[0x88a8, 0x8100], &packet(2, 80)),
        tagged(&[0x8100], &six("2001:db8::1")),
        six("2001:db8::2"),
        ping6(BOT6.parse().unwrap(), "2001:db8::3".parse().unwrap()),
        extended(0, [0, 1, 4, 0, 0, 0, 0], &six("2001:db8::4")),
        extended(44, [0, 0, 1, 0, 0, 0, 9], &six("2001:db8::5:1")),
        extended(44, [0, 0, 9, 0, 0, 0, 9], &six("2001:db8::5:1")),
        fragment(0, &udp(ip(BOT), ip("192.0.2.3"), 53, 24)),
        fragment(4, &udp(ip(BOT), ip("192.0.2.3"), 53, 24)),
        tagged(&[0x8100], &arp()),
        arp(),
    ]
}

#[test]
fn live_every_mode_counts_what_a_replay_counts() {
    let frames = mixed();
    let args = format!("{LONG} {THRESHOLDS}");
    let expected = replay(BOT, &args, &frames);
    let mut classes = classes(&expected);
    classes.dedup();
    assert_eq!(classes, ["attack", "vertical_scan", "connection"]);
    for (mode, name) in MODES {
        let Some(net) = net() else { return };
        let gomon = attached(&net, BOT, &format!("{args} --attach {mode}"));
        let run = count(&net, gomon, &frames);
        assert_eq!(comparable(&run), comparable(&expected), "{mode}");
        assert_eq!(ledger(&run), ledger(&expected), "{mode}");
        assert_eq!(run.line("Attached: "), format!("Attached: {name} on vnet0, 0 lost"));
        assert!(run.records().iter().all(|record| record["in_iface"] == "vnet0"));
    }
}

/// Returns the classification of each record.
fn classes(run: &Outcome) -> Vec<String> {
    let class =
        |record: &Value| record["metadata"]["gomon"]["classification"].as_str().unwrap().to_owned();
    run.records().iter().map(class).collect()
}

#[test]
fn live_tags_extension_headers_and_fragments_are_counted_as_in_a_replay() {
    let frames = layered();
    let bot = format!("{BOT},{BOT6}");
    let expected = replay(&bot, LONG, &frames);
    for (mode, _) in MODES {
        let Some(net) = net() else { return };
        let gomon = attached(&net, &bot, &format!("{LONG} --attach {mode}"));
        let run = count(&net, gomon, &frames);
        assert_eq!(comparable(&run), comparable(&expected), "{mode}");
        assert_eq!(ledger(&run), ledger(&expected), "{mode}");
    }
}

#[test]
fn live_sources_and_ignored_destinations_select_as_in_a_replay() {
    let mut frames = mixed();
    frames.extend(layered());
    frames.push(udp(ip("10.0.0.7"), ip("192.0.2.9"), 80, 0));
    frames.push(packet(200, 8080));
    frames.push(udp(ip(BOT), ip("10.0.0.7"), 80, 0)); // to the bot itself, if it has both addresses
    for (source, args) in [
        (BOT, "--ignore-dst 192.0.2.2/31"),
        (BOT, "--ignore-dst 192.0.2.1,192.0.2.4/30 --c2-ip 192.0.2.200"),
        ("10.0.0.7,2001:db8::5,10.0.0.5", "--ignore-dst 2001:db8::/126"),
        ("2001:db8::5", "--c2-ip 2001:db8::4"),
        ("any", "--attach tc --ignore-dst 2001:db8::/48 --ignore-dst 192.0.2.1/32,192.0.2.2"),
        ("any", ""),
        (BOT, "--attach pcap --ignore-dst 192.0.2.1,192.0.2.4/30 --c2-ip 192.0.2.200"),
        ("10.0.0.7,2001:db8::5,10.0.0.5", "--attach pcap --ignore-dst 2001:db8::/126"),
        ("any", "--attach pcap --ignore-dst 2001:db8::/48"),
    ] {
        let Some(net) = net() else { return };
        let args = format!("{LONG} {THRESHOLDS} {args}");
        let expected = replay(source, &args, &frames);
        let run = count(&net, attached(&net, source, &args), &frames);
        assert_eq!(comparable(&run), comparable(&expected), "{source} {args}");
        assert_eq!(ledger(&run), ledger(&expected), "{source} {args}");
    }
}

#[test]
fn live_scan_beyond_the_destination_limit_is_counted_and_estimated_as_in_a_replay() {
    const HOSTS: u16 = 10_000;
    const BURST: usize = 200;
    let host = |nth: u16| ip(&format!("198.18.{}.{}", nth / 250, nth % 250));
    let mut frames: Vec<_> = (0..HOSTS).map(|nth| syn(ip(BOT), host(nth), 23)).collect();
    // A listed host is still counted exactly after the maps are full.
    frames.extend(vec![syn(ip(BOT), host(0), 23); 40]);
    frames.extend([syn(ip(BOT), host(0), 24), syn(ip(BOT), host(9000), 23)]);
    let args = format!("{LONG} --packet-threshold 30/window --max-destinations 500");
    let expected = replay(BOT, &args, &frames);
    assert_eq!(classes(&expected), ["attack", "scan"]);
    for (mode, _) in MODES {
        let Some(net) = net() else { return };
        let mut gomon = attached(&net, BOT, &format!("{args} --attach {mode}"));
        // Bursts that fit into the queue of the veth pair.
        for (nth, frames) in (1..).zip(frames.chunks(BURST)) {
            net.send(frames);
            let sent = (nth * BURST).min((nth - 1) * BURST + frames.len());
            until_counted(&mut gomon, sent as u64);
        }
        gomon.signal("INT");
        let run = finish(gomon);
        assert_eq!(comparable(&run), comparable(&expected), "{mode}");
        // The whole line, including the overflow.
        assert_eq!(run.line("Ledger: "), expected.line("Ledger: "), "{mode}");
        let scan = &run.records()[1]["metadata"]["gomon"];
        assert_eq!(scan["hosts_exact"], false, "{scan}");
        assert_eq!(scan["overflow_packets"], 9_502, "{scan}");
        let hosts = scan["hosts"].as_u64().unwrap();
        // The host under attack is not part of the scan.
        assert!(hosts.abs_diff(9_999) < 500, "{hosts} hosts");
    }
}

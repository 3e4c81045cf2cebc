//! Frames picked by hand, one for each thing the header parser promises.
#![expect(clippy::expect_used, reason = "a frame that is no hexadecimal fails its test")]

use gomon_common::parse::Malformed;
use gomon_common::{LinkType, Skip, parse};

use LinkType::{Ethernet, Ipv4, Ipv6, LinuxSll, LinuxSll2, Loop, Null, Raw};

const MACS: &str = "020000000001 020000000002";
/// The start of a UDP header, to port 53.
const UDP: &str = "9c40 0035 0008 0000";
/// What is found in a packet that carries it.
const DNS4: &str = "10.0.0.5 192.0.2.7:53/17";
const DNS6: &str = "2001:db8::5 2001:db8::7:53/17";

#[test]
fn finds_the_outermost_packet() {
    let dns4 = v4(28, 0, 17, UDP);
    let dns6 = v6(8, 17, UDP);
    let rows = [
        ("IPv4", Raw, dns4.clone(), DNS4),
        ("IPv6", Raw, dns6.clone(), DNS6),
        ("IPv4 by link type", Ipv4, dns4.clone(), DNS4),
        ("IPv6 by link type", Ipv6, dns6.clone(), DNS6),
        ("Ethernet", Ethernet, format!("{MACS} 0800 {dns4}"), DNS4),
        ("three tags", Ethernet, format!("{MACS} 9100 0001 88a8 0002 8100 0003 86dd {dns6}"), DNS6),
        (
            "SNAP behind a tag",
            Ethernet,
            format!("{MACS} 8100 0001 0024 aaaa03000000 0800 {dns4}"),
            DNS4,
        ),
        ("PPPoE", Ethernet, format!("{MACS} 8864 1100 0001 001e 0021 {dns4}"), DNS4),
        ("two labels", Ethernet, format!("{MACS} 8847 00010040 00020140 {dns6}"), DNS6),
        ("cooked", LinuxSll, format!("0004 0001 0006 0200000000010000 0800 {dns4}"), DNS4),
        (
            "cooked, version 2",
            LinuxSll2,
            format!("86dd 0000 00000002 0001 04 06 0200000000010000 {dns6}"),
            DNS6,
        ),
        ("loopback of macOS", Null, format!("1e000000 {dns6}"), DNS6),
        ("loopback of OpenBSD", Loop, format!("00000002 {dns4}"), DNS4),
        ("a tunnel", Raw, v4(56, 0, 4, &v4(28, 0, 17, UDP)), "10.0.0.5 192.0.2.7:0/4"),
    ];
    check(&rows.map(|(name, link, frame, found)| (name, link, frame, Ok(found))));
}

#[test]
fn finds_the_port_or_says_that_there_is_none() {
    let options = "3c 00 0104 00000000";
    let rows = [
        ("no total length yet", v4(0, 0, 17, UDP), DNS4),
        ("a total length past the capture", v4(1500, 0, 17, UDP), DNS4),
        ("padding behind the packet", v4(22, 0, 17, UDP), "10.0.0.5 192.0.2.7:0/17"),
        ("a capture that ends early", v4(28, 0, 17, "9c40"), "10.0.0.5 192.0.2.7:0/17"),
        ("a first fragment", v4(28, 0x2000, 17, UDP), DNS4),
        ("don't fragment", v4(28, 0x4000, 17, UDP), DNS4),
        ("a later fragment", v4(28, 0x0001, 17, UDP), "10.0.0.5 192.0.2.7:0/17"),
        (
            "IPv4 with authentication",
            v4(40, 0, 51, &format!("11 01 0000 00000001 00000001 {UDP}")),
            DNS4,
        ),
        ("IPv4 has no hop-by-hop options", v4(28, 0, 0, UDP), "10.0.0.5 192.0.2.7:0/0"),
        (
            "IPv6 with authentication",
            v6(20, 51, &format!("11 01 0000 00000001 00000001 {UDP}")),
            DNS6,
        ),
        (
            "authentication without a length",
            v6(16, 51, &format!("11 00 0000 00000001 {UDP}")),
            DNS6,
        ),
        ("no payload length yet", v6(0, 17, UDP), DNS6),
        ("an atomic fragment", v6(16, 44, &format!("11 00 0000 00000001 {UDP}")), DNS6),
        (
            "a later fragment of IPv6",
            v6(16, 44, &format!("11 00 0008 00000001 {UDP}")),
            "2001:db8::5 2001:db8::7:0/17",
        ),
        (
            "eight extension headers",
            v6(72, 60, &format!("{} 11 00 0104 00000000 {UDP}", options.repeat(7))),
            DNS6,
        ),
        (
            "nine extension headers",
            v6(80, 60, &format!("{} 11 00 0104 00000000 {UDP}", options.repeat(8))),
            "2001:db8::5 2001:db8::7:0/60",
        ),
        ("a cut extension header", v6(80, 43, "06 09 0400"), "2001:db8::5 2001:db8::7:0/6"),
        ("one that is cut off sooner", v6(80, 43, "06 09 04"), "2001:db8::5 2001:db8::7:0/43"),
    ];
    check(&rows.map(|(name, frame, found)| (name, Raw, frame, Ok(found))));
}

#[test]
fn says_why_a_frame_is_not_counted() {
    let dns4 = v4(28, 0, 17, UDP);
    let malformed = |reason| Err(Skip::Malformed(reason));
    check(&[
        ("ARP", Ethernet, format!("{MACS} 0806 0001"), Err(Skip::NotIp)),
        ("a spanning tree", Ethernet, format!("{MACS} 0026 424203 000000"), Err(Skip::NotIp)),
        (
            "SNAP of an organisation",
            Ethernet,
            format!("{MACS} 0024 aaaa0300000c 0800 {dns4}"),
            Err(Skip::NotIp),
        ),
        ("LCP", Ethernet, format!("{MACS} 8864 1100 0001 0006 c021"), Err(Skip::NotIp)),
        ("a pseudowire", Ethernet, format!("{MACS} 8847 00010140 00000000"), Err(Skip::NotIp)),
        ("Appletalk", Null, "10000000".to_owned(), Err(Skip::NotIp)),
        ("nothing", Ethernet, String::new(), malformed(Malformed::Truncated)),
        ("half a header", Raw, dns4[..19].to_owned(), malformed(Malformed::Truncated)),
        ("the other version", Ipv6, v4(60, 0, 17, &UDP.repeat(5)), malformed(Malformed::Version)),
        (
            "a header of 16 bytes",
            Raw,
            dns4.replacen("45", "44", 1),
            malformed(Malformed::HeaderLength),
        ),
        ("a total length of 19", Raw, v4(19, 0, 17, UDP), malformed(Malformed::TotalLength)),
        (
            "four tags",
            Ethernet,
            format!("{MACS} {} 0800 {dns4}", "8100 0001".repeat(4)),
            malformed(Malformed::Nesting),
        ),
        (
            "nine labels",
            Ethernet,
            format!("{MACS} 8847 {} 00010140 {dns4}", "00010040".repeat(8)),
            malformed(Malformed::Nesting),
        ),
    ]);
}

#[track_caller]
fn check(rows: &[(&str, LinkType, String, Result<&str, Skip>)]) {
    for (name, link, frame, expected) in rows {
        let found = parse(*link, &bytes(frame)[..]);
        let found = found.map(|packet| format!("{} {:?}", packet.source, packet.destination));
        assert_eq!(found.as_deref().map_err(|skip| *skip), *expected, "{name}");
    }
}

/// An IPv4 packet in hexadecimal, from 10.0.0.5 to 192.0.2.7.
fn v4(total: u16, fragment: u16, protocol: u8, rest: &str) -> String {
    format!("4500 {total:04x} 0001 {fragment:04x} 40 {protocol:02x} 0000 0a000005 c0000207 {rest}")
}

/// An IPv6 packet in hexadecimal, from `2001:db8::5` to `2001:db8::7`.
fn v6(length: u16, next: u8, rest: &str) -> String {
    let [source, destination] = ["05", "07"].map(|last| format!("20010db8{:022}{last}", 0));
    format!("60000000 {length:04x} {next:02x} 40 {source} {destination} {rest}")
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("two digits")).collect()
}

#[test]
fn the_short_cut_takes_plain_frames_and_leaves_the_others() {
    let v4 = |protocol: u8, first: u8| {
        let mut frame = vec![0u8; 60];
        frame[12..16].copy_from_slice(&[0x08, 0x00, first, 0]);
        frame[16..18].copy_from_slice(&46u16.to_be_bytes());
        frame[23] = protocol;
        frame[36..38].copy_from_slice(&53u16.to_be_bytes());
        frame
    };
    let mut v6 = vec![0u8; 74];
    v6[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
    v6[18..21].copy_from_slice(&[0, 20, 6]);
    for frame in [v4(17, 0x45), v4(6, 0x45), v6] {
        assert_eq!(
            gomon_common::parse_common(&frame[..]),
            parse(LinkType::Ethernet, &frame[..]).ok()
        );
        assert!(gomon_common::parse_common(&frame[..]).is_some());
    }
    for frame in [v4(1, 0x45), v4(17, 0x46), v4(17, 0x65)] {
        assert_eq!(gomon_common::parse_common(&frame[..]), None);
    }
}

//! The header parsers on hand-picked frames, one for each documented case.
#![expect(clippy::expect_used, reason = "a frame that is not hexadecimal fails its test")]

use gomon_common::parse::{Malformed, opaque_ethertype};
use gomon_common::{ContactFlag, LinkType, Skip, parse};

use LinkType::{
    CiscoHdlc, Ethernet, FrameRelay, Ieee80211, Ipv4, Ipv6, LinuxSll, LinuxSll2, Loop, Nflog, Null,
    Pktap, Ppi, Ppp, PppSerial, Pppoe, Radiotap, Raw,
};

const MACS: &str = "020000000001 020000000002";
/// The start of a UDP header, to port 53.
const UDP: &str = "9c40 0035 0008 0000";
/// The source and destination of a packet with this header.
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
            "SNAP after a tag",
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
fn finds_the_packet_after_other_link_headers() {
    let dns4 = v4(28, 0, 17, UDP);
    let dns6 = v6(8, 17, UDP);
    let snap = format!("aaaa03000000 0800 {dns4}");
    let access_point = "020000000001 020000000002 020000000003 1000";
    let pktap = format!("6c000000 01000000 01000000 {}", "00".repeat(96));
    let rows = [
        ("loopback of Windows", Null, format!("17000000 {dns6}"), DNS6),
        ("loopback with a type", Null, format!("00080000 {dns4}"), DNS4),
        ("loopback with a type, swapped", Null, format!("000086dd {dns6}"), DNS6),
        ("loopback with PPP", Null, format!("ff03 0021 {dns4}"), DNS4),
        ("LLC after cooked", LinuxSll, format!("0000 0001 0006 {:016} 0004 {snap}", 0), DNS4),
        ("PPP", Ppp, format!("ff03 0057 {dns6}"), DNS6),
        ("PPP of minimum length", Ppp, format!("21 {dns4}"), DNS4),
        ("PPP on a serial line", PppSerial, format!("ff03 0021 {dns4}"), DNS4),
        ("Cisco HDLC on a serial line", PppSerial, format!("8f00 0800 {dns4}"), DNS4),
        ("Cisco HDLC", CiscoHdlc, format!("0f00 86dd {dns6}"), DNS6),
        ("PPPoE alone", Pppoe, format!("1100 0001 001e 0021 {dns4}"), DNS4),
        ("frame relay", FrameRelay, format!("1841 03 cc {dns4}"), DNS4),
        ("frame relay, a long address", FrameRelay, format!("18420001 03 00 8e {dns6}"), DNS6),
        ("frame relay of Cisco", FrameRelay, format!("1841 0800 {dns4}"), DNS4),
        ("frame relay with SNAP", FrameRelay, format!("1841 0300 80000000 0800 {dns4}"), DNS4),
        (
            "frame relay with Ethernet",
            FrameRelay,
            format!("1841 0300 800080c20007 {MACS} 0800 {dns4}"),
            DNS4,
        ),
        ("NFLOG", Nflog, format!("02000000 0600 0a00 0002 0000 2000 0900 {dns4}"), DNS4),
        (
            "NFLOG of a big-endian host",
            Nflog,
            format!("0a000000 0008 0001 00000000 0034 0009 {dns6}"),
            DNS6,
        ),
        ("PKTAP", Pktap, format!("{pktap} {MACS} 0800 {dns4}"), DNS4),
        ("PPI", Ppi, format!("00000800 69000000 0801 0000 {access_point} {snap}"), DNS4),
        ("802.11", Ieee80211, format!("0801 0000 {access_point} {snap}"), DNS4),
        (
            "802.11 with all optional fields",
            Ieee80211,
            format!("8883 0000 {access_point} 020000000004 0000 00000000 {snap}"),
            DNS4,
        ),
        (
            "802.11, several frames in one",
            Ieee80211,
            format!("8801 0000 {access_point} 8000 {MACS} 0024 {snap}"),
            DNS4,
        ),
        ("radiotap", Radiotap, format!("00000800 00000000 0802 0000 {access_point} {snap}"), DNS4),
        (
            "radiotap with padding",
            Radiotap,
            format!(
                "00001900 03000080 00000000 00000000 {:016} 20 8801 0000 {access_point} 0000 beef {snap}",
                0
            ),
            DNS4,
        ),
    ];
    check(&rows.map(|(name, link, frame, found)| (name, link, frame, Ok(found))));
}

#[test]
fn finds_the_packet_after_other_layers() {
    let dns4 = v4(28, 0, 17, UDP);
    let dns6 = v6(8, 17, UDP);
    let inner = format!("{MACS} 8100 0007 0800 {dns4}");
    let rows = [
        ("PPPoE, compressed", format!("8864 1100 0001 001d 21 {dns4}"), DNS4),
        ("IP over LLC", format!("0027 060603 {dns4}"), DNS4),
        ("SNAP of IEEE 802.1H", format!("0024 aaaa030000f8 86dd {dns6}"), DNS6),
        ("a jumbo frame with SNAP", format!("8870 aaaa03000000 0800 {dns4}"), DNS4),
        ("a tag after SNAP", format!("0024 aaaa03000000 8100 0001 0800 {dns4}"), DNS4),
        ("VN-tag", format!("8926 00010002 0800 {dns4}"), DNS4),
        ("Cisco metadata", format!("8909 01010001000a 0800 {dns4}"), DNS4),
        ("HSR", format!("892f 00200007 86dd {dns6}"), DNS6),
        ("PRP", format!("0800 {dns4} 0001a03488fb"), DNS4),
        ("MACsec", format!("88e5 00 00 00000001 0800 {dns4}"), DNS4),
        ("MACsec with a channel", format!("88e5 20 00 00000001 {:016} 0800 {dns4}", 0), DNS4),
        ("802.1ah", format!("88a8 0001 88e7 00000123 {inner}"), DNS4),
        ("FabricPath", format!("8903 0020 {inner}"), DNS4),
        ("bridged Ethernet", format!("6558 {inner}"), DNS4),
        ("a long timestamp", format!("d28b 0001 0110 {:016} 0800 {dns4}", 0), DNS4),
        ("a short timestamp", format!("d28b 0001 0020 {:012} 0800 {dns4}", 0), DNS4),
        ("NSH", format!("894f 0fc6 0101 {:040} {dns4}", 0), DNS4),
        ("NSH with Ethernet", format!("894f 0fc2 0203 {:08} {inner}", 0), DNS4),
        (
            "four layers",
            format!("8926 00010002 8909 01010001000a 892f 00200007 8847 00010140 {dns4}"),
            DNS4,
        ),
    ];
    check(&rows.map(|(name, frame, found)| (name, Ethernet, format!("{MACS} {frame}"), Ok(found))));
}

#[test]
fn a_first_fragment_that_is_too_short_for_flags_is_an_attempt() {
    // From port 40000 to port 23; the rest of the header comes in other fragments.
    let start = "9c40 0017 00000001";
    let contact = |frame: String| parse(Raw, &bytes(&frame)[..]).map(|packet| packet.contact);
    let fragment6 = |word: &str| format!("0600 {word} 00000001 {start}");
    for (name, frame, expected) in [
        ("a first fragment", v4(28, 0x2000, 6, start), ContactFlag::ATTEMPT),
        (
            "one that ends before the flags",
            v4(33, 0x2000, 6, &format!("{start} 0000000050")),
            ContactFlag::ATTEMPT,
        ),
        (
            "one that has them",
            v4(34, 0x2000, 6, &format!("{start} 0000000050 10")),
            ContactFlag::ESTABLISHED,
        ),
        ("one whose flags were not captured", v4(60, 0x2000, 6, start), ContactFlag::NONE),
        ("a packet that is too short", v4(28, 0x4000, 6, start), ContactFlag::NONE),
        ("a later fragment", v4(28, 0x2001, 6, start), ContactFlag::NONE),
        ("UDP", v4(28, 0x2000, 132, start), ContactFlag::NONE),
        ("IPv6", v6(16, 44, &fragment6("0001")), ContactFlag::ATTEMPT),
        ("the only fragment of IPv6", v6(16, 44, &fragment6("0000")), ContactFlag::NONE),
        ("a later fragment of IPv6", v6(16, 44, &fragment6("0009")), ContactFlag::NONE),
    ] {
        assert_eq!(contact(frame), Ok(expected), "{name}");
    }
}

/// The flags distinguish the scans that send no SYN: `nmap -sF -sN -sX -sA -sM -sY`.
#[test]
fn returns_tcp_flags_and_the_first_sctp_chunk_type_if_captured() {
    let tcp = |flags: &str| format!("9c40 0017 00000001 00000000 50{flags} 0400 00000000");
    let sctp = |kind: &str| format!("9c40 0017 00000000 00000000 {kind}00 0014");
    let flags = |frame: &str| parse(Raw, &bytes(frame)[..]).map(|packet| packet.flags.byte());
    for byte in 0..=u8::MAX {
        let hex = format!("{byte:02x}");
        for frame in [
            v4(40, 0, 6, &tcp(&hex)),
            v4(40, 0x2000, 6, &tcp(&hex)),
            v6(20, 6, &tcp(&hex)),
            v4(36, 0, 132, &sctp(&hex)),
            v6(16, 132, &sctp(&hex)),
        ] {
            assert_eq!(flags(&frame), Ok(Some(byte)), "{frame}");
        }
    }
    let start = "9c40 0017 00000001 00000000";
    for (name, frame) in [
        ("TCP cut off by the capture", v4(40, 0, 6, &format!("{start} 50"))),
        ("TCP cut off by its length", v4(33, 0, 6, &tcp("29"))),
        ("SCTP cut off by the capture", v4(36, 0, 132, start)),
        ("SCTP cut off by its length", v6(12, 132, &sctp("01"))),
        ("a first fragment without flags", v4(28, 0x2000, 6, "9c40 0017 00000001")),
        ("a later fragment", v4(40, 0x2001, 6, &tcp("02"))),
        ("UDP", v4(40, 0, 17, &tcp("02"))),
        ("another protocol", v4(40, 0, 1, &tcp("02"))),
    ] {
        assert_eq!(flags(&frame), Ok(None), "{name}");
    }
}

#[test]
fn returns_the_ethertype_of_an_opaque_layer() {
    let dns4 = v4(28, 0, 17, UDP);
    for (name, frame, expected) in [
        ("LLDP", "88cc 0207".to_owned(), Some(0x88cc)),
        ("after a tag", "8100 0001 88cc 0207".to_owned(), Some(0x88cc)),
        ("MACsec, encrypted", "88e5 2c 00 00000001".to_owned(), Some(0x88e5)),
        ("a pseudowire", "8847 00010140 00000000".to_owned(), Some(0x8847)),
        ("LCP", "8864 1100 0001 0006 c021".to_owned(), Some(0x8864)),
        ("a spanning tree", "0026 424203 000000".to_owned(), None),
        ("IP", format!("0800 {dns4}"), None),
        ("half of it", "0800 4500".to_owned(), None),
    ] {
        let frame = bytes(&format!("{MACS} {frame}"));
        assert_eq!(opaque_ethertype(Ethernet, &frame[..]), expected, "{name}");
    }
}

#[test]
fn finds_the_port_or_returns_0() {
    let options = "3c 00 0104 00000000";
    let rows = [
        ("no total length yet", v4(0, 0, 17, UDP), DNS4),
        ("a total length past the capture", v4(1500, 0, 17, UDP), DNS4),
        ("padding after the packet", v4(22, 0, 17, UDP), "10.0.0.5 192.0.2.7:0/17"),
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
        ("one that is cut off earlier", v6(80, 43, "06 09 04"), "2001:db8::5 2001:db8::7:0/43"),
    ];
    check(&rows.map(|(name, frame, found)| (name, Raw, frame, Ok(found))));
}

#[test]
fn returns_why_a_frame_is_skipped() {
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
        ("MACsec, encrypted", Ethernet, format!("{MACS} 88e5 2c 00 00000001"), Err(Skip::NotIp)),
        ("an unknown timestamp", Ethernet, format!("{MACS} d28b 0003 0010"), Err(Skip::NotIp)),
        ("NSH without a length", Ethernet, format!("{MACS} 894f 0fc1 0201"), Err(Skip::NotIp)),
        ("802.11, encrypted", Ieee80211, "0841 0000".to_owned(), Err(Skip::NotIp)),
        ("802.11, a beacon", Ieee80211, "8000 0000".to_owned(), Err(Skip::NotIp)),
        ("802.11, no data", Ieee80211, "4801 0000".to_owned(), Err(Skip::NotIp)),
        ("PKTAP in PKTAP", Pktap, "6c000000 01000000 02010000".to_owned(), Err(Skip::NotIp)),
        ("NFLOG of ARP", Nflog, "03000000".to_owned(), Err(Skip::NotIp)),
        ("an attribute without a length", Nflog, "02000000 0000 0100".to_owned(), Err(Skip::NotIp)),
        (
            "more attributes than there are",
            Nflog,
            format!("02000000 {} 0800 0900 {dns4}", "0400 0100".repeat(32)),
            Err(Skip::NotIp),
        ),
        ("IPX", Null, format!("17000000 ffff {}", "00".repeat(28)), Err(Skip::NotIp)),
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
            "five layers",
            Ethernet,
            format!("{MACS} {} 0800 {dns4}", "892f 00200007".repeat(5)),
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
fn parse_plain_takes_plain_frames_and_leaves_the_others() {
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
            gomon_common::parse_plain(&frame[..]),
            parse(LinkType::Ethernet, &frame[..]).ok()
        );
        assert!(gomon_common::parse_plain(&frame[..]).is_some());
    }
    for frame in [v4(1, 0x45), v4(17, 0x46), v4(17, 0x65)] {
        assert_eq!(gomon_common::parse_plain(&frame[..]), None);
    }
}

//! Command lines that are wrong: status 2, one line, and nothing started.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::support::program::{Scratch, gomon};
use crate::traffic::{BOT, beacon, file, refusal};

#[test]
fn a_wrong_value_is_refused_with_its_flag_the_reason_and_what_to_give() {
    let scratch = Scratch::new();
    let capture = scratch.file("beacon.pcap", &file(&beacon(1)));
    let capture = capture.to_str().unwrap();
    for (flag, value, why) in [
        ("--window", "0", "out of range"),
        ("--window", "-1", "not a length of time"),
        ("--window", "abc", "not a length of time"),
        ("--window", "1us", "out of range"),
        ("--window", "400days", "out of range"),
        ("--window", "", "not a length of time"),
        ("--window", "99999999999999999999", "out of range"),
        ("--window", "0.0009", "out of range"),
        ("--window", "1.0000000001", "out of range"),
        ("--window", "31622400.000000001", "out of range"),
        ("--window", "18446744073709551615s 1000000000ns", "out of range"),
        ("--window", "nan", "not a length of time"),
        ("--window", "inf", "not a length of time"),
        ("--window", "1e3", "not a length of time"),
        ("--window", "-0.5", "not a length of time"),
        ("--window", ".", "not a length of time"),
        ("--window", "1.2.3", "not a length of time"),
        ("--window", "0,5", "not a length of time"),
        ("--step", "nan", "not a length of time"),
        ("--step", "0.7", "does not divide the window of 30s"),
        ("--step", "7", "does not divide the window of 30s"),
        ("--step", "60", "does not divide the window of 30s"),
        ("--step", "0", "out of range"),
        ("--step", "1ms", "less than a 1000th of the window"),
        ("--packet-threshold", "0", "not more than 0"),
        ("--packet-threshold", "-3", "not more than 0"),
        ("--packet-threshold", "NaN", "not a finite number"),
        ("--packet-threshold", "inf", "not a finite number"),
        ("--packet-threshold", "5/hour", "unknown unit \"hour\""),
        ("--packet-threshold", "five", "not a number"),
        ("--destination-threshold", "0", "not more than 0"),
        ("--destination-threshold", "-1", "not more than 0"),
        ("--destination-threshold", "nan/window", "not a finite number"),
        ("--destination-threshold", "1e999", "not a finite number"),
        ("--destination-threshold", "5/", "unknown unit \"\""),
        ("--port-threshold", "-1", "not more than 0"),
        ("--port-threshold", "NaN", "not a finite number"),
        ("--port-threshold", "1/min", "unknown unit \"min\""),
        ("--scan-detection-mode", "fast", "host-rate, new-host-rate, filtered-host-rate"),
        ("--scan-detection-mode", "", "host-rate, new-host-rate, filtered-host-rate"),
        ("--sweep-detection", "maybe", "on, off"),
        ("--sweep-hosts", "0", "not a number from 1 to "),
        ("--sweep-hosts", "-1", "not a number from 1 to "),
        ("--sweep-hosts", "a dozen", "not a number from 1 to "),
        ("--ignore-dst", "10.0.0.0/33", "not an address or a prefix"),
        ("--ignore-dst", "8.8.8.8,dns.example", "not an address or a prefix"),
        ("--c2-ip", "c2.example", "not an IP address"),
        ("--c2-ip", "192.0.2.0/24", "not an IP address"),
        ("--max-destinations", "0", "not a number from 1 to "),
        ("--max-destinations", "-1", "not a number from 1 to "),
        ("--max-destinations", "1e3", "not a number from 1 to "),
        ("--save-packets", "-1", "not a number from 0 to "),
        ("--save-packets", "many", "not a number from 0 to "),
        ("--connections", "maybe", "flow, alert, off"),
        ("--attach", "usb", "auto, xdp, xdp-generic, tc, pcap"),
        ("--log-level", "loud", "debug, info, warn, error"),
        ("--capture-dir", "", "empty"),
        ("--eve-log-path", "unix://relative", "not an absolute path"),
        ("--eve-log-path", "unix://", "not an absolute path"),
        ("--eve-log-path", "redis://127.0.0.1", "unknown scheme \"redis\""),
        ("--eve-log-path", "file:///tmp/eve.json", "unknown scheme \"file\""),
    ] {
        let run = gomon([capture, BOT, flag, value]);
        let error = refusal(&run);
        if !value.is_empty() {
            assert!(error.starts_with(&format!("reading {flag} {value:?}: ")), "{error}");
        }
        assert!(error.contains(why), "{flag} {value}: {error}");
        assert!(error.contains(": give "), "{error}");
    }
}

#[test]
fn a_wrong_value_of_the_deprecated_alias_is_refused_too() {
    let run = gomon(["x.pcap", BOT, "--destination-rate-mode", "fast"]);
    assert!(refusal(&run).contains("\"fast\": unknown: give one of host-rate"));
}

#[test]
fn a_wrong_source_address_is_refused() {
    for source in ["", ",", "10.0.0.5,", "banana", "10.0.0.256", "10.0.0.5/24", "10.0.0.5 10.0.0.6"]
    {
        let run = gomon(["x.pcap", source]);
        let expected = format!("reading SRC_IP {source:?}: not an IP address: give one like ");
        assert!(refusal(&run).starts_with(&expected), "{}", run.stderr);
    }
}

#[test]
fn unknown_or_missing_arguments_are_refused_without_a_usage_text() {
    for (args, what) in [
        (&["x.pcap"][..], "<SRC_IP>"),
        (&["x.pcap", BOT, "extra"], "'extra'"),
        (&["x.pcap", BOT, "--nonsense"], "'--nonsense'"),
        (&["x.pcap", BOT, "-z"], "'-z'"),
        (&["x.pcap", BOT, "--window"], "'--window <TIME>'"),
        (&["x.pcap", BOT, "--quiet=yes"], "'yes'"),
        (&["x.pcap", BOT, "--windo", "3"], "'--windo'"),
        (&["help"], "<SRC_IP>"),
    ] {
        let run = gomon(args);
        let error = refusal(&run);
        assert!(error.starts_with("reading the command line: "), "{error}");
        assert!(error.contains(what), "{error}");
        assert!(error.ends_with(": see gomon --help"), "{error}");
    }
}

#[test]
fn control_characters_in_arguments_are_escaped_in_errors() {
    let nasty = "3\n\x1b[31m\r\t0\u{7f}\u{9b}2J";
    let flag = format!("--{nasty}");
    for args in [
        &["x.pcap", BOT, "--window", nasty][..],
        &["x.pcap", BOT, "--packet-threshold", nasty],
        &["x.pcap", BOT, "--packet-threshold", &format!("5/{nasty}")],
        &["x.pcap", BOT, "--ignore-dst", nasty],
        &["x.pcap", BOT, "--eve-log-path", &format!("unix://{nasty}")],
        &["x.pcap", nasty],
        &["x.pcap", BOT, nasty],
        &["x.pcap", BOT, &flag],
        &[nasty, BOT],
        &[&format!("{nasty}/below"), BOT],
    ] {
        refusal(&gomon(args));
    }
}

#[test]
fn text_that_is_not_unicode_and_a_path_that_does_not_exist_are_refused() {
    let bytes = OsStr::from_bytes(b"\xff\xfe");
    let bot = OsStr::new(BOT);
    refusal(&gomon([OsStr::new("x.pcap"), bytes]));
    refusal(&gomon([OsStr::new("x.pcap"), bot, OsStr::new("--sample-id"), bytes]));
    refusal(&gomon([bytes, bot]));
}

//! The values that flags accept.

use crate::support::program::{Outcome, Scratch, gomon};
use crate::support::{
    capture::at,
    frames::{ip, udp},
};
use crate::traffic::{BOT, beacon, file, flood, packet, signatures, sweep};

const SCAN: u64 = 2_100_002;

/// The value of a setting in the configuration block.
#[track_caller]
fn setting<'a>(run: &'a Outcome, name: &str) -> &'a str {
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let name = format!("  {name}: ");
    run.line(&name).strip_prefix(&name).unwrap()
}

#[test]
fn values_are_accepted_in_every_documented_form() {
    let scratch = Scratch::new();
    let capture = scratch.file("beacon.pcap", &file(&beacon(1)));
    let capture = capture.to_str().unwrap();
    for (flag, value, shown) in [
        ("--window", "45", "45s"),
        ("--window", "30s", "30s"),
        ("--window", "500ms", "500ms"),
        ("--window", "0.5", "500ms"),
        ("--window", ".5", "500ms"),
        ("--window", " 0.2 ", "200ms"),
        ("--window", "1.5s", "1s 500ms"),
        ("--window", ".25m", "15s"),
        ("--window", "1.000000001", "1s 1ns"),
        ("--window", "2m", "2m"),
        ("--step", "10", "10s"),
        ("--step", "500ms", "500ms"),
        ("--step", "0.25", "250ms"),
        ("--packet-threshold", "0.5", "0.5 packets/s (15 packets/window)"),
        ("--packet-threshold", "150/window", "5 packets/s (150 packets/window)"),
        ("--packet-threshold", "7/s", "7 packets/s (210 packets/window)"),
        ("--destination-threshold", "10/s", "300 hosts/window (10 hosts/s)"),
        ("--destination-threshold", "20/window", "20 hosts/window (0.67 hosts/s)"),
        ("--port-threshold", "10/s", "300 ports/window (10 ports/s)"),
        ("--port-threshold", "0", "off"),
        ("--port-threshold", "0/s", "off"),
        ("--scan-detection-mode", " New-Host-Rate ", "new-host-rate"),
        ("--ignore-dst", "8.8.8.8, 2001:DB8::/32", "8.8.8.8/32, 2001:db8::/32"),
        ("--ignore-dst", "", "<none>"),
        ("--ignore-dst", ",", "<none>"),
        ("--c2-ip", "::ffff:203.0.113.50", "203.0.113.50"),
        ("--c2-ip", "", "<none>"),
        ("--sample-id", "", "<none>"),
        ("--connections", "OFF", "off"),
        ("--log-level", "warning", "warn"),
    ] {
        let run = gomon([capture, BOT, flag, value]);
        assert_eq!(setting(&run, flag.trim_start_matches('-')), shown, "{flag} {value}");
    }
}

#[test]
fn the_last_value_of_a_repeated_flag_wins_and_lists_add_up() {
    let scratch = Scratch::new();
    let capture = scratch.file("beacon.pcap", &file(&beacon(3)));
    let capture = capture.to_str().unwrap();
    let twice = "--window 9 --step 3 --window=1 --step=1 --packet-threshold 1 --packet-threshold 2 \
                 --eve-strict --eve-strict --eve-log-path /nowhere/x --eve-log-path - \
                 --ignore-dst 8.8.8.8 --ignore-dst 9.9.9.9,1.1.1.1 --c2-ip 7.7.7.7 --c2-ip 6.6.6.6";
    let run = gomon([capture, BOT].into_iter().chain(twice.split_whitespace()));
    for (name, value) in [
        ("window", "1s"),
        ("step", "1s"),
        ("packet-threshold", "2 packets/s (2 packets/window)"),
        ("eve-strict", "true"),
        ("eve-log-path", "stdout"),
        ("ignore-dst", "8.8.8.8/32, 9.9.9.9/32, 1.1.1.1/32"),
        ("c2-ip", "7.7.7.7, 6.6.6.6"),
    ] {
        assert_eq!(setting(&run, name), value);
    }
    // Three windows, and the record that closes the run, which in the strict form has no mark for that.
    assert_eq!(run.records().len(), 3 + 1);
}

#[test]
fn an_empty_address_or_name_is_none() {
    let scratch = Scratch::new();
    let capture = scratch.file("beacon.pcap", &file(&beacon(1)));
    let capture = capture.to_str().unwrap();
    // As a template with nothing to fill in leaves them, with and without quotes.
    for (flags, [ignored, c2, sample]) in [
        (&["--c2-ip", "--sample-id", "x"][..], ["<none>", "<none>", "x"]),
        (&["--c2-ip", "", "--sample-id", ""], ["<none>", "<none>", "<none>"]),
        (&["--c2-ip=", "--ignore-dst=", "--sample-id="], ["<none>", "<none>", "<none>"]),
        (&["--ignore-dst", "--c2-ip", "--sample-id"], ["<none>", "<none>", "<none>"]),
        (&["-x", "-c", "192.0.2.9"], ["<none>", "192.0.2.9", "<none>"]),
        (&["--c2-ip", "--c2-ip", "192.0.2.9"], ["<none>", "192.0.2.9", "<none>"]),
        (&["--sample-id", "x", "--c2-ip"], ["<none>", "<none>", "x"]),
        (&["--sample-id", "-", "--c2-ip", "192.0.2.9"], ["<none>", "192.0.2.9", "-"]),
    ] {
        for run in [
            gomon([capture, BOT].iter().chain(flags)),
            gomon(flags.iter().copied().chain(["-q", capture, BOT])),
        ] {
            assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{flags:?}");
            assert_eq!(run.records().len(), 1, "{flags:?}");
            if run.stderr.contains("Configuration:") {
                assert_eq!(setting(&run, "ignore-dst"), ignored, "{flags:?}");
                assert_eq!(setting(&run, "c2-ip"), c2, "{flags:?}");
                assert_eq!(setting(&run, "sample-id"), sample, "{flags:?}");
            }
            let named = &run.records()[0]["host"];
            assert_eq!(named.as_str().unwrap_or("<none>"), sample, "{flags:?}");
        }
    }
}

#[test]
fn the_deprecated_alias_works_and_warns() {
    let scratch = Scratch::new();
    // Eleven hosts, one of them attacked.
    let mut frames = sweep(11);
    frames.extend(flood(200));
    let capture = scratch.file("mixed.pcap", &file(&frames));
    let capture = capture.to_str().unwrap();
    let scans = |flags: &[&str]| {
        let run = gomon([capture, BOT].iter().chain(flags));
        let scans = signatures(&run.records()).iter().filter(|id| **id == SCAN).count();
        let warning = "--destination-rate-mode is deprecated: use --scan-detection-mode";
        let warned = run.stderr.lines().filter(|line| line.ends_with(warning)).count();
        (setting(&run, "scan-detection-mode").to_owned(), scans, warned)
    };
    let (old, new) = ("--destination-rate-mode", "--scan-detection-mode");
    assert_eq!(scans(&[]), ("filtered-host-rate".into(), 0, 0));
    assert_eq!(scans(&[new, "host-rate"]), ("host-rate".into(), 1, 0));
    assert_eq!(scans(&[old, "host-rate"]), ("host-rate".into(), 1, 1));
    assert_eq!(scans(&[new, "new-host-rate", old, "host-rate"]), ("host-rate".into(), 1, 1));
    let (mode, ..) = scans(&[old, "host-rate", new, "filtered-host-rate"]);
    assert_eq!(mode, "filtered-host-rate", "the last one wins under either name");
}

#[test]
fn the_bot_may_be_any_form_of_an_address_several_addresses_or_any() {
    let scratch = Scratch::new();
    let foreign = udp(ip("10.9.9.9"), ip("192.0.2.1"), 443, 0);
    let six = udp(ip("2001:db8::5"), ip("2001:db8::99"), 443, 0);
    let frames = [at(0, packet(1, 443)), at(1, foreign), at(2, six)];
    let capture = scratch.file("three.pcap", &file(&frames));
    let capture = capture.to_str().unwrap();
    for (source, packets, carried) in [
        ("10.0.0.5", 1, "10.0.0.5"),
        ("::ffff:10.0.0.5", 1, "10.0.0.5"),
        ("::FFFF:0a00:0005", 1, "10.0.0.5"),
        ("2001:0DB8:0:0::5", 1, "2001:db8::5"),
        ("2001:db8::5,10.0.0.5", 2, "2001:db8::5"),
        (" 10.0.0.5 , 10.9.9.9,10.0.0.5", 2, "10.0.0.5"),
        ("any", 3, "0.0.0.0"),
    ] {
        let run = gomon([capture, source]);
        assert_eq!(run.status, Some(0), "{}", run.stderr);
        let counted = format!(" = {packets} counted + {} not from the bot ", 3 - packets);
        assert!(run.line("Ledger: ").contains(&counted), "{source}: {}", run.line("Ledger: "));
        assert_eq!(run.records()[0]["src_ip"], carried, "{source}");
    }
}

#[test]
fn the_log_level_silences_what_is_less_severe() {
    let scratch = Scratch::new();
    let capture = scratch.file("beacon.pcap", &file(&beacon(2)));
    let capture = capture.to_str().unwrap();
    // Calibration logs its windows at info level, and warns about an address that sends nothing.
    for (level, information, warnings) in
        [("debug", 1, 1), ("info", 1, 1), ("warn", 0, 1), ("error", 0, 0)]
    {
        let run = gomon([capture, "10.0.0.9", "--calibrate", "--log-level", level]);
        let lines = |mark: &str| run.stderr.lines().filter(|line| line.contains(mark)).count();
        assert_eq!((lines(" INFO "), lines(" WARN ")), (information, warnings), "{level}");
    }
}

//! Sweeps on an interface: what answers is seen in what the bot sends next, and in what goes out to it.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{BOT, attached, finish, net};
use crate::support::frames::{ack, ip, syn, udp};
use crate::support::net::{BOT_END, Net, until};
use crate::support::program::{Scratch, gomon};
use crate::support::running::Running;
use crate::support::tools::{Tool, have};

const MODES: [&str; 4] = ["xdp", "xdp-generic", "tc", "pcap"];
const HOSTS: u8 = 20;
/// A sweep is named when all hosts are decided, and not before.
const ARGS: &str = "--show-idle --packet-threshold 1e9 --destination-threshold 1e9 \
     --connections off --sweep-hosts 20";

fn host(number: u8) -> std::net::IpAddr {
    ip(&format!("198.51.100.{number}"))
}

fn syns(port: u16) -> Vec<Vec<u8>> {
    (1..=HOSTS).map(|n| syn(ip(BOT), host(n), port)).collect()
}

fn acks(hosts: impl IntoIterator<Item = u8>, port: u16) -> Vec<Vec<u8>> {
    hosts.into_iter().map(|n| ack(ip(BOT), host(n), port)).collect()
}

fn datagrams(port: u16) -> Vec<Vec<u8>> {
    (1..=HOSTS).map(|n| udp(ip(BOT), host(n), port, 8)).collect()
}

/// What comes back to the port that the datagrams come from.
fn replies(hosts: impl IntoIterator<Item = u8>, port: u16) -> Vec<Vec<u8>> {
    let back = |n| {
        let mut frame = udp(host(n), ip(BOT), 40000, 8);
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame
    };
    hosts.into_iter().map(back).collect()
}

/// Protocol, port, and how many hosts were tried and answered.
type Sweep = (String, u64, u64, u64);

fn sweep(record: &Value) -> Option<Sweep> {
    let own = &record["metadata"]["gomon"];
    let number = |name: &str| own[name].as_u64().expect("a number");
    (own["classification"] == "sweep").then(|| {
        let protocol = own["proto"].as_str().expect("a name").to_owned();
        (protocol, number("dest_port"), number("contacts"), number("answered"))
    })
}

/// Reads records until there are so many sweeps.
fn sweeps(gomon: &mut Running, number: usize) -> Vec<Sweep> {
    let mut found = Vec::new();
    while found.len() < number {
        found.extend(sweep(&gomon.record()));
    }
    found.sort();
    found
}

/// A capture of both directions of the wire, at its other end. In immediate mode tcpdump has a slot a
/// frame, as large as the largest: of small ones there are enough.
fn witness(net: &Net, scratch: &Scratch) -> Tool {
    let mut tcpdump = net.bot_command("tcpdump");
    tcpdump
        .args(["-Z", "root", "-s", "256", "-i", BOT_END, "-U", "--immediate-mode", "-w"])
        .arg(scratch.path().join("seen.pcap"));
    let mut witness = Tool::start(&mut tcpdump);
    until("tcpdump listens", || {
        assert!(!witness.has_ended(), "{}", witness.stderr());
        witness.stderr().contains("listening on")
    });
    witness
}

#[test]
fn live_a_net_where_one_host_in_ten_answers_is_swept_as_in_a_replay() {
    for mode in MODES {
        let Some(net) = net().filter(|_| have("tcpdump")) else { return };
        let scratch = Scratch::new();
        let witness = witness(&net, &scratch);
        let mut gomon = attached(&net, BOT, &format!("{ARGS} --window 1s --attach {mode}"));
        net.send(&[syns(23), datagrams(161)].concat());
        net.send(&acks([7, 17], 23));
        net.answer(&replies([7, 17], 161));
        // Neither of these answers anything.
        net.answer(&[replies([3], 162), replies([99], 161)].concat());
        let found = sweeps(&mut gomon, 2);
        let expected = |protocol: &str, port| (protocol.to_owned(), port, u64::from(HOSTS), 2);
        assert_eq!(found, [expected("TCP", 23), expected("UDP", 161)], "{mode}");
        // Of the capture, too, the hosts are decided.
        net.send(&datagrams(9)[..1]);
        let path = scratch.path().join("seen.pcap");
        let path = path.to_str().expect("a path");
        until("all is captured", || {
            let run = gomon_on(path);
            run.stderr.contains("Ledger: 47 frames seen")
        });
        drop(witness);
        gomon.signal("INT");
        finish(gomon);
        let replayed = gomon_on(path).records();
        let mut replayed: Vec<_> = replayed.iter().filter_map(sweep).collect();
        replayed.sort();
        assert_eq!(found, replayed, "{mode}");
    }
}

fn gomon_on(path: &str) -> crate::support::program::Outcome {
    gomon([path, BOT].into_iter().chain(ARGS.split_whitespace()).chain(["--window", "1s"]))
}

#[test]
fn live_a_busy_client_whose_hosts_all_answer_is_not_named() {
    for mode in MODES {
        let Some(net) = net() else { return };
        let mut gomon = attached(&net, BOT, &format!("{ARGS} --window 1s --attach {mode}"));
        net.send(&[syns(443), datagrams(53)].concat());
        net.send(&acks(1..=HOSTS, 443));
        net.answer(&replies(1..=HOSTS, 53));
        // One port more, on which nobody answers: when it is named, all are decided.
        net.send(&syns(23));
        let found = sweeps(&mut gomon, 1);
        assert_eq!((found[0].0.as_str(), found[0].1, found[0].3), ("TCP", 23, 0), "{mode}");
        gomon.signal("INT");
        let run = finish(gomon);
        assert!(run.line("Summary: ").contains(" 1 sweep alert(s), "), "{mode}: {}", run.stderr);
    }
}

/// Contacts are made in one window and answered in a later one, the next or one after that.
#[test]
fn live_answers_across_windows_are_answers() {
    for (mode, window) in MODES.into_iter().flat_map(|mode| [(mode, "500ms"), (mode, "150ms")]) {
        let Some(net) = net() else { return };
        let mut gomon = attached(&net, BOT, &format!("{ARGS} --window {window} --attach {mode}"));
        let mut port = 1000;
        loop {
            let begun = Instant::now();
            port += 1;
            net.send(&[syns(port), datagrams(port)].concat());
            let mut counted = 0;
            while counted < 2 * u64::from(HOSTS) {
                let record = gomon.record();
                counted += record["metadata"]["gomon"]["ledger"]["counted"].as_u64().unwrap_or(0);
            }
            // The window is over, and the record of it read.
            net.send(&acks(1..=HOSTS, port));
            net.answer(&replies(1..=HOSTS, port));
            // On a machine that was slow, the answers may have come too late.
            if begun.elapsed() < Duration::from_secs(2) {
                break;
            }
        }
        // The bot goes on; the answers count for what was tried first.
        net.send(&datagrams(port)[..3]);
        net.send(&[syns(23), datagrams(161)].concat());
        let found = sweeps(&mut gomon, 2);
        let named: Vec<_> = found.iter().map(|(_, port, ..)| *port).collect();
        assert_eq!(named, [23, 161], "{mode} {window}: {found:?}");
        gomon.signal("INT");
        let run = finish(gomon);
        let late = run.records().iter().filter_map(sweep).find(|sweep| sweep.1 == u64::from(port));
        assert_eq!(late, None, "{mode} {window}");
    }
}

#[test]
fn live_with_sweep_detection_off_nothing_is_named() {
    let Some(net) = net() else { return };
    let mut gomon =
        attached(&net, BOT, &format!("{ARGS} --window 1s --attach xdp --sweep-detection off"));
    net.send(&[syns(23), datagrams(161)].concat());
    let mut windows = 0;
    while windows < 6 {
        let record = gomon.record();
        assert_eq!(sweep(&record), None);
        windows += u64::from(record["event_type"] == "stats");
    }
    gomon.signal("INT");
    let run = finish(gomon);
    assert!(run.line("Summary: ").contains(" 0 sweep alert(s), "), "{}", run.stderr);
}

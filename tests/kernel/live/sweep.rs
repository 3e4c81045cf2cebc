//! Sweep detection on an interface: a TCP reply shows in the bot's next packet, a UDP reply in the
//! packets to the bot.

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
/// A sweep is reported only when all hosts are decided.
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

/// Replies to the source port of the datagrams.
fn replies(hosts: impl IntoIterator<Item = u8>, port: u16) -> Vec<Vec<u8>> {
    let back = |n| {
        let mut frame = udp(host(n), ip(BOT), 40000, 8);
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame
    };
    hosts.into_iter().map(back).collect()
}

/// Protocol, port, and the numbers of hosts that were contacted and that answered.
type Sweep = (String, u64, u64, u64);

fn sweep(record: &Value) -> Option<Sweep> {
    let own = &record["metadata"]["gomon"];
    let number = |name: &str| own[name].as_u64().expect("a number");
    (own["classification"] == "sweep").then(|| {
        let protocol = own["proto"].as_str().expect("a name").to_owned();
        (protocol, number("dest_port"), number("contacts"), number("answered"))
    })
}

/// Reads records until there are `number` sweeps.
fn sweeps(gomon: &mut Running, number: usize) -> Vec<Sweep> {
    let mut found = Vec::new();
    while found.len() < number {
        found.extend(sweep(&gomon.record()));
    }
    found.sort();
    found
}

/// Captures both directions at the other end of the veth pair. In immediate mode the buffer has a slot
/// per frame, each as large as the snap length, so a short snap length leaves enough slots.
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
fn live_sweep_with_one_reply_in_ten_is_reported_as_in_a_replay() {
    for mode in MODES {
        let Some(net) = net().filter(|_| have("tcpdump")) else { return };
        let scratch = Scratch::new();
        let witness = witness(&net, &scratch);
        let mut gomon = attached(&net, BOT, &format!("{ARGS} --window 1s --attach {mode}"));
        net.send(&[syns(23), datagrams(161)].concat());
        net.send(&acks([7, 17], 23));
        net.answer(&replies([7, 17], 161));
        // Neither of these is a reply to an attempt.
        net.answer(&[replies([3], 162), replies([99], 161)].concat());
        let found = sweeps(&mut gomon, 2);
        let expected = |protocol: &str, port| (protocol.to_owned(), port, u64::from(HOSTS), 2);
        assert_eq!(found, [expected("TCP", 23), expected("UDP", 161)], "{mode}");
        // The capture needs a later packet too, to decide the hosts.
        net.send(&datagrams(9)[..1]);
        let path = scratch.path().join("seen.pcap");
        let path = path.to_str().expect("a path");
        until("all frames are captured", || {
            let run = replay_file(path);
            run.stderr.contains("Ledger: 47 frames seen")
        });
        drop(witness);
        gomon.signal("INT");
        finish(gomon);
        let replayed = replay_file(path).records();
        let mut replayed: Vec<_> = replayed.iter().filter_map(sweep).collect();
        replayed.sort();
        assert_eq!(found, replayed, "{mode}");
    }
}

fn replay_file(path: &str) -> crate::support::program::Outcome {
    gomon([path, BOT].into_iter().chain(ARGS.split_whitespace()).chain(["--window", "1s"]))
}

#[test]
fn live_busy_client_whose_hosts_all_answer_is_not_reported() {
    for mode in MODES {
        let Some(net) = net() else { return };
        let mut gomon = attached(&net, BOT, &format!("{ARGS} --window 1s --attach {mode}"));
        net.send(&[syns(443), datagrams(53)].concat());
        net.send(&acks(1..=HOSTS, 443));
        net.answer(&replies(1..=HOSTS, 53));
        // Another port without replies: once its sweep is reported, the hosts of the other ports are
        // decided too.
        net.send(&syns(23));
        let found = sweeps(&mut gomon, 1);
        assert_eq!((found[0].0.as_str(), found[0].1, found[0].3), ("TCP", 23, 0), "{mode}");
        gomon.signal("INT");
        let run = finish(gomon);
        assert!(run.line("Summary: ").contains(" 1 sweep alert(s), "), "{mode}: {}", run.stderr);
    }
}

/// Contacts are attempted in one window and answered in a later one, which may not be the next.
#[test]
fn live_replies_in_later_windows_count() {
    for (mode, window) in MODES.into_iter().flat_map(|mode| [(mode, "500ms"), (mode, "150ms")]) {
        let Some(net) = net() else { return };
        let mut gomon = attached(&net, BOT, &format!("{ARGS} --window {window} --attach {mode}"));
        let mut port = 1000;
        loop {
            let started = Instant::now();
            port += 1;
            net.send(&[syns(port), datagrams(port)].concat());
            let mut counted = 0;
            while counted < 2 * u64::from(HOSTS) {
                let record = gomon.record();
                counted += record["metadata"]["gomon"]["ledger"]["counted"].as_u64().unwrap_or(0);
            }
            // The window has ended, and its record has been read.
            net.send(&acks(1..=HOSTS, port));
            net.answer(&replies(1..=HOSTS, port));
            // On a slow machine, the replies may have been too late.
            if started.elapsed() < Duration::from_secs(2) {
                break;
            }
        }
        // The bot sends more datagrams. The replies count for the first attempts.
        net.send(&datagrams(port)[..3]);
        net.send(&[syns(23), datagrams(161)].concat());
        let found = sweeps(&mut gomon, 2);
        let ports: Vec<_> = found.iter().map(|(_, port, ..)| *port).collect();
        assert_eq!(ports, [23, 161], "{mode} {window}: {found:?}");
        gomon.signal("INT");
        let run = finish(gomon);
        let late = run.records().iter().filter_map(sweep).find(|sweep| sweep.1 == u64::from(port));
        assert_eq!(late, None, "{mode} {window}");
    }
}

#[test]
fn live_sweep_detection_off_reports_no_sweeps() {
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

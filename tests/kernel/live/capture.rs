//! Counting with libpcap: frames are buffered, and can be lost when the buffer is full.

use std::fs;
use std::process::Command;
use std::slice;

use rustix::process::{Pid, Signal, kill_process};

use super::load::{self, Sums, lost};
use super::{BOT, LONG, PCAP, attached, finish, net, packet, until_counted};
use crate::support::frames::{ip, udp};
use crate::support::net::{TAP, until};
use crate::support::program::{Scratch, run};
use crate::support::running::Running;
use crate::support::tools::{Tool, checked, have};

/// Stops a process with SIGSTOP, so that it reads nothing.
fn pause(gomon: &Running) {
    gomon.signal("STOP");
    let stat = format!("/proc/{}/stat", gomon.id());
    until("the process is stopped", || {
        let stat = fs::read_to_string(&stat).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
    });
}

#[test]
fn live_libpcap_counts_buffered_frames_of_a_removed_interface() {
    for count in [1, 1000] {
        let Some(net) = net() else { return };
        let gomon = attached(&net, BOT, &format!("{LONG} {PCAP}"));
        pause(&gomon);
        net.send(&vec![packet(1, 80); count]);
        until("all frames have arrived", || net.arrived() == count as u64);
        net.ip(["link", "del", TAP]);
        gomon.signal("CONT");
        let run = finish(gomon);
        let expected = format!("Ledger: {count} frames seen = {count} counted ");
        assert!(run.line("Ledger: ").starts_with(&expected), "{}", run.stderr);
        assert_eq!(run.line("Attached: "), "Attached: libpcap on vnet0, 0 lost");
    }
}

#[test]
fn live_libpcap_counts_buffered_frames_after_a_signal() {
    let Some(net) = net() else { return };
    for signal in ["INT", "TERM"] {
        let before = net.arrived();
        let gomon = attached(&net, BOT, &format!("{LONG} {PCAP}"));
        pause(&gomon);
        net.send(&vec![packet(1, 80); 1000]);
        until("all frames have arrived", || net.arrived() == before + 1000);
        gomon.signal(signal);
        gomon.signal("CONT");
        let run = finish(gomon);
        assert!(run.line("Ledger: ").starts_with("Ledger: 1000 frames seen = 1000 counted "));
    }
}

#[test]
fn live_libpcap_counts_frames_captured_just_before_a_signal() {
    let Some(net) = net().filter(|_| have("tcpdump")) else { return };
    // Reports captured frames without delay.
    let mut witness = net.command("tcpdump");
    witness.args(["--immediate-mode", "-l", "-nn", "-i", TAP]);
    let mut witness = Tool::start(&mut witness);
    let scratch = Scratch::new();
    until("tcpdump captures", || {
        assert!(!witness.has_ended(), "{}", witness.stderr());
        net.captures() == 1
    });
    for _ in 0..10 {
        let gomon = attached(&net, BOT, &format!("{LONG} {PCAP}"));
        let sender = net.sender(&scratch, &[packet(1, 80)], 1);
        assert!(witness.line().is_some(), "{}", witness.stderr());
        // The kernel probably still holds the frame back from gomon.
        let process = Pid::from_raw(gomon.id().cast_signed()).unwrap();
        kill_process(process, Signal::INT).unwrap();
        sender.finish();
        let run = finish(gomon);
        assert!(run.line("Ledger: ").starts_with("Ledger: 1 frames seen = 1 counted "));
    }
}

#[test]
fn live_libpcap_reports_losses_and_the_ledger_balances() {
    const FRAMES: u16 = 1000;
    const TIMES: u32 = 1000;
    let Some(net) = net() else { return };
    let mut gomon = attached(&net, BOT, &format!("{} {PCAP}", load::SHORT));
    let frames = vec![packet(1, 80); FRAMES.into()];
    let scratch = Scratch::new();
    // Send more than fits into the buffer while gomon reads nothing.
    pause(&gomon);
    net.sender(&scratch, &frames, TIMES).finish();
    gomon.signal("CONT");
    let arrived = net.arrived();
    let mut sums = Sums::default();
    while sums.frames + sums.lost < arrived {
        sums.add(&gomon.record());
    }
    // After that, no more frames are lost.
    net.send(&frames);
    gomon.signal("INT");
    let run = finish(gomon);
    for record in run.records() {
        sums.add(&record);
    }
    let arrived = net.arrived();
    println!("{} of {arrived} frames lost", sums.lost);
    assert!(sums.lost > 0, "the buffer was large enough for {arrived} frames");
    assert!(sums.frames > 50_000, "{} frames fit into the buffer", sums.frames);
    assert_eq!(sums.frames + sums.lost, arrived);
    assert_eq!(lost(&run), sums.lost);
    let expected = format!("Ledger: {0} frames seen = {0} counted ", sums.frames);
    assert!(run.line("Ledger: ").starts_with(&expected), "{}", run.stderr);
}

#[test]
fn live_libpcap_continues_after_the_interface_was_down() {
    let Some(net) = net() else { return };
    let mut gomon = attached(&net, BOT, &format!("{LONG} {PCAP}"));
    net.send(&[packet(1, 80)]);
    until_counted(&mut gomon, 1);
    net.ip(["link", "set", TAP, "down"]);
    net.ip(["link", "set", TAP, "up"]);
    net.until_up();
    net.send(&[packet(1, 80)]);
    until_counted(&mut gomon, 2);
    gomon.signal("INT");
    assert!(finish(gomon).line("Ledger: ").starts_with("Ledger: 2 frames seen = 2 counted "));
}

#[test]
fn live_libpcap_rejects_an_interface_that_is_down() {
    let Some(net) = net() else { return };
    net.ip(["link", "set", TAP, "down"]);
    let run = run(&mut net.gomon(BOT, PCAP));
    assert_eq!(run.status, Some(1), "{}", run.stderr);
    let expected =
        "gomon: attaching to vnet0: libpcap: That device is not up: run: ip link set vnet0 up";
    assert_eq!(run.errors(), [expected]);
}

#[test]
fn live_libpcap_artifacts_have_both_directions_in_order_but_the_ledger_only_one() {
    let Some(net) = net().filter(|_| have("tcpdump")) else { return };
    let scratch = Scratch::new();
    let directory = scratch.path().display().to_string();
    let saved =
        format!("--save-packets 1000 --packet-threshold 5/window --capture-dir {directory}");
    let mut gomon = attached(&net, BOT, &format!("{LONG} {PCAP} {saved}"));
    let reply = udp(ip("192.0.2.1"), ip(BOT), 40000, 0);
    // The buffers of the two directions are read one after the other.
    pause(&gomon);
    for _ in 0..10 {
        net.answer(slice::from_ref(&reply));
        net.send(&[packet(1, 80)]);
    }
    gomon.signal("CONT");
    until_counted(&mut gomon, 10);
    gomon.signal("INT");
    let run = finish(gomon);
    assert_eq!(run.line("Ledger: "), {
        let none = "0 not from the bot + 0 ignored + 0 not IP + 0 malformed";
        let rest = "0 late, 0 with an implausible timestamp, 0 packets in overflow";
        format!("Ledger: 10 frames seen = 10 counted + {none}; {rest}")
    });
    let names = scratch.names(".");
    assert_eq!(names.len(), 1, "{names:?}");
    let mut tcpdump = Command::new("tcpdump");
    tcpdump.args(["-tt", "-nn", "-r"]).arg(scratch.path().join(&names[0]));
    let listing = checked(&mut tcpdump);
    let lines: Vec<Vec<&str>> =
        listing.lines().map(|line| line.split_whitespace().collect()).collect();
    let times: Vec<_> = lines.iter().map(|line| line[0]).collect();
    assert!(times.is_sorted(), "{listing}");
    let sources: Vec<_> = lines.iter().map(|line| line[2]).collect();
    let (bot, host) = (format!("{BOT}."), "192.0.2.1.");
    let expected: Vec<_> = [host, bot.as_str()].repeat(10);
    assert_eq!(sources.len(), expected.len(), "{listing}");
    let is_alternating =
        sources.iter().zip(expected).all(|(source, start)| source.starts_with(start));
    assert!(is_alternating, "the two hosts alternate:\n{listing}");
}

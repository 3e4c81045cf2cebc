//! What is special about counting through libpcap: frames that wait in a buffer, and that can get lost
//! there.

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

/// Has a process stand still, so that it reads nothing.
fn pause(gomon: &Running) {
    gomon.signal("STOP");
    let stat = format!("/proc/{}/stat", gomon.id());
    until("it stands still", || {
        let stat = fs::read_to_string(&stat).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
    });
}

#[test]
fn live_through_libpcap_what_waits_when_the_interface_goes_is_counted() {
    for count in [1, 1000] {
        let Some(net) = net() else { return };
        let gomon = attached(&net, BOT, &format!("{LONG} {PCAP}"));
        pause(&gomon);
        net.send(&vec![packet(1, 80); count]);
        until("all is there", || net.arrived() == count as u64);
        net.ip(["link", "del", TAP]);
        gomon.signal("CONT");
        let run = finish(gomon);
        let expected = format!("Ledger: {count} frames seen = {count} counted ");
        assert!(run.line("Ledger: ").starts_with(&expected), "{}", run.stderr);
        assert_eq!(run.line("Attached: "), "Attached: libpcap on vnet0, 0 lost");
    }
}

#[test]
fn live_through_libpcap_what_waits_when_a_signal_comes_is_counted() {
    let Some(net) = net() else { return };
    for signal in ["INT", "TERM"] {
        let before = net.arrived();
        let gomon = attached(&net, BOT, &format!("{LONG} {PCAP}"));
        pause(&gomon);
        net.send(&vec![packet(1, 80); 1000]);
        until("all is there", || net.arrived() == before + 1000);
        gomon.signal(signal);
        gomon.signal("CONT");
        let run = finish(gomon);
        assert!(run.line("Ledger: ").starts_with("Ledger: 1000 frames seen = 1000 counted "));
    }
}

#[test]
fn live_through_libpcap_what_comes_right_before_a_signal_is_counted() {
    let Some(net) = net().filter(|_| have("tcpdump")) else { return };
    // A witness of what was captured, without delay.
    let mut witness = net.command("tcpdump");
    witness.args(["--immediate-mode", "-l", "-nn", "-i", TAP]);
    let mut witness = Tool::start(&mut witness);
    let scratch = Scratch::new();
    until("the witness listens", || {
        assert!(!witness.has_ended(), "{}", witness.stderr());
        net.captures() == 1
    });
    for _ in 0..10 {
        let gomon = attached(&net, BOT, &format!("{LONG} {PCAP}"));
        let sender = net.sender(&scratch, &[packet(1, 80)], 1);
        assert!(witness.line().is_some(), "{}", witness.stderr());
        // As likely as not the kernel still keeps it back from gomon.
        let process = Pid::from_raw(gomon.id().cast_signed()).unwrap();
        kill_process(process, Signal::INT).unwrap();
        sender.finish();
        let run = finish(gomon);
        assert!(run.line("Ledger: ").starts_with("Ledger: 1 frames seen = 1 counted "));
    }
}

#[test]
fn live_through_libpcap_losses_are_told_and_the_ledger_balances() {
    const FRAMES: u16 = 1000;
    const TIMES: u32 = 1000;
    let Some(net) = net() else { return };
    let mut gomon = attached(&net, BOT, &format!("{} {PCAP}", load::SHORT));
    let frames = vec![packet(1, 80); FRAMES.into()];
    let scratch = Scratch::new();
    // More than the buffer holds comes while nobody reads.
    pause(&gomon);
    net.sender(&scratch, &frames, TIMES).finish();
    gomon.signal("CONT");
    let arrived = net.arrived();
    let mut sums = Sums::default();
    while sums.frames + sums.lost < arrived {
        sums.enter(&gomon.record());
    }
    // Afterwards nothing is lost any more.
    net.send(&frames);
    gomon.signal("INT");
    let run = finish(gomon);
    for record in run.records() {
        sums.enter(&record);
    }
    let arrived = net.arrived();
    println!("{} of {arrived} frames lost", sums.lost);
    assert!(sums.lost > 0, "the buffer was large enough for {arrived} frames");
    assert!(sums.frames > 50_000, "{} frames found room in the buffer", sums.frames);
    assert_eq!(sums.frames + sums.lost, arrived);
    assert_eq!(lost(&run), sums.lost);
    let expected = format!("Ledger: {0} frames seen = {0} counted ", sums.frames);
    assert!(run.line("Ledger: ").starts_with(&expected), "{}", run.stderr);
}

#[test]
fn live_through_libpcap_an_interface_may_be_down_for_a_while() {
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
fn live_through_libpcap_an_interface_that_is_down_is_refused() {
    let Some(net) = net() else { return };
    net.ip(["link", "set", TAP, "down"]);
    let run = run(&mut net.gomon(BOT, PCAP));
    assert_eq!(run.status, Some(1), "{}", run.stderr);
    let expected =
        "gomon: attaching to vnet0: libpcap: That device is not up: type: ip link set vnet0 up";
    assert_eq!(run.errors(), [expected]);
}

#[test]
fn live_through_libpcap_artifacts_hold_both_directions_in_order_and_the_ledger_one() {
    let Some(net) = net().filter(|_| have("tcpdump")) else { return };
    let scratch = Scratch::new();
    let directory = scratch.path().display().to_string();
    let saved =
        format!("--save-packets 1000 --packet-threshold 5/window --capture-dir {directory}");
    let mut gomon = attached(&net, BOT, &format!("{LONG} {PCAP} {saved}"));
    let answer = udp(ip("192.0.2.1"), ip(BOT), 40000, 0);
    // What lies in two buffers is read one after the other.
    pause(&gomon);
    for _ in 0..10 {
        net.answer(slice::from_ref(&answer));
        net.send(&[packet(1, 80)]);
    }
    gomon.signal("CONT");
    until_counted(&mut gomon, 10);
    gomon.signal("INT");
    let run = finish(gomon);
    assert_eq!(run.line("Ledger: "), {
        let none = "0 not from the bot + 0 ignored + 0 not IP + 0 malformed";
        let rest = "0 late, 0 with a wild timestamp, 0 packets in overflow";
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
    let in_turn = sources.iter().zip(expected).all(|(source, start)| source.starts_with(start));
    assert!(in_turn, "both ends sent in turn:\n{listing}");
}

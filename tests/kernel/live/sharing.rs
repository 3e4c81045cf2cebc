//! Several gomon processes on one interface.

use super::{BOT, LONG, attached, comparable, finish, ledger, net, packet, replay, until_counted};
use crate::support::frames::{arp, ip, udp};
use crate::support::program::{Outcome, run};

#[track_caller]
fn assert_counted(run: &Outcome, frames: u64) {
    let start = format!("Ledger: {frames} frames seen = {frames} counted ");
    assert!(run.line("Ledger: ").starts_with(&start), "{}", run.stderr);
}

#[test]
fn live_two_processes_on_one_interface_both_count() {
    for (first, second) in [("tc", "tc"), ("xdp", "auto"), ("xdp-generic", "auto"), ("pcap", "xdp")]
    {
        let Some(net) = net() else { return };
        let one = attached(&net, BOT, &format!("{LONG} --attach {first}"));
        let two = attached(&net, BOT, &format!("{LONG} --attach {second}"));
        net.send(&vec![packet(1, 80); 20]);
        for mut gomon in [one, two] {
            until_counted(&mut gomon, 20);
            gomon.signal("INT");
            let run = finish(gomon);
            assert_counted(&run, 20);
            if run.stderr.contains("  attach: auto") {
                // The XDP program of the first process does not concern TCX.
                assert_eq!(run.line("Attached: "), "Attached: TCX on vnet0, 0 lost");
                assert!(!run.stderr.contains("trying the next mode"), "{}", run.stderr);
            }
        }
    }
}

/// Counts two bots on one interface, each with its own gomon process.
fn two_bots(modes: [&str; 2]) {
    const OTHER: &str = "10.0.0.6";
    let mut frames = Vec::new();
    for host in 1..=20 {
        let destination = ip(&format!("192.0.2.{}", host % 4));
        frames.push(udp(ip(BOT), destination, 80, host));
        if host % 2 == 0 {
            frames.push(udp(ip(OTHER), destination, 53, host));
        }
    }
    frames.extend([udp(ip("10.0.0.7"), ip("192.0.2.1"), 80, 0), arp()]);
    let Some(net) = net() else { return };
    let bots = [(BOT, 20), (OTHER, 10)].into_iter().zip(modes);
    let bots: Vec<_> = bots
        .map(|((bot, packets), mode)| {
            (bot, packets, attached(&net, bot, &format!("{LONG} --attach {mode}")))
        })
        .collect();
    net.send(&frames);
    for (bot, packets, mut gomon) in bots {
        until_counted(&mut gomon, frames.len() as u64);
        gomon.signal("INT");
        let (run, expected) = (finish(gomon), replay(bot, LONG, &frames));
        assert_eq!(comparable(&run), comparable(&expected), "{bot} {modes:?}");
        assert_eq!(ledger(&run), ledger(&expected), "{bot} {modes:?}");
        let others = frames.len() - packets - 1;
        let counts = format!(" = {packets} counted + {others} not from the bot ");
        assert!(ledger(&run).contains(&counts), "{bot} {modes:?}: {}", ledger(&run));
    }
}

#[test]
fn live_two_bots_on_one_interface_are_counted_separately() {
    for modes in [["tc", "tc"], ["xdp", "tc"], ["tc", "xdp"]] {
        two_bots(modes);
    }
}

#[test]
fn live_two_bots_are_counted_separately_with_generic_xdp() {
    two_bots(["tc", "xdp-generic"]);
}

const OCCUPIED: &str = "another XDP program is attached to vnet0";

#[test]
fn live_second_xdp_program_is_rejected_with_the_reason() {
    let Some(net) = net() else { return };
    let mut first = attached(&net, BOT, &format!("{LONG} --attach xdp"));
    for mode in ["xdp", "xdp-generic"] {
        let second = run(&mut net.gomon(BOT, &format!("--attach {mode}")));
        assert_eq!(second.status, Some(1), "{}", second.stderr);
        let errors = second.errors();
        assert_eq!(errors.len(), 1, "{}", second.stderr);
        assert!(errors[0].contains(OCCUPIED), "{}", second.stderr);
    }
    net.send(&[packet(1, 80)]);
    until_counted(&mut first, 1);
    first.signal("INT");
    assert_counted(&finish(first), 1);
}

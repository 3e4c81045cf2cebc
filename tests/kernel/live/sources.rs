//! The bot's address: the warning about a wrong one, and the list of sources.

use super::{BOT, LONG, attached, comparable, count, ledger, net, packet, replay};
use crate::support::frames::{arp, ip, udp};
use crate::support::net::until;
use crate::support::program::run;
use crate::support::running::Running;

/// The warning about the bot's address.
const DOUBT: &str = "no packet counted so far: is 10.0.0.9 the bot's address?";

#[test]
fn live_wrong_address_is_reported_with_the_busiest_sources() {
    for mode in ["xdp", "xdp-generic", "tc", "pcap"] {
        let Some(net) = net() else { return };
        let mut gomon = attached(&net, "10.0.0.9", &format!("--window 1s --attach {mode}"));
        let mut frames = vec![packet(1, 80); 30];
        frames.extend(vec![udp(ip("10.0.0.7"), ip("192.0.2.1"), 80, 0); 10]);
        net.send(&frames);
        // The warning is logged at the end of the window, while gomon is running.
        let doubt = gomon.wait_for_part(DOUBT);
        assert!(
            doubt.contains("10.0.0.5 sent ") && doubt.contains(" packets examined, "),
            "{doubt}"
        );
        let more = [packet(1, 80), packet(2, 80)];
        net.send(&more);
        gomon.signal("INT");
        let run = gomon.finish();
        assert_eq!(run.stderr.matches(DOUBT).count(), 1, "once a run: {mode}: {}", run.stderr);
    }
}

#[test]
fn live_few_or_link_local_packets_of_others_cause_no_warning() {
    let Some(net) = net() else { return };
    let local = udp(ip("fe80::1"), ip("ff02::2"), 1, 0);
    let other = udp(ip("10.0.0.7"), ip("192.0.2.1"), 80, 0);
    for mode in ["xdp", "pcap"] {
        let args = format!("{LONG} --attach {mode}");
        let run = count(&net, attached(&net, "10.0.0.9", &args), &vec![local.clone(); 20]);
        assert!(!run.stderr.contains(DOUBT), "{mode}: {}", run.stderr);
        let run = count(&net, attached(&net, "10.0.0.9", &args), &vec![other.clone(); 9]);
        let said = "Of 9 packets examined, 10.0.0.7 sent 9: ";
        assert!(run.stderr.contains(said), "at the end of the run: {mode}: {}", run.stderr);
    }
    let mut gomon = attached(&net, "10.0.0.9", "--window 1s --show-idle --attach xdp");
    for frames in [9, 1] {
        net.send(&vec![other.clone(); frames]);
        // The window with these frames has ended.
        gomon.record();
        gomon.record();
    }
    gomon.signal("INT");
    let run = gomon.finish();
    assert!(run.stderr.contains("Of 10 packets examined, 10.0.0.7 sent 10: "), "{}", run.stderr);
}

#[test]
fn live_busiest_sources_of_a_flood_are_named_from_a_sample() {
    const FRAMES: usize = 5000;
    let Some(net) = net() else { return };
    let gomon = attached(&net, "10.0.0.9", &format!("{LONG} --attach xdp"));
    let others = |n: usize| udp(ip(&format!("10.0.0.{}", 5 + n % 2)), ip("192.0.2.1"), 80, 0);
    let run = count(&net, gomon, &(0..FRAMES).map(others).collect::<Vec<_>>());
    let doubt = run.stderr.lines().find(|line| line.contains(DOUBT)).unwrap();
    assert!(doubt.contains("10.0.0.5 sent ") && doubt.contains("10.0.0.6 sent "), "{doubt}");
    assert!(run.line("Ledger: ").contains(&format!(" {FRAMES} not from the bot ")));
}

#[test]
fn live_any_packet_of_the_bot_prevents_the_warning() {
    let Some(net) = net() else { return };
    for mode in ["auto", "pcap"] {
        let other = udp(ip("10.0.0.7"), ip("192.0.2.1"), 80, 0);
        for (args, frames) in [
            ("", vec![other.clone(), packet(1, 80), other.clone()]),
            ("--ignore-dst 192.0.2.0/24", vec![other.clone(), packet(1, 80)]),
            ("", vec![arp()]),
        ] {
            let gomon = attached(&net, BOT, &format!("{LONG} --attach {mode} {args}"));
            let run = count(&net, gomon, &frames);
            assert!(!run.stderr.contains("no packet counted"), "{mode} {args}: {}", run.stderr);
        }
    }
}

#[test]
fn live_sources_are_listed_until_the_window_ends_or_a_signal_arrives() {
    let Some(net) = net() else { return };
    let list = |window: &str| {
        let mut command = net.command(env!("CARGO_BIN_EXE_gomon"));
        command.args([crate::support::net::TAP, "--list-sources", "--window", window]);
        command
    };
    let empty = run(&mut list("200ms"));
    assert_eq!((empty.status, empty.stdout.lines().count()), (Some(0), 1), "{}", empty.stderr);

    let listening = Running::start(&mut list("1h"));
    until("gomon captures", || net.captures() == 1);
    net.answer(&[udp(ip("192.0.2.1"), ip(BOT), 80, 0)]);
    net.send(&[packet(1, 80), packet(2, 80), packet(1, 80), arp()]);
    until("all frames have arrived", || net.arrived() == 4);
    listening.signal("INT");
    let run = listening.finish();
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
    let rows: Vec<&str> = run.stdout.lines().skip(1).collect();
    assert_eq!(rows.len(), 1, "{}", run.stdout);
    assert!(rows[0].starts_with("10.0.0.5  02:00:00:00:00:01        3 "), "{}", run.stdout);
    assert_eq!(run.line("Frames: "), "Frames: 4 seen = 3 packets + 1 not IP + 0 malformed");
}

#[test]
fn live_frames_from_other_mac_addresses_are_not_the_bots() {
    let from_bot = |host| packet(host, 80);
    let from_other = |host| {
        let mut frame = packet(host, 80);
        frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
        frame
    };
    let mut tagged = from_bot(3);
    tagged.splice(12..12, [0x81, 0, 0, 7]);
    let frames = [from_other(1), from_bot(1), from_other(2), tagged, arp()];
    for mode in ["xdp", "xdp-generic", "tc", "pcap"] {
        let Some(net) = net() else { return };
        for source in [BOT, "any"] {
            let args = format!("{LONG} --attach {mode} --bot-mac 02:00:00:00:00:01");
            let gomon = attached(&net, source, &args);
            let live = count(&net, gomon, &frames);
            let replayed = replay(source, &format!("{LONG} --bot-mac 02:00:00:00:00:01"), &frames);
            assert_eq!(comparable(&live), comparable(&replayed), "{mode} {source}");
            assert_eq!(ledger(&live), ledger(&replayed), "{mode} {source}");
            let expected = "Ledger: 5 frames seen = 2 counted + 2 not from the bot ";
            assert!(ledger(&live).starts_with(expected), "{mode}: {}", ledger(&live));
        }
        // On an interface, `auto` accepts all senders, whichever sent the first frame.
        let gomon = attached(&net, "any", &format!("{LONG} --attach {mode} --bot-mac auto"));
        let run = count(&net, gomon, &frames);
        assert!(ledger(&run).starts_with("Ledger: 5 frames seen = 4 counted "), "{}", ledger(&run));
    }
}

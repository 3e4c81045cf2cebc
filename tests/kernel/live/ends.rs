//! However a live run ends, its counts are reported and nothing remains in the kernel.

use std::time::Instant;

use aya::programs::{loaded_links, loaded_programs};

use super::{BOT, LONG, attached, finish, net, packet, until_counted};
use crate::support::capture::{PLAIN, at, pcap};
use crate::support::net::{BOT_END, TAP, held, until};
use crate::support::program::Scratch;
use crate::support::running::Running;

#[test]
fn live_removing_the_interface_ends_the_run_and_reports_the_open_window() {
    for mode in ["xdp", "xdp-generic", "tc", "pcap"] {
        let Some(net) = net() else { return };
        let mut gomon = attached(&net, BOT, &format!("{LONG} --attach {mode}"));
        net.send(&[packet(1, 80), packet(1, 80), packet(2, 53)]);
        until_counted(&mut gomon, 3);
        net.ip(["link", "del", TAP]);
        let run = finish(gomon);
        let records = run.records();
        let flows: Vec<_> = records.iter().filter(|r| r["event_type"] == "flow").collect();
        let packets = |flow: usize| flows[flow]["flow"]["pkts_toserver"].as_u64().unwrap();
        assert_eq!((flows.len(), packets(0), packets(1)), (2, 2, 1), "{mode}: {}", run.stdout);
        assert!(run.line("Ledger: ").starts_with("Ledger: 3 frames seen = 3 counted "));
        assert!(run.line("Summary: ").contains(" 1 idle window(s)"), "{}", run.stderr);
    }
}

#[test]
fn live_frames_just_before_the_interface_is_removed_are_counted() {
    const FRAMES: usize = 1000;
    let scratch = Scratch::new();
    let frames = vec![at(0, packet(1, 80)); FRAMES];
    let capture = scratch.file("sent.pcap", &pcap(PLAIN, &frames));
    // Deleting one end of a veth pair deletes the other end too.
    let send = format!("tcpreplay -q --topspeed --preload-pcap -i {BOT_END} {}", capture.display());
    let script = format!("{send} && ip link del {BOT_END}");
    for mode in ["xdp", "xdp-generic", "tc", "pcap"] {
        for save in ["", "--save-packets 5 --packet-threshold 1000000"] {
            for round in 0..5 {
                let Some(net) = net() else { return };
                let gomon = attached(&net, BOT, &format!("{LONG} --attach {mode} {save}"));
                let sender = net.bot_command("sh").args(["-c", &script]).output().unwrap();
                assert!(sender.status.success(), "{sender:?}");
                let run = finish(gomon);
                let expected = format!("Ledger: {FRAMES} frames seen = {FRAMES} counted ");
                let is_complete = run.line("Ledger: ").starts_with(&expected);
                assert!(is_complete, "{mode} {save:?}, round {round}: {}", run.stderr);
                assert!(run.line("Attached: ").ends_with(", 0 lost"), "{mode}: {}", run.stderr);
            }
        }
    }
}

#[test]
fn live_new_interface_with_the_name_of_a_removed_one_is_another_interface() {
    let Some(net) = net() else { return };
    let mut gomon = attached(&net, BOT, LONG);
    net.ip(["link", "del", TAP]);
    net.ip(["link", "add", TAP, "type", "veth"]);
    gomon.wait_for_part("interface vnet0 was removed");
    finish(gomon);
}

#[test]
fn live_killed_process_leaves_nothing_in_the_kernel() {
    for mode in ["xdp", "xdp-generic", "tc"] {
        let Some(net) = net() else { return };
        let gomon = attached(&net, BOT, &format!("{LONG} --attach {mode}"));
        let (programs, links) = (held(gomon.id(), "prog_id"), held(gomon.id(), "link_id"));
        assert!(!programs.is_empty() && !links.is_empty(), "{mode}: {programs:?} {links:?}");
        assert_eq!(net.ip(["link", "show", TAP]).contains("xdp"), mode != "tc");
        gomon.signal("KILL");
        assert_eq!(gomon.finish().status, None);
        until("its programs are unloaded", || {
            loaded_programs().flatten().all(|program| !programs.contains(&program.id()))
        });
        until("its links are detached", || {
            loaded_links().flatten().all(|link| !links.contains(&link.id()))
        });
        assert!(!net.ip(["link", "show", TAP]).contains("xdp"), "{mode}");
        // Another process can attach to the interface.
        let later = attached(&net, BOT, &format!("{LONG} --attach {mode}"));
        later.signal("TERM");
        finish(later);
    }
}

#[test]
fn live_signal_stops_a_silent_run_immediately() {
    let Some(net) = net() else { return };
    for (signal, mode) in [("INT", "auto"), ("TERM", "auto"), ("INT", "pcap"), ("TERM", "pcap")] {
        let gomon = attached(&net, BOT, &format!("{LONG} --attach {mode}"));
        gomon.signal(signal);
        // The window is an hour long. The watchdog fails the test before it ends.
        let run = finish(gomon);
        let records = run.records();
        assert_eq!(records.len(), 1, "{signal}: {}", run.stdout);
        assert_eq!(records[0]["event_type"], "stats");
        assert_eq!(records[0]["metadata"]["gomon"]["packets"], 0);
        assert!(run.line("Ledger: ").starts_with("Ledger: 0 frames seen "), "{}", run.stderr);
        assert!(run.line("Summary: ").contains(" 1 idle window(s)"), "{}", run.stderr);
    }
}

#[test]
fn live_silent_windows_are_reported_by_the_clock() {
    const WINDOW: u128 = 200; // milliseconds
    let Some(net) = net() else { return };
    for mode in ["auto", "pcap"] {
        let args = format!("--window {WINDOW}ms --show-idle --attach {mode}");
        let mut gomon = attached(&net, BOT, &args);
        let first = start(&mut gomon);
        let started = Instant::now();
        let mut last = first;
        while last < first + 5 * WINDOW {
            let this = start(&mut gomon);
            assert!(this > last && (this - first).is_multiple_of(WINDOW), "{first} {last} {this}");
            last = this;
        }
        // The first record may have been buffered, but for less than a window.
        assert!(started.elapsed().as_millis() >= 3 * WINDOW, "{:?}", started.elapsed());
        gomon.signal("INT");
        finish(gomon);
    }
}

/// Returns the start of the next record's window in milliseconds since the epoch.
fn start(gomon: &mut Running) -> u128 {
    let record = gomon.record();
    assert_eq!(record["metadata"]["gomon"]["packets"], 0, "{record}");
    let text = record["timestamp"].as_str().unwrap();
    let time = jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).unwrap();
    u128::try_from(time.as_millisecond()).unwrap()
}

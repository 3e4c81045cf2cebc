//! Bots and interfaces that come and go.

use super::*;

/// The length of a window in milliseconds.
const WINDOW: i64 = 500;

/// Asserts that windows start on the grid of `first`, one after the other. The first may be the rest of one.
#[track_caller]
fn assert_on_grid(starts: &[i64], grid: i64) {
    for pair in starts[1..].windows(2) {
        assert!((pair[1] - pair[0] - WINDOW).abs() <= 1, "{starts:?}");
    }
    for start in &starts[1..] {
        let off = (start - grid).rem_euclid(WINDOW);
        assert!(off <= 1 || off >= WINDOW - 1, "{start} is {off} ms off the grid of {grid}");
    }
}

#[test]
fn fleet_two_bots_are_counted_separately_on_one_grid() {
    let Some(mut fleet) = Fleet::start(2) else { return };
    let eve = fleet.path("eve.json");
    let args = format!("{QUIET} --window {WINDOW}ms --eve-log-path {eve}");
    fleet.add(1, 0, &args);
    let one = fleet.sender(1, &packets(50), 100);
    fleet.add(2, 0, &args);
    let two = fleet.sender(2, &packets(30), 50);
    two.finish();
    fleet.until(2, "all frames of the second are counted", |bot| bot["seen"] == 1500);
    assert_eq!(fleet.remove(2), Value::Null);
    assert!(fleet.remove(2).as_str().unwrap().contains("no such bot"));
    one.finish();
    fleet.until(1, "all frames of the first are counted", |bot| bot["seen"] == 5000);
    fleet.until(1, "a few windows are closed", |bot| bot["windows"].as_u64() > Some(3));
    let (_net, _scratch) = fleet.stop();
    let (first, last) = of_bot(Path::new(&eve), 1);
    assert_eq!((frames(&first), last["ledger"]["counted"].as_u64()), (5000, Some(5000)));
    let grid = starts(&first)[0];
    assert_on_grid(&starts(&first), grid);
    let (second, last) = of_bot(Path::new(&eve), 2);
    assert_eq!((frames(&second), last["ledger"]["counted"].as_u64()), (1500, Some(1500)));
    assert_eq!(last["ended"], "stopped");
    // It was added within a window of the first: its first window is the rest of that.
    assert_on_grid(&starts(&second), grid);
}

#[test]
fn fleet_staggered_panes_end_at_an_offset() {
    let Some(mut fleet) = Fleet::start(2) else { return };
    let eve = fleet.path("eve.json");
    let args = format!("{QUIET} --window {WINDOW}ms --eve-log-path {eve}");
    fleet.add(1, 0, &args);
    fleet.add(2, 200, &args);
    fleet.until(2, "a few windows are closed", |bot| bot["windows"].as_u64() > Some(4));
    let (_net, _scratch) = fleet.stop();
    let grid = starts(&of_bot(Path::new(&eve), 1).0)[0];
    assert_on_grid(&starts(&of_bot(Path::new(&eve), 2).0), grid + 200);
}

#[test]
fn fleet_sixteen_bots_come_and_go_while_traffic_flows() {
    const BOTS: u64 = 16;
    let Some(mut fleet) = Fleet::start(BOTS) else { return };
    let eve = fleet.path("eve.json");
    let args = |n: u64| {
        let mode = if n.is_multiple_of(5) { "pcap" } else { "auto" };
        format!("{QUIET} --window {WINDOW}ms --eve-log-path {eve} --attach {mode}")
    };
    // Each bot is added before it sends, and while those before it send. Some end before others are added.
    let (mut senders, sent) = (Vec::new(), |n: u64| 40 * (50 + n));
    for n in 1..=BOTS {
        fleet.add(n, 0, &args(n));
        senders.push((n, fleet.sender(n, &packets(40), u32::try_from(50 + n).unwrap())));
        if n.is_multiple_of(4) {
            let (first, sender) = senders.remove(0);
            sender.finish();
            fleet.until(first, "its frames are counted", |bot| bot["seen"] == sent(first));
            assert_eq!(fleet.remove(first), Value::Null);
        }
    }
    let left: Vec<_> = senders.iter().map(|(n, _)| *n).collect();
    for (n, sender) in senders {
        sender.finish();
        fleet.until(n, "its frames are counted", |bot| bot["seen"] == sent(n));
    }
    assert_eq!(fleet.ask("status").as_array().unwrap().len(), left.len());
    let (_net, _scratch) = fleet.stop();
    for n in 1..=BOTS {
        let (windows, last) = of_bot(Path::new(&eve), n);
        assert_eq!(
            (frames(&windows), last["ledger"]["counted"].as_u64()),
            (sent(n), Some(sent(n))),
            "{n}"
        );
        assert_eq!(last["ended"], "stopped");
        assert_eq!(last["eve_dropped"], 0);
        assert_eq!(last["eve_written"].as_u64(), Some(windows.len() as u64), "{n}");
    }
}

#[test]
fn fleet_removed_interface_flushes_its_last_window_and_only_that_bot_ends() {
    let Some(mut fleet) = Fleet::start(4) else { return };
    let eve = fleet.path("eve.json");
    let args = format!("{QUIET} --window 1h --eve-log-path {eve}");
    for n in 1..=3 {
        let mode = if n == 3 { "pcap" } else { "auto" };
        fleet.add(n, 0, &format!("{args} --attach {mode}"));
    }
    // A port that leaves a bridge is no removed interface, though the kernel sends the same message.
    fleet.net.ip(["link", "add", "br0", "type", "bridge"]);
    fleet.net.ip(["link", "set", "vnet2", "master", "br0"]);
    fleet.net.ip(["link", "set", "vnet2", "nomaster"]);
    fleet.net.ip(["link", "set", "vnet2", "name", "vnet9"]);
    for n in [1, 3] {
        fleet.sender(n, &packets(20), 1).finish();
        fleet.until(n, "its frames are counted", |bot| bot["seen"] == 20);
        fleet.net.ip(["link", "del", &format!("vnet{n}")]);
        assert_eq!(fleet.reply(), json!({ "removed": n }));
        let (windows, last) = of_bot(Path::new(&eve), n);
        assert_eq!((starts(&windows).len(), frames(&windows)), (1, 20));
        assert_eq!(last["ended"], "interface_gone");
    }
    fleet.sender(2, &packets(20), 1).finish();
    fleet.until(2, "the other bot counts", |bot| bot["seen"] == 20);
    // The same number can be used again, on a new interface of the same name.
    add_link(&fleet.net, 1);
    fleet.add(1, 0, &args);
    fleet.sender(1, &packets(7), 1).finish();
    fleet.until(1, "the new interface is counted", |bot| bot["seen"] == 7);
    let (_net, _scratch) = fleet.stop();
}

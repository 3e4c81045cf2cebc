//! TC by the clsact qdisc, which kernels with TCX never come to by themselves: here it is asked for
//! through the library, by a process of its own.

use std::env;
use std::io::{Write, stderr};
use std::ops::ControlFlow;
use std::time::Duration;

use gomon::core::{PacketFilter, Sources, Tally, Timestamp, WindowCounts};
use gomon::frame::{Frame, RemoteHosts};
use gomon::source::live::{AttachMode, CounterConfig, Live};
use gomon::source::{PaneSink, Stop};

use super::{BOT, net, packet, until_counted};
use crate::support::frames::ip;
use crate::support::net::{Net, TAP};
use crate::support::running::Running;
use crate::support::tools::{checked, have};

/// Names the interface to a process that is to count.
const INTERFACE: &str = "GOMON_TEST_INTERFACE";

/// What such a process does. Without the variable there is nothing to test.
#[test]
fn live_clsact_process() {
    let Ok(interface) = env::var(INTERFACE) else { return };
    let say = |text: &str| writeln!(stderr(), "{text}").unwrap();
    let stop = Stop::on_signals().unwrap();
    let sources = Sources::Bot { first: ip(BOT).into(), others: vec![] };
    let selected = CounterConfig {
        bot_mac: None,
        sources: sources.clone(),
        ignored: vec![],
        capacity: 64,
        packets: 0,
        sweeps: false,
    };
    let tally = Tally::new(PacketFilter::new(sources, vec![]), 64);
    let live = Live::attach(&interface, &[AttachMode::Clsact], &selected, tally).unwrap();
    say(&format!("attached by {live}"));
    let mut counted = Counted(0);
    live.run(Duration::from_secs(3600), &stop, &mut counted).unwrap();
    say(&format!("{} counted", counted.0));
}

struct Counted(u64);

impl PaneSink for Counted {
    fn pane(&mut self, counts: WindowCounts) -> ControlFlow<()> {
        self.0 += counts.ledger.counted;
        ControlFlow::Continue(())
    }

    fn silence(&mut self, _: Timestamp, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn wants_packets(&self) -> bool {
        false
    }

    fn packet(&mut self, _: RemoteHosts, _: &Frame<'_>) {}

    fn packets_lost(&mut self, _: u64) {}

    fn progress(&mut self, _: u64, _: u64) {}
}

/// A process that counts by clsact.
fn attached(net: &Net) -> Running {
    let mut command = net.command(env::current_exe().unwrap());
    command.args(["--exact", "live::clsact::live_clsact_process", "--nocapture"]);
    let mut running = Running::start(command.env(INTERFACE, TAP));
    running.wait_for("attached by TC (clsact) on vnet0");
    running
}

/// Ends a process in order.
#[track_caller]
fn end(mut running: Running, counted: u64) {
    running.signal("INT");
    running.wait_for(&format!("{counted} counted"));
    assert_eq!(running.finish().status, Some(0));
}

/// Filters of gomon on the interface.
fn filters(net: &Net) -> usize {
    let listing = checked(net.command("tc").args(["filter", "show", "dev", TAP, "ingress"]));
    listing.lines().filter(|line| line.contains(" handle ") && line.contains("gomon_tc")).count()
}

#[test]
fn live_by_clsact_it_counts_and_takes_its_filter_away() {
    let Some(net) = net().filter(|_| have("tc")) else { return };
    let mut one = attached(&net);
    assert_eq!(filters(&net), 1);
    net.send(&vec![packet(1, 80); 20]);
    until_counted(&mut one, 20);
    end(one, 20);
    assert_eq!(filters(&net), 0);
    // The qdisc that stays is no hindrance.
    let mut two = attached(&net);
    net.send(&vec![packet(1, 80); 5]);
    until_counted(&mut two, 5);
    end(two, 5);
}

#[test]
fn live_by_clsact_what_a_killed_one_leaves_is_removed_by_the_next() {
    let Some(net) = net().filter(|_| have("tc")) else { return };
    let killed = |gomon: Running| {
        gomon.signal("KILL");
        assert_eq!(gomon.end().status, None);
    };
    killed(attached(&net));
    assert_eq!(filters(&net), 1, "nobody took it away");
    let mut one = attached(&net);
    assert_eq!(filters(&net), 1, "its own");
    // As long as somebody else counts, it is not known whose filter is whose.
    killed(attached(&net));
    let mut two = attached(&net);
    assert_eq!(filters(&net), 3);
    net.send(&vec![packet(1, 80); 7]);
    until_counted(&mut one, 7);
    until_counted(&mut two, 7);
    end(one, 7);
    end(two, 7);
    assert_eq!(filters(&net), 1, "that of the dead");
    let last = attached(&net);
    assert_eq!(filters(&net), 1, "its own");
    end(last, 0);
    assert_eq!(filters(&net), 0);
}

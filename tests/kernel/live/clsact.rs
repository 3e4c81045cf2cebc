//! TC by the clsact qdisc. gomon never uses it on kernels with TCX, so these tests select it through the
//! library, in a separate process.

use std::env;
use std::io::{Write, stderr};
use std::ops::ControlFlow;
use std::time::Duration;

use gomon::core::{PacketFilter, Sources, Timestamp, WindowCounts};
use gomon::frame::{Frame, RemoteHosts};
use gomon::source::live::{AttachMode, CounterConfig, LiveEvent, LiveSet};
use gomon::source::{PacketSink, PaneSink, Stop};

use super::{BOT, net, packet, until_counted};
use crate::support::frames::ip;
use crate::support::net::{Net, TAP};
use crate::support::running::Running;
use crate::support::tools::{checked, have};

/// The environment variable that makes [`live_clsact_process`] count on an interface.
const INTERFACE: &str = "GOMON_TEST_INTERFACE";

/// The process that counts. Does nothing without the variable.
#[test]
fn live_clsact_process() {
    let Ok(interface) = env::var(INTERFACE) else { return };
    let print = |text: &str| writeln!(stderr(), "{text}").unwrap();
    let stop = Stop::on_signals().unwrap();
    let sources = Sources::Bot { first: ip(BOT).into(), others: vec![] };
    let config = CounterConfig {
        filter: PacketFilter::new(sources, vec![]),
        capacity: 64,
        packets_per_host: 0,
        sweeps: false,
    };
    let mut set = LiveSet::new(1, stop).unwrap();
    let live = set.attach(&interface, &[AttachMode::Clsact], &config).unwrap();
    print(&format!("attached by {live}"));
    let hour = Duration::from_secs(3600);
    set.add(0, live, hour, Duration::ZERO, CountedPackets(0)).unwrap();
    assert!(matches!(set.next_event().unwrap(), LiveEvent::Stopped));
    set.end_all();
    let LiveEvent::Ended { sink, .. } = set.next_event().unwrap() else { panic!("no end") };
    print(&format!("{} counted", sink.0));
}

/// Sums the counted packets.
struct CountedPackets(u64);

impl PacketSink for CountedPackets {
    fn needs_packets(&self) -> bool {
        false
    }

    fn packet(&mut self, _: RemoteHosts, _: &Frame<'_>) {}
}

impl PaneSink for CountedPackets {
    fn pane(&mut self, counts: WindowCounts) -> ControlFlow<()> {
        self.0 += counts.ledger.counted;
        ControlFlow::Continue(())
    }

    fn silence(&mut self, _: Timestamp, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn packets_lost(&mut self, _: u64) {}

    fn progress(&mut self, _: u64, _: u64) {}
}

/// Starts a process that counts by clsact.
fn attached(net: &Net) -> Running {
    let mut command = net.command(env::current_exe().unwrap());
    command.args(["--exact", "live::clsact::live_clsact_process", "--nocapture"]);
    let mut running = Running::start(command.env(INTERFACE, TAP));
    running.wait_for("attached by TC (clsact) on vnet0");
    running
}

/// Stops a process and checks how many packets it counted.
#[track_caller]
fn end(mut running: Running, counted: u64) {
    running.signal("INT");
    running.wait_for(&format!("{counted} counted"));
    assert_eq!(running.finish().status, Some(0));
}

/// Returns the number of gomon's filters on the interface.
fn filters(net: &Net) -> usize {
    let listing = checked(net.command("tc").args(["filter", "show", "dev", TAP, "ingress"]));
    listing.lines().filter(|line| line.contains(" handle ") && line.contains("gomon_tc")).count()
}

#[test]
fn live_clsact_counts_and_removes_its_filter() {
    let Some(net) = net().filter(|_| have("tc")) else { return };
    let mut one = attached(&net);
    assert_eq!(filters(&net), 1);
    net.send(&vec![packet(1, 80); 20]);
    until_counted(&mut one, 20);
    end(one, 20);
    assert_eq!(filters(&net), 0);
    // The remaining qdisc does not matter.
    let mut two = attached(&net);
    net.send(&vec![packet(1, 80); 5]);
    until_counted(&mut two, 5);
    end(two, 5);
}

#[test]
fn live_clsact_removes_the_filters_of_killed_processes() {
    let Some(net) = net().filter(|_| have("tc")) else { return };
    let kill = |gomon: Running| {
        gomon.signal("KILL");
        assert_eq!(gomon.end().status, None);
    };
    kill(attached(&net));
    assert_eq!(filters(&net), 1, "the filter of the killed process remains");
    let mut one = attached(&net);
    assert_eq!(filters(&net), 1, "only its own filter");
    // While another process counts, it is unknown which filters belong to killed processes.
    kill(attached(&net));
    let mut two = attached(&net);
    assert_eq!(filters(&net), 3);
    net.send(&vec![packet(1, 80); 7]);
    until_counted(&mut one, 7);
    until_counted(&mut two, 7);
    end(one, 7);
    end(two, 7);
    assert_eq!(filters(&net), 1, "the filter of the killed process");
    let last = attached(&net);
    assert_eq!(filters(&net), 1, "only its own filter");
    end(last, 0);
    assert_eq!(filters(&net), 0);
}

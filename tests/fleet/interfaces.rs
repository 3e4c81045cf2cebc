//! Bots on interfaces that come and go, with traffic.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::privileged;
use crate::program::{FleetProgram, Namespace};
use crate::support::frames::{ip, udp};
use crate::support::net::until;
use crate::support::tools::{checked, have};

const CONFIGURATION: &str = r#"
[defaults]
window = "500ms"
stats = true
connections = "off"
eve_log_path = "{dir}/{interface}.json"

[control]
socket = "{dir}/control.sock"

[[bot]]
interface = "vnet0"
src = "10.0.0.5"
sample_id = "beacon"

[[bot]]
interface = "tap*"
src = "any"
"#;

impl FleetProgram {
    /// Reads the records of an interface.
    fn records(&self, interface: &str) -> Vec<Value> {
        records(&self.path(&format!("{interface}.json")))
    }
}

fn records(path: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

/// Sends UDP packets of the bot out of the peer of an interface.
#[track_caller]
fn send(namespace: &Namespace, fleet: &FleetProgram, interface: &str, count: usize) {
    use crate::support::capture::{PLAIN, at, pcap};
    let frame = udp(ip("10.0.0.5"), ip("10.0.1.1"), 53, 20);
    let frames = vec![at(0, frame); count];
    let capture = fleet.scratch.file("sent.pcap", &pcap(PLAIN, &frames));
    checked(
        crate::support::net::within(&namespace.0, "tcpreplay")
            .args(["--quiet", "--topspeed", "--intf1", &format!("p-{interface}")])
            .arg(capture),
    );
}

fn counted(records: &[Value]) -> u64 {
    let finals = records.iter().filter(|record| record["metadata"]["gomon"]["final"] == true);
    finals.map(|record| record["metadata"]["gomon"]["ledger"]["counted"].as_u64().unwrap()).sum()
}

#[test]
fn bots_follow_their_interfaces_and_every_packet_is_accounted_for() {
    if !privileged() || !have("tcpreplay") {
        return;
    }
    let namespace = Namespace::new();
    let mut fleet = FleetProgram::start(Some(&namespace), CONFIGURATION);
    assert!(fleet.counting().is_empty());
    namespace.create("vnet0");
    namespace.create("tap0");
    until("both are counted", || fleet.counting() == ["tap0", "vnet0"]);
    send(&namespace, &fleet, "vnet0", 100);
    send(&namespace, &fleet, "tap0", 50);
    // Recreated under the same name.
    namespace.ip("link del tap0");
    namespace.create("tap0");
    until("the first one has ended, and the second one is counted", || {
        counted(&fleet.records("tap0")) == 50 && fleet.counting() == ["tap0", "vnet0"]
    });
    send(&namespace, &fleet, "tap0", 20);
    // Renamed, to a name that still matches.
    namespace.ip("link set tap0 down");
    namespace.ip("link set tap0 name tap1");
    namespace.ip("link set tap1 up");
    until("the bot follows the name", || fleet.counting() == ["tap1", "vnet0"]);
    until("the window is written", || counted(&fleet.records("tap0")) == 70);
    // A bot that is added takes precedence over the pattern.
    let answer = fleet.answer("add tap1 10.0.0.5 --sample-id added");
    assert_eq!(answer["state"], "counting", "{answer}");
    assert_eq!(fleet.bot("list", "tap1", "10.0.0.5")["added"], true);
    assert!(fleet.bot("list", "tap1", "any").is_null());
    let ended = fleet.answer("remove tap1");
    assert_eq!(ended["lost"], Value::Null);
    until("the pattern applies again", || fleet.bot("list", "tap1", "any")["state"] == "counting");
    let status = fleet.bot("status", "vnet0", "10.0.0.5");
    assert!(status["windows"].as_u64() > Some(0), "{status}");
    let moved = Namespace::new();
    namespace.ip(&format!("link set tap1 netns {}", moved.0));
    until("the bot has gone", || fleet.counting() == ["vnet0"]);
    fleet.running.signal("USR1");
    fleet.running.wait_for_part("INFO  bots: ");
    let path = fleet.path("vnet0.json");
    let FleetProgram { running, scratch } = fleet;
    running.signal("TERM");
    let outcome = running.finish();
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    let vnet0 = records(&path);
    assert_eq!(counted(&vnet0), 100);
    let closing = vnet0.last().unwrap();
    assert_eq!(closing["metadata"]["gomon"]["sample_id"], "beacon");
    assert!(closing["host"].as_str().is_some_and(|host| !host.is_empty()), "{closing}");
    drop(scratch);
}

#[test]
fn a_reload_keeps_the_counts_of_bots_that_it_does_not_change() {
    if !privileged() || !have("tcpreplay") {
        return;
    }
    let namespace = Namespace::new();
    for name in ["vnet0", "tap0"] {
        namespace.create(name);
    }
    let long = CONFIGURATION.replace("500ms", "1h");
    let mut fleet = FleetProgram::start(Some(&namespace), &long);
    until("both are counted", || fleet.counting() == ["tap0", "vnet0"]);
    send(&namespace, &fleet, "vnet0", 30);
    let open = |fleet: &FleetProgram| {
        fleet.bot("status", "vnet0", "10.0.0.5")["open_window"]["counted"].as_u64()
    };
    assert_eq!(open(&fleet), Some(30));
    // The bot on tap0 changes, and records are rotated.
    let (from, to) = (fleet.path("vnet0.json"), fleet.path("vnet0.json.1"));
    fs::rename(from, to).unwrap();
    fleet.configure(&long.replace("src = \"any\"", "src = \"any\"\nsample_id = \"new\""));
    fleet.running.signal("HUP");
    fleet.running.wait_for_part("the configuration was re-read");
    until("the changed one is counted", || fleet.bot("list", "tap0", "any")["sample_id"] == "new");
    until("it is counted again", || fleet.counting() == ["tap0", "vnet0"]);
    assert_eq!(open(&fleet), Some(30));
    let path = fleet.path("vnet0.json");
    let tap0 = fleet.records("tap0");
    let FleetProgram { running, scratch } = fleet;
    running.signal("TERM");
    assert_eq!(running.finish().status, Some(0));
    assert_eq!(tap0.last().unwrap()["metadata"]["gomon"]["final"], true);
    assert_eq!(counted(&records(&path)), 30);
    drop(scratch);
}

#[test]
fn a_bot_that_cannot_be_attached_does_not_disturb_the_others_and_is_tried_again() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new();
    for name in ["vnet0", "tap0"] {
        namespace.create(name);
    }
    let socket = "src = \"any\"\neve_log_path = \"unix://{dir}/reader.sock\"";
    let text = CONFIGURATION.replace("src = \"any\"", socket);
    let fleet = FleetProgram::start(Some(&namespace), &text);
    let bot = fleet.bot("list", "tap0", "any");
    assert_eq!(bot["state"], "failed", "{bot}");
    assert!(bot["error"].as_str().unwrap().contains("start its reader first"), "{bot}");
    assert_eq!(fleet.counting(), ["vnet0"]);
    // A bot that a client adds is attached, or not there.
    let outcome = fleet.ctl("add p-tap0 any --eve-log-path /nonexistent/x");
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("adding p-tap0 any: opening EVE file"), "{outcome:?}");
    assert!(fleet.bot("list", "p-tap0", "any").is_null());
    let _reader = std::os::unix::net::UnixListener::bind(fleet.path("reader.sock")).unwrap();
    until("it is tried again", || fleet.counting() == ["tap0", "vnet0"]);
    assert_eq!(fleet.stop().status, Some(0));
}

#[test]
fn an_interface_that_appears_is_watched_soon() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new();
    let fleet = FleetProgram::start(Some(&namespace), CONFIGURATION);
    let mut slowest = Duration::ZERO;
    for number in 0..8 {
        let name = format!("tap{number}");
        namespace.create(&name);
        let start = Instant::now();
        until("it is counted", || fleet.counting().contains(&name));
        slowest = slowest.max(start.elapsed());
    }
    println!("from the interface to its bot: at most {slowest:?}");
    // Loading the program of a debug build included.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert_eq!(fleet.stop().status, Some(0));
}

#[test]
fn a_bot_whose_records_are_lost_makes_the_fleet_fail_at_its_end() {
    if !privileged() {
        return;
    }
    let namespace = Namespace::new();
    for name in ["vnet0", "tap0"] {
        namespace.create(name);
    }
    let full = "src = \"any\"\neve_log_path = \"/dev/full\"";
    let fleet =
        FleetProgram::start(Some(&namespace), &CONFIGURATION.replace("src = \"any\"", full));
    assert_eq!(fleet.counting(), ["tap0", "vnet0"]);
    let lost = || fleet.bot("status", "tap0", "any")["records_dropped"].as_u64();
    until("a record is lost", || lost() > Some(0));
    assert_eq!(fleet.bot("status", "vnet0", "10.0.0.5")["records_dropped"], 0);
    let outcome = fleet.stop();
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    let error = "gomon: ending 1 bot(s): records or artifacts are missing: see the log";
    assert_eq!(outcome.errors(), [error]);
    assert!(outcome.stderr.contains("ERROR tap0: writing records to /dev/full"), "{outcome:?}");
}

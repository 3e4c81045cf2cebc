//! A real bot: a virtual machine with a kernel and a network stack of its own, on a tap of this machine.
//!
//! `cargo xtask test` puts what it boots into `target/guest`; what its first process understands stands
//! in `xtask/src/vm/inside/bot.rs`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, id};

use serde_json::Value;

use super::{BOT, LONG, finish, until_counted};
use crate::privileged;
use crate::support::net::{TAP, make_namespace, within};
use crate::support::program::{Outcome, Watchdog};
use crate::support::running::Running;
use crate::support::skip::skip;
use crate::support::tools::{Tool, checked, have};

const GATEWAY: &str = "10.0.0.1";
const GATEWAY_MAC: &str = "02:00:00:00:00:01";
const BOT_MAC: &str = "02:00:00:00:00:05";

/// Orders for the bot: protocol, host, hosts, port, ports, packets, milliseconds between them.
const BEACON: &str = "tcp 203.0.113.50 1 8443 1 5 100";
const SCAN: &str = "tcp 198.51.100.1 60 23 1 60 0";
const FLOOD: &str = "udp 203.0.113.80 1 80 1 3000 0";
const RANDOM_PORTS: &str = "udp 203.0.113.90 1 1024 600 600 0";

const THRESHOLDS: &str =
    "--packet-threshold 200/window --destination-threshold 10 --port-threshold 100";

#[test]
fn live_a_virtual_machine_that_beacons_scans_and_floods_is_reported_as_that() {
    let Some(image) = image() else { return };
    let mut host = Host::boot(&image);

    let run = host.watch(THRESHOLDS, &[BEACON], 5);
    assert_eq!(classes(&run), ["connection", "idle"]);
    let record = &run.records()[0];
    assert_eq!((&record["dest_ip"], &record["dest_port"]), (&"203.0.113.50".into(), &8443.into()));
    assert_eq!((&record["proto"], &record["src_ip"]), (&"TCP".into(), &BOT.into()));
    assert_eq!(record["flow"]["pkts_toserver"], 5);

    let run = host.watch(THRESHOLDS, &[SCAN], 60);
    assert_eq!(classes(&run), ["scan"]);
    let scan = &run.records()[0]["metadata"]["gomon"];
    let scanned: Vec<_> = (1..=60).map(|host| format!("198.51.100.{host}")).collect();
    assert_eq!((&scan["dst_ips"], &scan["packets"]), (&scanned.clone().into(), &60.into()));
    assert_eq!(scan["hosts"], 60);

    // The same, where so many hosts are no scan: each on its own.
    let run = host.watch("--destination-threshold 60", &[SCAN], 60);
    let flows = flows(&run);
    assert_eq!(flows, scanned.into_iter().map(|host| (host, 1)).collect());

    let run = host.watch(THRESHOLDS, &[FLOOD, RANDOM_PORTS], 3600);
    assert_eq!(classes(&run), ["attack", "attack", "vertical_scan"]);
    let records = run.records();
    let [flood, ports, vertical] = &records[..] else { panic!("{}", run.stdout) };
    assert_eq!((&flood["dest_ip"], &flood["dest_port"]), (&"203.0.113.80".into(), &80.into()));
    let gomon = |record: &Value, field: &str| record["metadata"]["gomon"][field].clone();
    assert_eq!((gomon(flood, "packets"), gomon(flood, "scope")), (3000.into(), "local".into()));
    assert_eq!((gomon(ports, "packets"), gomon(ports, "scope")), (600.into(), "host".into()));
    for record in [ports, vertical] {
        assert_eq!(record["dest_ip"], "203.0.113.90");
    }
    assert_eq!(gomon(vertical, "ports"), 600);

    // All its life at once.
    let run = host.watch(THRESHOLDS, &[BEACON, SCAN, RANDOM_PORTS, FLOOD], 3665);
    assert_eq!(classes(&run), ["attack", "attack", "vertical_scan", "scan"]);
    assert_eq!(run.records()[3]["metadata"]["gomon"]["hosts"], 61, "the scanned, and the beacon's");
    host.power_off();
}

/// What each record says it is.
fn classes(run: &Outcome) -> Vec<String> {
    let class =
        |record: &Value| record["metadata"]["gomon"]["classification"].as_str().unwrap().to_owned();
    run.records().iter().map(class).collect()
}

/// Packets to each host that has a connection.
fn flows(run: &Outcome) -> BTreeMap<String, u64> {
    let records = run.records();
    let flows = records.iter().filter(|record| record["event_type"] == "flow");
    let entry = |record: &Value| {
        let host = record["dest_ip"].as_str().unwrap().to_owned();
        (host, record["flow"]["pkts_toserver"].as_u64().unwrap())
    };
    flows.map(entry).collect()
}

/// The folder with what is booted, unless this machine can't have it.
fn image() -> Option<PathBuf> {
    let tools = [have("ip"), have("qemu-system-x86_64"), privileged()];
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("guest");
    let found = folder.join("vmlinuz").exists() && folder.join("initramfs").exists();
    if !found {
        let place = folder.display();
        skip(format_args!("nothing to boot in {place}: cargo xtask test puts it there, as root"));
    }
    (found && tools == [true; 3]).then_some(folder)
}

/// A sandbox's host: the machine with the bot, and the namespace its tap is in.
struct Host {
    qemu: Tool,
    watchdog: Option<Watchdog>,
    /// What came from the console.
    said: String,
    /// Goes after the machine in it.
    namespace: Namespace,
}

struct Namespace(String);

impl Namespace {
    /// A tap at its gateway's address. The hosts of the beacon and of the scan are this machine, which
    /// refuses every connection; all others are nowhere.
    fn new() -> Self {
        let namespace = Self(format!("gomon-t{}-guest", id()));
        make_namespace(&namespace.0);
        namespace.ip("link set lo up");
        namespace.ip(&format!("tuntap add {TAP} mode tap"));
        namespace.ip(&format!("link set {TAP} address {GATEWAY_MAC} up"));
        namespace.ip(&format!("address add {GATEWAY}/24 dev {TAP}"));
        namespace.ip(&format!("neighbour add {BOT} lladdr {BOT_MAC} nud permanent dev {TAP}"));
        for hosts in ["203.0.113.50/32", "198.51.100.0/24"] {
            namespace.ip(&format!("route add local {hosts} dev lo"));
        }
        namespace
    }

    fn ip(&self, args: &str) {
        checked(within(&self.0, "ip").args(args.split_whitespace()));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

impl Host {
    fn boot(image: &Path) -> Self {
        let namespace = Namespace::new();
        let mut qemu = within(&namespace.0, "qemu-system-x86_64");
        qemu.args(["-accel", "tcg", "-m", "256", "-nodefaults", "-no-user-config"]);
        qemu.args(["-display", "none", "-serial", "stdio", "-no-reboot"]);
        qemu.arg("-netdev").arg(format!("tap,id=wire,ifname={TAP},script=no,downscript=no"));
        // Nothing is booted over the network, so there is no need for a ROM that could.
        qemu.arg("-device").arg(format!("virtio-net-pci,netdev=wire,mac={BOT_MAC},romfile="));
        qemu.arg("-kernel").arg(image.join("vmlinuz"));
        qemu.arg("-initrd").arg(image.join("initramfs"));
        let settings = "console=ttyS0 quiet loglevel=1 panic=-1 ipv6.disable=1 rdinit=/init";
        let orders = format!("guest bot {BOT} {GATEWAY} {GATEWAY_MAC}");
        qemu.arg("-append").arg(format!("{settings} -- {orders}"));
        let qemu = Tool::start(qemu.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let watchdog = Some(Watchdog::start(qemu.child()));
        let mut host = Self { qemu, watchdog, said: String::new(), namespace };
        host.wait_for("READY");
        host
    }

    /// Has gomon watch while the bot obeys, until it has counted so many packets and no other frame.
    #[track_caller]
    fn watch(&mut self, args: &str, orders: &[&str], packets: u64) -> Outcome {
        let mut gomon = within(&self.namespace.0, env!("CARGO_BIN_EXE_gomon"));
        gomon.args([TAP, BOT]).args(LONG.split_whitespace()).args(args.split_whitespace());
        gomon.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut gomon = Running::start(&mut gomon);
        let attached = gomon.wait_for_part(" attached by ");
        assert!(attached.ends_with(" attached by XDP (native) on vnet0\n"), "{attached}");
        for order in orders {
            self.tell(order);
            self.wait_for("DONE");
        }
        until_counted(&mut gomon, packets);
        gomon.signal("INT");
        let run = finish(gomon);
        let ledger = run.line("Ledger: ");
        let expected = format!(
            "Ledger: {packets} frames seen = {packets} counted + 0 not from the bot + 0 ignored + 0 \
             not IP + 0 malformed; "
        );
        assert!(ledger.starts_with(&expected), "{orders:?}: {ledger}");
        run
    }

    fn tell(&mut self, order: &str) {
        let console = self.qemu.input();
        writeln!(console, "{order}").expect("qemu takes it");
    }

    /// Waits for a line on the console.
    #[track_caller]
    fn wait_for(&mut self, line: &str) {
        while let Some(said) = self.qemu.line() {
            self.said += &said;
            if said.trim_end() == line {
                return;
            }
        }
        panic!("no line {line:?} on the console:\n{}{}", self.said, self.qemu.stderr());
    }

    fn power_off(mut self) {
        self.tell("off");
        self.wait_for("gomon-guest: over");
        self.qemu.finish();
        self.watchdog.take().expect("it watches to the end").dismiss();
    }
}

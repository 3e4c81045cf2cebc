//! A real bot: a virtual machine with its own kernel and network stack, on a tap of this machine.
//!
//! `cargo xtask test` puts its kernel and initramfs into `target/guest`. The commands that its first
//! process accepts are in `xtask/src/vm/guest/bot.rs`.

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

/// Commands for the bot: protocol, first host, number of hosts, first port, number of ports, packets, and
/// milliseconds between packets.
const BEACON: &str = "tcp 203.0.113.50 1 8443 1 5 100";
const SCAN: &str = "tcp 198.51.100.1 60 23 1 60 0";
const FLOOD: &str = "udp 203.0.113.80 1 80 1 3000 0";
const RANDOM_PORTS: &str = "udp 203.0.113.90 1 1024 600 600 0";

const THRESHOLDS: &str =
    "--packet-threshold 200/window --destination-threshold 10 --port-threshold 100";

#[test]
fn live_virtual_machine_that_beacons_scans_and_floods_is_classified() {
    let Some(image) = image_directory() else { return };
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

    // The same with a threshold above the number of hosts: a flow per host instead of a scan.
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

    // All behaviors in one window.
    let run = host.watch(THRESHOLDS, &[BEACON, SCAN, RANDOM_PORTS, FLOOD], 3665);
    assert_eq!(classes(&run), ["attack", "attack", "vertical_scan", "scan"]);
    assert_eq!(
        run.records()[3]["metadata"]["gomon"]["hosts"],
        61,
        "the scanned hosts and the beacon's"
    );
    host.power_off();
}

/// Returns the classification of each record.
fn classes(run: &Outcome) -> Vec<String> {
    let class =
        |record: &Value| record["metadata"]["gomon"]["classification"].as_str().unwrap().to_owned();
    run.records().iter().map(class).collect()
}

/// Returns the packets of each host that has a flow record.
fn flows(run: &Outcome) -> BTreeMap<String, u64> {
    let records = run.records();
    let flows = records.iter().filter(|record| record["event_type"] == "flow");
    let entry = |record: &Value| {
        let host = record["dest_ip"].as_str().unwrap().to_owned();
        (host, record["flow"]["pkts_toserver"].as_u64().unwrap())
    };
    flows.map(entry).collect()
}

/// Returns the directory with the kernel and initramfs, unless this machine lacks a requirement.
fn image_directory() -> Option<PathBuf> {
    let tools = [have("ip"), have("qemu-system-x86_64"), privileged()];
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("guest");
    let found = directory.join("vmlinuz").exists() && directory.join("initramfs").exists();
    if !found {
        let path = directory.display();
        skip(format_args!("nothing to boot in {path}: cargo xtask test puts it there, as root"));
    }
    (found && tools == [true; 3]).then_some(directory)
}

/// The host of a sandbox: the virtual machine with the bot, and the network namespace of its tap.
struct Host {
    qemu: Tool,
    watchdog: Option<Watchdog>,
    /// The output of the console so far.
    console: String,
    /// Dropped after the virtual machine in it.
    namespace: Namespace,
}

struct Namespace(String);

impl Namespace {
    /// Creates a tap with the gateway's address. The hosts of the beacon and of the scan are routed to
    /// this machine, which refuses every connection. All other hosts are unreachable.
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
        // No option ROM, because nothing is booted over the network.
        qemu.arg("-device").arg(format!("virtio-net-pci,netdev=wire,mac={BOT_MAC},romfile="));
        qemu.arg("-kernel").arg(image.join("vmlinuz"));
        qemu.arg("-initrd").arg(image.join("initramfs"));
        let settings = "console=ttyS0 quiet loglevel=1 panic=-1 ipv6.disable=1 rdinit=/init";
        let arguments = format!("guest bot {BOT} {GATEWAY} {GATEWAY_MAC}");
        qemu.arg("-append").arg(format!("{settings} -- {arguments}"));
        let qemu = Tool::start(qemu.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let watchdog = Some(Watchdog::start(qemu.child()));
        let mut host = Self { qemu, watchdog, console: String::new(), namespace };
        host.wait_for("READY");
        host
    }

    /// Runs gomon while the bot executes `commands`, until it has counted `packets` packets and no other
    /// frame.
    #[track_caller]
    fn watch(&mut self, args: &str, commands: &[&str], packets: u64) -> Outcome {
        let mut gomon = within(&self.namespace.0, env!("CARGO_BIN_EXE_gomon"));
        gomon.args([TAP, BOT]).args(LONG.split_whitespace()).args(args.split_whitespace());
        gomon.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut gomon = Running::start(&mut gomon);
        let attached = gomon.wait_for_part(" attached by ");
        assert!(attached.contains(" attached by TCX on vnet0: "), "{attached}");
        for command in commands {
            self.send(command);
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
        assert!(ledger.starts_with(&expected), "{commands:?}: {ledger}");
        run
    }

    fn send(&mut self, command: &str) {
        let console = self.qemu.input();
        writeln!(console, "{command}").expect("qemu reads its input");
    }

    /// Waits for a line of console output.
    #[track_caller]
    fn wait_for(&mut self, line: &str) {
        while let Some(output) = self.qemu.line() {
            self.console += &output;
            if output.trim_end() == line {
                return;
            }
        }
        panic!("no line {line:?} on the console:\n{}{}", self.console, self.qemu.stderr());
    }

    fn power_off(mut self) {
        self.send("off");
        self.wait_for("gomon-guest: over");
        self.qemu.finish();
        self.watchdog.take().expect("the watchdog runs until the end").dismiss();
    }
}

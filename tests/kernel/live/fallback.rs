//! The fallback order: gomon explains why a mode fails, and tries the next one.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BOT, LONG, finish, net, packet, until_counted};
use crate::privileged;
use crate::support::net::{BOT_END, Net, TAP, until};
use crate::support::program::{Outcome, Scratch, command, run};
use crate::support::running::Running;
use crate::support::skip::skip;
use crate::support::tools::have;
use crate::support::tun::Tun;

/// Copies the program to where any user may run it.
fn install(scratch: &Scratch) -> PathBuf {
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o755)).unwrap();
    let program = scratch.path().join("gomon");
    fs::copy(env!("CARGO_BIN_EXE_gomon"), &program).unwrap();
    program
}

/// Runs gomon as an unprivileged user with only these capabilities.
fn unprivileged(net: &Net, program: &Path, capabilities: &[&str]) -> Command {
    let mut command = net.command("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    if !capabilities.is_empty() {
        let added: Vec<_> = capabilities.iter().map(|name| format!("+{name}")).collect();
        let added = added.join(",");
        command.args(["--inh-caps", &added, "--ambient-caps", &added]);
    }
    command.arg(program).args([TAP, BOT]);
    command
}

/// Returns the only error of a run that failed to start.
#[track_caller]
fn start_error(run: &Outcome) -> String {
    let errors = run.errors();
    assert_eq!((run.status, errors.len(), run.stdout.as_str()), (Some(1), 1, ""), "{}", run.stderr);
    errors[0].to_owned()
}

#[test]
fn live_missing_capabilities_are_named_and_nothing_is_attached() {
    let Some(net) = net().filter(|_| have("setpriv")) else { return };
    let scratch = Scratch::new();
    let program = install(&scratch);
    let all =
        "this process lacks CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: grant that or run as root";
    let raw = "this process lacks CAP_NET_RAW: grant that or run as root";
    for (mode, capabilities, missing) in [
        ("auto", &[][..], &[all, raw][..]),
        ("xdp", &[], &[all]),
        ("xdp-generic", &[], &[all]),
        ("tc", &["net_raw"], &[all]),
        ("pcap", &["bpf", "net_admin", "perfmon"], &[raw]),
        ("xdp", &["bpf"], &["this process lacks CAP_NET_ADMIN and CAP_PERFMON"]),
        ("tc", &["bpf", "net_admin"], &["this process lacks CAP_PERFMON"]),
        ("auto", &["net_admin", "perfmon"], &["this process lacks CAP_BPF:", raw]),
    ] {
        let error =
            start_error(&run(unprivileged(&net, &program, capabilities).args(["--attach", mode])));
        let reasons = error.matches("this process lacks ").count();
        assert_eq!(reasons, missing.len(), "{mode} {capabilities:?}: {error}");
        for part in missing {
            assert!(error.contains(part), "{mode} {capabilities:?}: {error}");
        }
        assert!(!net.ip(["link", "show", TAP]).contains("xdp"), "{mode}");
    }
}

#[test]
fn live_list_sources_names_the_missing_capability_and_prints_no_list() {
    let Some(net) = net().filter(|_| have("setpriv")) else { return };
    let scratch = Scratch::new();
    let run = run(unprivileged(&net, &install(&scratch), &[]).arg("--list-sources"));
    let error = start_error(&run);
    let why = ": this process lacks CAP_NET_RAW: grant that or run as root";
    assert!(error.contains("listening on vnet0: ") && error.ends_with(why), "{error}");
    assert!(!run.stderr.contains("Frames: "), "{}", run.stderr);
}

#[test]
fn live_unknown_error_of_a_mode_suggests_automatic_fallback() {
    let Some(net) = net() else { return };
    // The loopback driver does not support native XDP.
    let gomon = |mode| {
        let mut command = net.command(env!("CARGO_BIN_EXE_gomon"));
        run(command.args(["lo", BOT, "--attach", mode]))
    };
    let error = start_error(&gomon("xdp"));
    assert!(error.contains("attaching to lo: XDP (native): "), "{error}");
    assert!(error.ends_with(": try --attach auto"), "{error}");
}

#[test]
fn live_required_capabilities_are_sufficient() {
    let Some(net) = net().filter(|_| have("setpriv")) else { return };
    let scratch = Scratch::new();
    let program = install(&scratch);
    for (capabilities, mode) in [
        (&["bpf", "net_admin", "perfmon"][..], "TCX"),
        (&["sys_admin"], "TCX"),
        (&["net_raw"], "libpcap"),
    ] {
        let mut command = unprivileged(&net, &program, capabilities);
        command.args(LONG.split_whitespace()).args(["--log-level", "debug"]);
        let mut gomon = Running::start(&mut command);
        if mode == "libpcap" {
            let message = gomon.wait_for_part("trying the next mode");
            assert!(message.contains("this process lacks CAP_BPF, CAP_NET_ADMIN and"), "{message}");
        }
        // The effect of the mode on the traffic follows.
        gomon.wait_for_part(&format!(" attached by {mode} on vnet0: "));
        net.send(&vec![packet(1, 80); 10]);
        if mode == "libpcap" {
            until_counted(&mut gomon, 10);
        }
        gomon.signal("INT");
        let run = finish(gomon);
        let ledger = run.line("Ledger: ");
        assert!(ledger.starts_with("Ledger: 10 frames seen = 10 counted "), "{mode}: {ledger}");
    }
}

#[test]
fn live_interface_that_is_down_causes_a_warning_and_counts_once_it_is_up() {
    let Some(net) = net() else { return };
    net.ip(["link", "set", TAP, "down"]);
    for mode in ["auto", "tc"] {
        let mut gomon = Running::start(&mut net.gomon(BOT, &format!("{LONG} --attach {mode}")));
        let warning = gomon.wait_for_part("vnet0 is down: nothing is counted until it is up");
        assert!(warning.contains(" WARN "), "{warning}");
        gomon.wait_for_part(" attached by ");
        net.ip(["link", "set", TAP, "up"]);
        net.until_up();
        net.send(&[packet(1, 80)]);
        until_counted(&mut gomon, 1);
        gomon.signal("INT");
        let run = finish(gomon);
        assert!(run.line("Ledger: ").starts_with("Ledger: 1 frames seen = 1 counted "), "{mode}");
        net.ip(["link", "set", TAP, "down"]);
    }
}

#[test]
fn live_interface_without_a_carrier_is_not_reported_as_down() {
    let Some(net) = net() else { return };
    let peer = |state| {
        let mut ip = net.bot_command("ip");
        assert!(ip.args(["link", "set", BOT_END, state]).status().unwrap().success());
    };
    peer("down");
    until("the carrier is gone", || net.read("carrier") == "0");
    for mode in ["auto", "pcap"] {
        let mut gomon = Running::start(&mut net.gomon(BOT, &format!("{LONG} --attach {mode}")));
        let warning = gomon.wait_for_part(" WARN ");
        assert!(warning.contains("vnet0 is up and has no carrier"), "{mode}: {warning}");
        gomon.wait_for_part(" attached by ");
        gomon.signal("INT");
        finish(gomon);
    }
}

#[test]
fn live_in_a_user_namespace_libpcap_counts_and_the_reason_is_logged() {
    if !(privileged() && have("unshare") && have("ip")) {
        return;
    }
    let options = ["--map-root-user", "--net", "--mount"];
    let attempt = Command::new("unshare").args(options).arg("true").output().unwrap();
    if !attempt.status.success() {
        // In a chroot, or if a sandbox forbids it.
        let reason = String::from_utf8_lossy(&attempt.stderr);
        skip(format_args!("cannot create a user namespace: {}", reason.trim()));
        return;
    }
    // The process has capabilities over its own network namespace, but none outside it.
    let script = "mount -t sysfs none /sys && ip link add vnet0 type veth peer bot0 && \
        ip link set vnet0 up && ip link set bot0 up && exec \"$@\"";
    let gomon = |args: &str| {
        let mut command = command();
        let program = command.get_program().to_owned();
        command = Command::new("unshare");
        command.args(options).args(["sh", "-c", script, "sh"]);
        command.arg(program).args([TAP, BOT]).args(args.split_whitespace());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command
    };
    let reason = "capabilities in a user namespace only, which is not enough here";
    let mut running = Running::start(&mut gomon(LONG));
    let message = running.wait_for_part("trying the next mode");
    assert!(message.contains(reason), "{message}");
    running.wait_for_part(" attached by libpcap on vnet0");
    running.signal("INT");
    finish(running);
    let error = start_error(&run(&mut gomon("--attach xdp")));
    assert!(error.contains(reason), "{error}");
}

#[test]
fn live_interface_without_ethernet_is_counted_by_libpcap() {
    let Some(net) = net() else { return };
    let name = format!("gomon{}", std::process::id());
    let Some(mut tun) = Tun::new(&name) else { return };
    net.adopt(&name);
    net.ip(["link", "set", &name, "up"]);
    let gomon = |args: &str| {
        let mut command = net.command(env!("CARGO_BIN_EXE_gomon"));
        command.args([name.as_str(), BOT]).args(args.split_whitespace());
        command
    };
    let reason = format!("{name} carries no Ethernet frames");
    for mode in ["xdp", "xdp-generic", "tc"] {
        let error = start_error(&run(&mut gomon(&format!("--attach {mode}"))));
        assert!(error.contains(&reason), "{mode}: {error}");
    }
    let mut running = Running::start(&mut gomon(&format!("{LONG} --log-level debug")));
    let message = running.wait_for_part("trying the next mode");
    assert!(message.contains(" INFO ") && message.contains(&reason), "{message}");
    running.wait_for_part(&format!(" attached by libpcap on {name}"));
    // IP packets, without the Ethernet header.
    for frame in [packet(1, 80), packet(1, 80), packet(2, 53)] {
        tun.send(&frame[14..]);
    }
    until_counted(&mut running, 3);
    // Closing the TUN device removes the interface.
    drop(tun);
    let run = finish(running);
    let records = run.records();
    let flows: Vec<_> = records.iter().filter(|record| record["event_type"] == "flow").collect();
    let figures = |flow: usize| {
        let flow = &flows[flow]["flow"];
        (flow["pkts_toserver"].as_u64().unwrap(), flow["bytes_toserver"].as_u64().unwrap())
    };
    let length = packet(1, 80).len() as u64 - 14;
    assert_eq!((figures(0), figures(1)), ((2, 2 * length), (1, length)), "{}", run.stdout);
    assert!(run.line("Ledger: ").starts_with("Ledger: 3 frames seen = 3 counted "));
}

//! The ladder: what a process may not do, and what an interface can't, is told, and the next step is
//! taken.

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

/// The program, where anybody may run it.
fn program(scratch: &Scratch) -> PathBuf {
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o755)).unwrap();
    let program = scratch.path().join("gomon");
    fs::copy(env!("CARGO_BIN_EXE_gomon"), &program).unwrap();
    program
}

/// gomon as somebody with these capabilities and no other rights.
fn nobody(net: &Net, program: &Path, capabilities: &[&str]) -> Command {
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

/// The one error of a run that never started.
#[track_caller]
fn refusal(run: &Outcome) -> String {
    let errors = run.errors();
    assert_eq!((run.status, errors.len(), run.stdout.as_str()), (Some(1), 1, ""), "{}", run.stderr);
    errors[0].to_owned()
}

#[test]
fn live_without_the_rights_it_names_those_that_are_lacking_and_attaches_nothing() {
    let Some(net) = net().filter(|_| have("setpriv")) else { return };
    let scratch = Scratch::new();
    let program = program(&scratch);
    let all =
        "this process lacks CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: grant that or run as root";
    let raw = "this process lacks CAP_NET_RAW: grant that or run as root";
    for (mode, capabilities, lacking) in [
        ("auto", &[][..], &[all, raw][..]),
        ("xdp", &[], &[all]),
        ("xdp-generic", &[], &[all]),
        ("tc", &["net_raw"], &[all]),
        ("pcap", &["bpf", "net_admin", "perfmon"], &[raw]),
        ("xdp", &["bpf"], &["this process lacks CAP_NET_ADMIN and CAP_PERFMON"]),
        ("tc", &["bpf", "net_admin"], &["this process lacks CAP_PERFMON"]),
        ("auto", &["net_admin", "perfmon"], &["this process lacks CAP_BPF:", raw]),
    ] {
        let error = refusal(&run(nobody(&net, &program, capabilities).args(["--attach", mode])));
        let said = error.matches("this process lacks ").count();
        assert_eq!(said, lacking.len(), "{mode} {capabilities:?}: {error}");
        for part in lacking {
            assert!(error.contains(part), "{mode} {capabilities:?}: {error}");
        }
        assert!(!net.ip(["link", "show", TAP]).contains("xdp"), "{mode}");
    }
}

#[test]
fn live_without_the_right_to_listen_it_is_named_and_no_list_is_shown() {
    let Some(net) = net().filter(|_| have("setpriv")) else { return };
    let scratch = Scratch::new();
    let run = run(nobody(&net, &program(&scratch), &[]).arg("--list-sources"));
    let error = refusal(&run);
    let why = ": this process lacks CAP_NET_RAW: grant that or run as root";
    assert!(error.contains("listening on vnet0: ") && error.ends_with(why), "{error}");
    assert!(!run.stderr.contains("Frames: "), "{}", run.stderr);
}

#[test]
fn live_what_one_way_of_attaching_cannot_do_another_may() {
    let Some(net) = net() else { return };
    // The loopback interface has no driver that takes XDP.
    let gomon = |mode| {
        let mut command = net.command(env!("CARGO_BIN_EXE_gomon"));
        run(command.args(["lo", BOT, "--attach", mode]))
    };
    let error = refusal(&gomon("xdp"));
    assert!(error.contains("attaching to lo: XDP (native): "), "{error}");
    assert!(error.ends_with(": try --attach auto"), "{error}");
}

#[test]
fn live_with_the_rights_and_no_others_it_attaches() {
    let Some(net) = net().filter(|_| have("setpriv")) else { return };
    let scratch = Scratch::new();
    let program = program(&scratch);
    for (capabilities, mode) in [
        (&["bpf", "net_admin", "perfmon"][..], "XDP (native)"),
        (&["sys_admin"], "XDP (native)"),
        (&["net_raw"], "libpcap"),
    ] {
        let mut command = nobody(&net, &program, capabilities);
        command.args(LONG.split_whitespace()).args(["--log-level", "debug"]);
        let mut gomon = Running::start(&mut command);
        if mode == "libpcap" {
            let said = gomon.wait_for_part("trying the next way");
            assert!(said.contains("this process lacks CAP_BPF, CAP_NET_ADMIN and"), "{said}");
        }
        gomon.wait_for_part(&format!(" attached by {mode} on vnet0"));
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
fn live_an_interface_that_is_down_is_counted_once_it_is_up_and_a_warning_says_so() {
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
fn live_an_interface_that_is_up_without_a_carrier_is_not_said_to_be_down() {
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
fn live_in_a_user_namespace_libpcap_counts_and_the_reason_is_told() {
    if !(privileged() && have("unshare") && have("ip")) {
        return;
    }
    let rights = ["--map-root-user", "--net", "--mount"];
    let tried = Command::new("unshare").args(rights).arg("true").output().unwrap();
    if !tried.status.success() {
        // In a chroot, and where a sandbox forbids it.
        let why = String::from_utf8_lossy(&tried.stderr);
        skip(format_args!("no user namespace can be made: {}", why.trim()));
        return;
    }
    // The namespace has a network of its own, and its capabilities reach as far.
    let script = "mount -t sysfs none /sys && ip link add vnet0 type veth peer bot0 && \
        ip link set vnet0 up && ip link set bot0 up && exec \"$@\"";
    let gomon = |args: &str| {
        let mut command = command();
        let program = command.get_program().to_owned();
        command = Command::new("unshare");
        command.args(rights).args(["sh", "-c", script, "sh"]);
        command.arg(program).args([TAP, BOT]).args(args.split_whitespace());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command
    };
    let reason = "capabilities in a user namespace only, which is not enough here";
    let mut running = Running::start(&mut gomon(LONG));
    let said = running.wait_for_part("trying the next way");
    assert!(said.contains(reason), "{said}");
    running.wait_for_part(" attached by libpcap on vnet0");
    running.signal("INT");
    finish(running);
    let error = refusal(&run(&mut gomon("--attach xdp")));
    assert!(error.contains(reason), "{error}");
}

#[test]
fn live_an_interface_without_ethernet_is_counted_by_libpcap() {
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
    let why = format!("{name} carries no Ethernet frames");
    for mode in ["xdp", "xdp-generic", "tc"] {
        let error = refusal(&run(&mut gomon(&format!("--attach {mode}"))));
        assert!(error.contains(&why), "{mode}: {error}");
    }
    let mut running = Running::start(&mut gomon(&format!("{LONG} --log-level debug")));
    let said = running.wait_for_part("trying the next way");
    assert!(said.contains(" INFO ") && said.contains(&why), "{said}");
    running.wait_for_part(&format!(" attached by libpcap on {name}"));
    // Without the Ethernet header in front.
    for frame in [packet(1, 80), packet(1, 80), packet(2, 53)] {
        tun.send(&frame[14..]);
    }
    until_counted(&mut running, 3);
    // An interface that goes with its process.
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

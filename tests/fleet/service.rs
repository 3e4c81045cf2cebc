//! Signals, and notifications to the service manager.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::program::FleetProgram;
use crate::support::program::{Scratch, command};
use crate::support::running::Running;
use crate::support::tools::{checked, have};

const CONFIGURATION: &str = "[control]\nsocket = \"{dir}/control.sock\"\n\
                             [[bot]]\ninterface = \"gomon-none\"\nsrc = \"any\"\n";

#[test]
fn a_broken_configuration_changes_nothing_and_says_why() {
    let mut fleet = FleetProgram::start(None, CONFIGURATION);
    fleet.configure(&CONFIGURATION.replace("src", "scr"));
    fleet.running.signal("HUP");
    let line = fleet.running.wait_for_part("the configuration was not changed");
    assert!(line.contains("gomon.toml:5: scr: unknown key: did you mean \"src\"?"), "{line}");
    let outcome = fleet.ctl("reload");
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.ends_with(": nothing was changed\n"), "{outcome:?}");
    assert_eq!(fleet.bot("list", "gomon-none", "any")["state"], "waiting");
    fleet.configure(&CONFIGURATION.replace("gomon-none", "gomon-two"));
    fleet.running.signal("HUP");
    fleet.running.wait_for_part("the configuration was re-read");
    assert!(fleet.bot("list", "gomon-none", "any").is_null());
    assert_eq!(fleet.bot("list", "gomon-two", "any")["state"], "waiting");
    fleet.running.signal("USR1");
    fleet.running.wait_for_part("gomon-two any: waiting");
    assert_eq!(fleet.stop().status, Some(0));
}

#[test]
fn the_service_manager_is_notified() {
    let scratch = Scratch::new();
    let path = scratch.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let wait_for = |state: &str| {
        let mut received = String::new();
        while !received.lines().any(|line| line == state) {
            let mut buffer = [0; 4096];
            let length =
                socket.recv(&mut buffer).unwrap_or_else(|_| panic!("no {state}: {received}"));
            received.push_str(&String::from_utf8_lossy(&buffer[..length]));
            received.push('\n');
        }
        received
    };
    let dir = scratch.path().display().to_string();
    let toml = scratch.file("gomon.toml", CONFIGURATION.replace("{dir}", &dir).as_bytes());
    let mut command = command();
    command.args(["fleet", "--config"]).arg(toml).env("NOTIFY_SOCKET", &path);
    command.env("WATCHDOG_USEC", "200000");
    let running = Running::start(&mut command);
    wait_for("READY=1");
    wait_for("WATCHDOG=1");
    running.signal("HUP");
    assert!(wait_for("RELOADING=1").contains("MONOTONIC_USEC="));
    wait_for("READY=1");
    running.signal("TERM");
    wait_for("STOPPING=1");
    assert_eq!(running.finish().status, Some(0));
}

#[test]
fn the_units_are_valid() {
    if !have("systemd-analyze") {
        return;
    }
    let scratch = Scratch::new();
    let units = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    for (unit, instance) in
        [("gomon-fleet.service", "gomon-fleet.service"), ("gomon@.service", "gomon@vnet0.service")]
    {
        let text = std::fs::read_to_string(units.join(unit)).unwrap();
        // The program need not be installed here.
        let text = text.replace("/usr/local/bin/gomon", env!("CARGO_BIN_EXE_gomon"));
        scratch.file(unit, text.as_bytes());
        let mut analyze = std::process::Command::new("systemd-analyze");
        checked(analyze.arg("verify").arg(scratch.path().join(instance)));
    }
}

//! Tests of `.cargo/cc`, which links the project's programs, on simulated machines: every program is a stub.
#![allow(clippy::expect_used, reason = "a failed setup fails the test")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CC: (&str, &str) = ("cc", "echo cc: \"$@\"");
const ROOT: (&str, &str) = ("id", "echo 0");
const USER: (&str, &str) = ("id", "echo 1000");
const SUDO: (&str, &str) = ("sudo", "");
/// `apt-get` that installs a compiler, and one that fails.
const APT: (&str, &str) =
    ("apt-get", "echo apt-get: \"$@\" >>$HOME/log; cp $HOME/later $HOME/bin/cc");
const OFFLINE: (&str, &str) = ("apt-get", "echo no network; exit 100");
/// Without a terminal, like most machines in CI.
const CALLED_BY_XTASK: (&str, &str) = ("GOMON_XTASK_TERMINAL", "/nowhere/tty");

struct StubMachine(PathBuf);

impl StubMachine {
    fn new(name: &str, programs: &[(&str, &str)]) -> Self {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&home); // from an earlier run
        fs::create_dir_all(home.join("bin")).expect("a directory");
        // The stub of apt-get uses it.
        std::os::unix::fs::symlink("/bin/cp", home.join("bin/cp")).expect("a link");
        let write = |path: &str, script: &str| {
            let path = home.join(path);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
            fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("its owner");
        };
        write("later", CC.1);
        for (name, script) in programs {
            write(&format!("bin/{name}"), script);
        }
        Self(home)
    }

    fn link(&self, settings: &[(&str, &str)]) -> Output {
        let mut linker = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.cargo/cc"));
        linker.args(["-o", "a program"]).env_clear().envs(settings.iter().copied());
        linker.env("HOME", &self.0).env("PATH", self.0.join("bin")).output().expect("it starts")
    }

    /// Returns the error of a link that must fail.
    #[track_caller]
    fn refusal(&self, settings: &[(&str, &str)]) -> String {
        let output = self.link(settings);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!self.0.join("bin/cc").exists(), "a compiler is installed");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        let line = stderr.lines().last().expect("a line");
        let why = line.strip_prefix("gomon: linking a program: there is no C compiler (cc): ");
        why.expect(&stderr).to_owned()
    }
}

#[track_caller]
fn assert_linked(output: &Output) {
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"cc: -o a program\n", "{output:?}");
}

#[test]
fn an_installed_compiler_is_used() {
    let machine = StubMachine::new("with-cc", &[CC, APT, ROOT]);
    assert_linked(&machine.link(&[CALLED_BY_XTASK]));
    assert!(!machine.0.join("log").exists(), "nothing is installed");
}

#[test]
fn cargo_xtask_installs_a_compiler_as_root() {
    let machine = StubMachine::new("without-cc", &[APT, ROOT]);
    assert_eq!(
        machine.refusal(&[]),
        "type: apt-get update && apt-get install -y gcc libc6-dev libpcap-dev"
    );
    let terminal = machine.0.join("terminal");
    let terminal = terminal.to_str().expect("a path in UTF-8");
    assert_linked(&machine.link(&[(CALLED_BY_XTASK.0, terminal)]));
    let progress = fs::read_to_string(terminal).expect("a progress message");
    assert_eq!(progress, "xtask: installing gcc libc6-dev libpcap-dev\n");
    assert_eq!(
        fs::read_to_string(machine.0.join("log")).expect("apt-get was called"),
        "apt-get: update\napt-get: install -y --no-install-recommends gcc libc6-dev libpcap-dev\n"
    );
}

#[test]
fn the_output_of_a_failed_installation_is_shown() {
    let machine = StubMachine::new("offline", &[OFFLINE, ROOT]);
    let stderr = machine.link(&[CALLED_BY_XTASK]).stderr;
    assert!(stderr.starts_with(b"no network\n"), "{}", String::from_utf8_lossy(&stderr));
    assert!(machine.refusal(&[CALLED_BY_XTASK]).starts_with("apt-get failed"));
}

#[test]
fn a_user_sees_the_command_to_type() {
    let machine = StubMachine::new("user", &[APT, USER]);
    assert_eq!(
        machine.refusal(&[CALLED_BY_XTASK]),
        "as root, type: apt-get update && apt-get install -y gcc libc6-dev libpcap-dev"
    );
    let machine = StubMachine::new("sudoer", &[APT, USER, SUDO]);
    assert_eq!(
        machine.refusal(&[CALLED_BY_XTASK]),
        "type: sudo apt-get update && sudo apt-get install -y gcc libc6-dev libpcap-dev"
    );
}

#[test]
fn without_apt_the_packages_are_named() {
    let machine = StubMachine::new("not-debian", &[ROOT]);
    assert_eq!(
        machine.refusal(&[CALLED_BY_XTASK]),
        "install the Debian packages gcc libc6-dev libpcap-dev"
    );
}

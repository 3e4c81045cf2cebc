//! `.cargo/cc`, which links the project's programs, on machines of which no program is real.
#![allow(clippy::expect_used, reason = "a test that can't be set up fails")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CC: (&str, &str) = ("cc", "echo cc: \"$@\"");
const ROOT: (&str, &str) = ("id", "echo 0");
const USER: (&str, &str) = ("id", "echo 1000");
const SUDO: (&str, &str) = ("sudo", "");
/// Installs a compiler, or fails.
const APT: (&str, &str) =
    ("apt-get", "echo apt-get: \"$@\" >>$HOME/log; cp $HOME/later $HOME/bin/cc");
const OFFLINE: (&str, &str) = ("apt-get", "echo no network; exit 100");
/// Like most machines in CI, this one has no terminal.
const CALLED_BY_XTASK: (&str, &str) = ("GOMON_XTASK_TERMINAL", "/nowhere/tty");

struct Machine(PathBuf);

impl Machine {
    fn new(name: &str, programs: &[(&str, &str)]) -> Self {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&home); // of an earlier run
        fs::create_dir_all(home.join("bin")).expect("a directory");
        // What an installation takes, too.
        std::os::unix::fs::symlink("/bin/cp", home.join("bin/cp")).expect("a link");
        let write = |path: &str, script: &str| {
            let path = home.join(path);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
            fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("it is ours");
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

    /// What it says where it can't link.
    #[track_caller]
    fn refusal(&self, settings: &[(&str, &str)]) -> String {
        let output = self.link(settings);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!self.0.join("bin/cc").exists(), "a compiler is installed");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        let line = said.lines().last().expect("a line");
        let why = line.strip_prefix("gomon: linking a program: there is no C compiler (cc): ");
        why.expect(&said).to_owned()
    }
}

#[track_caller]
fn assert_linked(output: &Output) {
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"cc: -o a program\n", "{output:?}");
}

#[test]
fn where_there_is_a_compiler_it_is_that() {
    let machine = Machine::new("with-cc", &[CC, APT, ROOT]);
    assert_linked(&machine.link(&[CALLED_BY_XTASK]));
    assert!(!machine.0.join("log").exists(), "nothing is to be installed");
}

#[test]
fn root_gets_one_by_cargo_xtask() {
    let machine = Machine::new("without-cc", &[APT, ROOT]);
    assert_eq!(
        machine.refusal(&[]),
        "type: apt-get update && apt-get install -y gcc libc6-dev libpcap-dev"
    );
    let terminal = machine.0.join("terminal");
    let terminal = terminal.to_str().expect("a path in UTF-8");
    assert_linked(&machine.link(&[(CALLED_BY_XTASK.0, terminal)]));
    let said = fs::read_to_string(terminal).expect("it says what takes so long");
    assert_eq!(said, "xtask: installing gcc libc6-dev libpcap-dev\n");
    assert_eq!(
        fs::read_to_string(machine.0.join("log")).expect("apt-get was called"),
        "apt-get: update\napt-get: install -y --no-install-recommends gcc libc6-dev libpcap-dev\n"
    );
}

#[test]
fn when_that_fails_all_is_shown() {
    let machine = Machine::new("offline", &[OFFLINE, ROOT]);
    let said = machine.link(&[CALLED_BY_XTASK]).stderr;
    assert!(said.starts_with(b"no network\n"), "{}", String::from_utf8_lossy(&said));
    assert!(machine.refusal(&[CALLED_BY_XTASK]).starts_with("apt-get failed"));
}

#[test]
fn a_user_is_told_what_to_type() {
    let machine = Machine::new("user", &[APT, USER]);
    assert_eq!(
        machine.refusal(&[CALLED_BY_XTASK]),
        "as root, type: apt-get update && apt-get install -y gcc libc6-dev libpcap-dev"
    );
    let machine = Machine::new("sudoer", &[APT, USER, SUDO]);
    assert_eq!(
        machine.refusal(&[CALLED_BY_XTASK]),
        "type: sudo apt-get update && sudo apt-get install -y gcc libc6-dev libpcap-dev"
    );
}

#[test]
fn without_apt_the_packages_are_named() {
    let machine = Machine::new("not-debian", &[ROOT]);
    assert_eq!(
        machine.refusal(&[CALLED_BY_XTASK]),
        "install what Debian has in: gcc libc6-dev libpcap-dev"
    );
}

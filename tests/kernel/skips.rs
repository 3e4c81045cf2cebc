//! A test that can't run is distinguished from one that passed.

use std::env;
use std::fs;
use std::process::{Command, Output};

use crate::support::program::Scratch;
use crate::support::skip;

/// A test that wants programs of this machine.
const WANTING: &str = "generator::generated_packets_go_to_random_hosts";

/// Runs it where there is no program at all.
fn run(settings: &[(&str, &str)]) -> Output {
    let mut test = Command::new(env::current_exe().unwrap());
    test.args(["--exact", WANTING]).env_remove("CI").env_remove(skip::LIST);
    test.envs(settings.iter().copied()).env("PATH", "").output().unwrap()
}

#[test]
fn what_a_test_lacks_is_listed() {
    let scratch = Scratch::new();
    let list = scratch.path().join("skipped");
    let output = run(&[(skip::LIST, list.to_str().unwrap())]);
    assert!(output.status.success(), "{output:?}");
    let listed = fs::read_to_string(list).unwrap();
    let lacks = |tool| format!("kernel\t{WANTING}\t{tool} is not installed");
    let lines: Vec<_> = listed.lines().take(2).collect();
    assert_eq!(lines, [lacks("ip"), lacks("tcpdump")]);
}

#[test]
fn without_a_list_it_is_said_though_the_test_passes() {
    let output = run(&[("CI", "false")]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("SKIPPED kernel {WANTING} ip is not installed\n")), "{said}");
}

#[test]
fn in_ci_the_test_fails() {
    let output = run(&[("CI", "true")]);
    assert!(!output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("nothing may be in CI: ip is not installed"), "{said}");
}

//! A skipped test can be distinguished from one that passed.

use std::env;
use std::fs;
use std::process::{Command, Output};

use crate::support::program::Scratch;
use crate::support::skip;

/// A test that requires programs to be installed.
const TEST: &str = "generator::generated_packets_go_to_random_hosts";

/// Runs the test with an empty `PATH`.
fn run(settings: &[(&str, &str)]) -> Output {
    let mut test = Command::new(env::current_exe().unwrap());
    test.args(["--exact", TEST]).env_remove("CI").env_remove(skip::LIST);
    test.envs(settings.iter().copied()).env("PATH", "").output().unwrap()
}

#[test]
fn missing_programs_are_listed() {
    let scratch = Scratch::new();
    let list = scratch.path().join("skipped");
    let output = run(&[(skip::LIST, list.to_str().unwrap())]);
    assert!(output.status.success(), "{output:?}");
    let listed = fs::read_to_string(list).unwrap();
    let entry = |tool| format!("kernel\t{TEST}\t{tool} is not installed");
    let lines: Vec<_> = listed.lines().take(2).collect();
    assert_eq!(lines, [entry("ip"), entry("tcpdump")]);
}

#[test]
fn without_a_list_skips_are_printed_and_the_test_passes() {
    let output = run(&[("CI", "false")]);
    assert!(output.status.success(), "{output:?}");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains(&format!("SKIPPED kernel {TEST} ip is not installed\n")), "{message}");
}

#[test]
fn in_ci_a_skipped_test_fails() {
    let output = run(&[("CI", "true")]);
    assert!(!output.status.success(), "{output:?}");
    let message = String::from_utf8(output.stdout).unwrap();
    assert!(message.contains("where no test may be skipped: ip is not installed"), "{message}");
}

//! Tests that can't run on this machine. libtest knows only passed and failed, and keeps what a test that
//! passed has printed to itself.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::File;
use std::io::{Write, stderr};
use std::sync::Mutex;
use std::thread;

/// Names a file to which skipped tests are appended, a line each: target, test and reason with tabs
/// between them. `cargo xtask test` sets it; without it a line goes to standard error.
pub const LIST: &str = "GOMON_SKIPPED_TESTS";

/// Records that the calling test, or a part of it, is skipped. In CI that is a failure: a test that is
/// skipped there is never run.
#[track_caller]
pub fn skip(why: impl Display) {
    let ci = std::env::var("CI").unwrap_or_default();
    assert!(matches!(&*ci, "" | "false" | "0"), "skipped, which nothing may be in CI: {why}");
    skip_in_ci_too(why);
}

/// The same for what is no part of the project, so that CI need not have it: real captures, schemas.
pub fn skip_in_ci_too(why: impl Display) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    // libtest runs every test in a thread of its name.
    let thread = thread::current();
    let line =
        format!("{}\t{}\t{why}\n", env!("CARGO_CRATE_NAME"), thread.name().expect("a test's name"));
    if !SAID.lock().expect("no test panics here").insert(line.clone()) {
        return;
    }
    // Written at once, because other tests write too.
    if let Some(list) = std::env::var_os(LIST) {
        let list = File::options().append(true).create(true).open(list);
        list.and_then(|mut list| list.write_all(line.as_bytes()))
            .expect("the list of skipped tests");
    } else {
        // Not by `eprintln!`, which libtest captures.
        let _ = stderr().write_all(format!("SKIPPED {}", line.replace('\t', " ")).as_bytes());
    }
}

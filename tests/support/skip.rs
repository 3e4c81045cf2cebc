//! Tests that cannot run on this machine. libtest has no result "skipped", and discards the output of a test that
//! passed.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::File;
use std::io::{Write, stderr};
use std::sync::Mutex;
use std::thread;

/// The variable with the path of a file to which skipped tests are appended, one per line: target, test and reason,
/// separated by tabs. `cargo xtask test` sets it; without it the line is written to standard error.
pub const LIST: &str = "GOMON_SKIPPED_TESTS";

/// Records that the calling test, or a part of it, is skipped. In CI it fails the test: a test that is skipped there
/// is never run.
#[track_caller]
pub fn skip(why: impl Display) {
    let ci = std::env::var("CI").unwrap_or_default();
    assert!(
        matches!(&*ci, "" | "false" | "0"),
        "skipped in CI, where no test may be skipped: {why}"
    );
    skip_in_ci_too(why);
}

/// Like [`skip`], for data that is not part of the project, so that CI can lack it: real captures, schemas.
pub fn skip_in_ci_too(why: impl Display) {
    static RECORDED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    // libtest names the thread of each test after it.
    let thread = thread::current();
    let line =
        format!("{}\t{}\t{why}\n", env!("CARGO_CRATE_NAME"), thread.name().expect("a test's name"));
    if !RECORDED.lock().expect("no test panics here").insert(line.clone()) {
        return;
    }
    // One write, because other tests append too.
    if let Some(list) = std::env::var_os(LIST) {
        let list = File::options().append(true).create(true).open(list);
        list.and_then(|mut list| list.write_all(line.as_bytes()))
            .expect("the list of skipped tests");
    } else {
        // Not with `eprintln!`, which libtest captures.
        let _ = stderr().write_all(format!("SKIPPED {}", line.replace('\t', " ")).as_bytes());
    }
}

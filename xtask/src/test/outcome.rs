//! What the tests came to. libtest has no word for a test that could not run, and counts it as passed: such
//! tests are listed in a file, by `tests/support/skip.rs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::{self, BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::workspace::{describe, root, target};

/// Names the file to the tests.
const LIST: &str = "GOMON_SKIPPED_TESTS";

#[derive(Default)]
pub(super) struct Outcome {
    /// As libtest counts: those that were skipped are among them.
    passed: usize,
    failed: Vec<String>,
    /// By target and test, with the reasons.
    skipped: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Outcome {
    /// Runs `cargo test`, passing on what it prints, and adds what comes of it; anything but success is an
    /// error.
    pub(super) fn add(&mut self, command: &mut Command) -> Result<()> {
        let list = List::fresh()?;
        let attempt = format!("run `{}`", describe(command));
        let attempt = || attempt.clone();
        command.env(LIST, &list.0).stdout(Stdio::piped());
        let mut test = command.spawn().with_context(attempt)?;
        let printed = BufReader::new(test.stdout.take().context("the output is piped")?);
        for line in printed.split(b'\n') {
            let line = line.with_context(attempt)?;
            self.read(&String::from_utf8_lossy(&line));
            io::stdout().write_all(&[&line[..], b"\n"].concat())?;
        }
        let status = test.wait().with_context(attempt)?;
        self.enter(&list.read()?);
        ensure!(status.success(), "{}: {status}: its output is above", attempt());
        Ok(())
    }

    /// A line that libtest prints.
    fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            // "ok. 3 passed; 0 failed; ..."
            let passed =
                result.split_once(" passed").and_then(|(before, _)| before.rsplit(' ').next());
            self.passed += passed.and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
        } else if let Some(test) = line.strip_prefix("test ") {
            self.failed.extend(test.strip_suffix(" ... FAILED").map(str::to_owned));
        }
    }

    /// The list of skipped tests.
    fn enter(&mut self, list: &str) {
        for line in list.lines() {
            let mut parts = line.splitn(3, '\t').map(str::to_owned);
            if let (Some(target), Some(test), Some(why)) = (parts.next(), parts.next(), parts.next())
                // Without one part a test can fail in another.
                && !self.failed.contains(&test)
            {
                self.skipped.entry((target, test)).or_default().insert(why);
            }
        }
    }
}

/// A line for each test that did not pass, and one that counts them all.
impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((target, test), reasons) in &self.skipped {
            let reasons: Vec<_> = reasons.iter().map(String::as_str).collect();
            writeln!(out, "SKIPPED {target} {test}: {}", reasons.join("; "))?;
        }
        for test in &self.failed {
            writeln!(out, "FAILED {test}")?;
        }
        let (failed, skipped) = (self.failed.len(), self.skipped.len());
        let passed = self.passed.saturating_sub(skipped);
        write!(out, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// The file that skipped tests are appended to.
struct List(PathBuf);

impl List {
    fn fresh() -> Result<Self> {
        // Tests run in the directories of their packages.
        let path = root().join(target()?).join("skipped-tests");
        fs::write(&path, "").with_context(|| format!("empty {}", path.display()))?;
        Ok(Self(path))
    }

    fn read(&self) -> Result<String> {
        fs::read_to_string(&self.0).with_context(|| format!("read {}", self.0.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What libtest prints for four tests of one target and one of another.
    const PRINTED: &str = "
running 4 tests
test a::runs ... ok
test a::lacks ... ok
test a::fails ... FAILED
test a::lacks_in_part_and_fails ... FAILED

test result: FAILED. 2 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s

running 1 test
test b ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.00s
";

    fn outcome(printed: &str, list: &str) -> String {
        let mut outcome = Outcome::default();
        printed.lines().for_each(|line| outcome.read(line));
        outcome.enter(list);
        outcome.to_string()
    }

    #[test]
    fn a_skipped_test_is_named_and_did_not_pass() {
        let list = "kernel\ta::lacks\tno root\nkernel\ta::lacks\tip is not installed\n\
                    kernel\ta::lacks\tno root\nkernel\ta::lacks_in_part_and_fails\tno root\n";
        let expected = "SKIPPED kernel a::lacks: ip is not installed; no root
FAILED a::fails
FAILED a::lacks_in_part_and_fails
2 passed, 2 failed, 1 skipped";
        assert_eq!(outcome(PRINTED, list), expected);
    }

    #[test]
    fn the_tests_know_the_list_by_the_same_name() {
        let skip = include_str!("../../../tests/support/skip.rs");
        assert!(skip.contains(&format!("const LIST: &str = {LIST:?};")));
    }
}

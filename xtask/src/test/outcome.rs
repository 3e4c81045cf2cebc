//! The result of the tests. libtest cannot report a skipped test, and counts it as passed. `tests/support/skip.rs`
//! lists the skipped tests in a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::{self, BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::workspace::{describe, root, target};

/// The variable that passes the path of that file to the tests.
const LIST: &str = "GOMON_SKIPPED_TESTS";

#[derive(Default)]
pub(super) struct Outcome {
    /// As libtest counts, including skipped tests.
    passed: usize,
    failed: Vec<String>,
    /// Reasons by target and test.
    skipped: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Outcome {
    /// Runs `cargo test`, forwards its output, and adds its result. Fails when it fails.
    pub(super) fn add(&mut self, command: &mut Command) -> Result<()> {
        let list = List::create()?;
        let attempt = format!("run `{}`", describe(command));
        let attempt = || attempt.clone();
        command.env(LIST, &list.0).stdout(Stdio::piped());
        let mut test = command.spawn().with_context(attempt)?;
        let printed = BufReader::new(test.stdout.take().context("the output is piped")?);
        for line in printed.split(b'\n') {
            let line = line.with_context(attempt)?;
            self.add_output(&String::from_utf8_lossy(&line));
            io::stdout().write_all(&[&line[..], b"\n"].concat())?;
        }
        let status = test.wait().with_context(attempt)?;
        self.add_skipped(&list.read()?);
        ensure!(status.success(), "{}: {status}: its output is above", attempt());
        Ok(())
    }

    /// Adds a line that libtest prints.
    fn add_output(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            // "ok. 3 passed; 0 failed; ..."
            let passed =
                result.split_once(" passed").and_then(|(before, _)| before.rsplit(' ').next());
            self.passed += passed.and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
        } else if let Some(test) = line.strip_prefix("test ") {
            self.failed.extend(test.strip_suffix(" ... FAILED").map(str::to_owned));
        }
    }

    /// Adds the list of skipped tests.
    fn add_skipped(&mut self, list: &str) {
        for line in list.lines() {
            let mut parts = line.splitn(3, '\t').map(str::to_owned);
            if let (Some(target), Some(test), Some(why)) = (parts.next(), parts.next(), parts.next())
                // A test that skipped one part can fail in another.
                && !self.failed.contains(&test)
            {
                self.skipped.entry((target, test)).or_default().insert(why);
            }
        }
    }
}

/// One line per test that did not pass, and one with the numbers of all.
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

/// The file to which skipped tests are appended.
struct List(PathBuf);

impl List {
    fn create() -> Result<Self> {
        // Absolute, because tests run in the directories of their packages.
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
        printed.lines().for_each(|line| outcome.add_output(line));
        outcome.add_skipped(list);
        outcome.to_string()
    }

    #[test]
    fn a_skipped_test_is_named_and_not_counted_as_passed() {
        let list = "kernel\ta::lacks\tno root\nkernel\ta::lacks\tip is not installed\n\
                    kernel\ta::lacks\tno root\nkernel\ta::lacks_in_part_and_fails\tno root\n";
        let expected = "SKIPPED kernel a::lacks: ip is not installed; no root
FAILED a::fails
FAILED a::lacks_in_part_and_fails
2 passed, 2 failed, 1 skipped";
        assert_eq!(outcome(PRINTED, list), expected);
    }

    #[test]
    fn the_tests_use_the_same_variable() {
        let skip = include_str!("../../../tests/support/skip.rs");
        assert!(skip.contains(&format!("const LIST: &str = {LIST:?};")));
    }
}

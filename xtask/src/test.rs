//! `cargo xtask test`: every check that a change must pass, the fastest first.

mod outcome;

use std::{
    fmt,
    io::{self, Write as _},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::{
    ebpf, fuzz, guard,
    prerequisites::{self, in_ci},
    vm,
    workspace::{self, cargo, describe},
};
use outcome::Outcome;

#[derive(Args)]
pub(crate) struct TestArgs {
    /// Seconds for all fuzz targets together; 0 skips them
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    fuzz_seconds: u32,
    /// Arguments for `cargo test`: a filter, or `-- --nocapture` after one more `--`
    #[arg(last = true)]
    test_args: Vec<String>,
}

/// Runs all steps, and stops at the first that fails. Prints the result at the end in both cases.
pub(crate) fn run(args: &TestArgs) -> Result<()> {
    prerequisites::for_testing()?;
    let mut report = StepReport::default();
    let done = steps(args, &mut report);
    writeln!(io::stdout(), "{report}")?;
    done
}

fn steps(args: &TestArgs, report: &mut StepReport) -> Result<()> {
    if report.has_component("fmt", "rustfmt")? {
        report.step("fmt", cargo().args(["fmt", "--all", "--check"]))?;
        let ebpf = ["fmt", "--manifest-path", "gomon-ebpf/Cargo.toml", "--check"];
        report.step("fmt", cargo().args(ebpf))?;
    }
    if report.has_component("clippy", "clippy")? {
        let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        report.step("clippy", cargo().args(clippy))?;
    }
    let doc = ["doc", "--workspace", "--no-deps"];
    report.step("doc", cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings"))?;
    object(report)?;
    guest(report)?;
    let test = ["test", "--workspace", "--no-fail-fast"];
    report.tests(cargo().args(test).args(&args.test_args))?;
    instructions(report)?;
    if args.fuzz_seconds == 0 {
        report.skip("fuzz", "--fuzz-seconds 0");
    } else if !prerequisites::has_program("c++") {
        report.skip("fuzz", "libFuzzer needs a C++ compiler: apt-get install g++");
    } else {
        for mut target in fuzz::targets(args.fuzz_seconds)? {
            report.step("fuzz", &mut target)?;
        }
    }
    Ok(())
}

/// Builds the object from its sources where there is a compiler for it, so that the tests run on it.
fn object(report: &mut StepReport) -> Result<()> {
    const NAME: &str = "ebpf";
    if in_ci() {
        // A build would replace an outdated object.
        ebpf::check()?;
    }
    match compiler() {
        Err(error) if in_ci() => Err(error),
        Err(error) => {
            ebpf::check()?;
            report.skip(NAME, &format!("{error:#}"));
            Ok(())
        }
        Ok(()) => report.time(NAME, ebpf::build),
    }
}

/// Makes the compiler for the kernel program available. Root installs it, where the distribution has it.
fn compiler() -> Result<()> {
    if !ebpf::can_build()? {
        let root = rustix::process::geteuid().is_root();
        ensure!(root, "no compiler for the kernel program: cargo xtask ebpf installs it as root");
        prerequisites::offers_ebpf()?;
    }
    ebpf::prepare()
}

/// Prepares the virtual machine for the test that needs one. Its kernel comes from a mirror, which can be
/// unreachable.
fn guest(report: &mut StepReport) -> Result<()> {
    const NAME: &str = "guest";
    if !rustix::process::geteuid().is_root() && !in_ci() {
        report.skip(NAME, "tests on the kernel need root");
    } else if !prerequisites::has_machines() && !in_ci() {
        report.skip(NAME, "packages for virtual machines are missing: see above");
    } else if let Err(error) = report.time(NAME, vm::prepare_guest) {
        if in_ci() {
            return Err(error);
        }
        report.skip(NAME, &format!("{error:#}"));
    }
    Ok(())
}

/// Checks that replays take no more instructions than recorded.
fn instructions(report: &mut StepReport) -> Result<()> {
    const NAME: &str = "guard";
    if !prerequisites::has_program("valgrind") {
        report.skip(NAME, "valgrind is not installed: apt-get install valgrind");
    } else if let Some(why) = guard::other_compiler()? {
        report.skip(NAME, &why);
    } else {
        return report.time(NAME, || guard::check(false));
    }
    Ok(())
}

/// The steps done so far.
#[derive(Default)]
struct StepReport {
    passed: Vec<&'static str>,
    skipped: Vec<(&'static str, String)>,
    tests: Option<Outcome>,
}

impl StepReport {
    fn step(&mut self, name: &'static str, command: &mut Command) -> Result<()> {
        eprintln!("xtask: {name}: {}", describe(command));
        self.time(name, || workspace::run(command))
    }

    fn tests(&mut self, command: &mut Command) -> Result<()> {
        const NAME: &str = "test";
        eprintln!("xtask: {NAME}: {}", describe(command));
        let mut tests = Outcome::default();
        let done = self.time(NAME, || tests.add(command));
        self.tests = Some(tests);
        done
    }

    fn time(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        work()?;
        eprintln!("xtask: {name}: passed in {:.1} s", start.elapsed().as_secs_f64());
        self.passed.push(name);
        self.passed.dedup();
        Ok(())
    }

    fn skip(&mut self, name: &'static str, why: &str) {
        eprintln!("xtask: {name}: SKIPPED: {why}");
        self.skipped.push((name, why.to_owned()));
    }

    /// Whether a component of the toolchain is installed. A minimal toolchain lacks rustfmt and clippy, and can
    /// still run the tests.
    fn has_component(&mut self, name: &'static str, component: &str) -> Result<bool> {
        let mut version = cargo();
        version.args([name, "--version"]);
        version.stdout(Stdio::null()).stderr(Stdio::null());
        if version.status().is_ok_and(|status| status.success()) {
            return Ok(true);
        }
        let why = format!("{component} is not installed: rustup component add {component}");
        if in_ci() {
            bail!("{name}: {why}");
        }
        self.skip(name, &why);
        Ok(false)
    }
}

/// The skipped steps with their reasons, the passed steps, and the numbers of tests. A skipped step is not a test.
impl fmt::Display for StepReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, why) in &self.skipped {
            writeln!(out, "SKIPPED step {name}: {why}")?;
        }
        write!(out, "xtask test: steps passed: {}", self.passed.join(", "))?;
        self.tests.iter().try_for_each(|tests| write!(out, "\n{tests}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_every_skipped_step() {
        let mut report = StepReport { passed: vec!["fmt", "test"], ..StepReport::default() };
        assert_eq!(report.to_string(), "xtask test: steps passed: fmt, test");
        report.skip("fuzz", "no time");
        report.tests = Some(Outcome::default());
        let expected = "SKIPPED step fuzz: no time\nxtask test: steps passed: fmt, test\n\
                        0 passed, 0 failed, 0 skipped";
        assert_eq!(report.to_string(), expected);
    }
}

//! Detects replays that take more instructions than before. Instructions are counted rather than time measured:
//! the count does not depend on other load on the machine.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    bench::guarded,
    frames::BOT,
    workspace::{self, describe, root, text},
};

/// The recorded counts, each with its name, after the compiler they were made with.
const RECORDED: &str = "xtask/instructions.txt";
/// The accepted ratio to the recorded count.
const MARGIN: f64 = 1.05;

/// Returns an explanation when the counts were recorded with another compiler, which generates other code.
pub(crate) fn other_compiler() -> Result<Option<String>> {
    let (compiler, _) = recorded()?;
    let here = rustc()?;
    Ok((compiler != here)
        .then(|| format!("{RECORDED} was recorded with {compiler}, and this is {here}")))
}

/// Counts, and compares with the recorded counts, or records the new ones.
pub(crate) fn check(write: bool) -> Result<()> {
    let counted = count()?;
    if write {
        let mut lines = vec![rustc()?];
        lines.extend(counted.iter().map(|(name, count)| format!("{count} {name}")));
        return Ok(fs::write(root().join(RECORDED), lines.join("\n") + "\n")?);
    }
    let (_, recorded) = recorded()?;
    let mut worse = Vec::new();
    for (name, count) in &counted {
        let before =
            recorded.iter().find(|(recorded, _)| recorded == name).map(|(_, count)| *count);
        let before = before.with_context(|| format!("find {name:?} in {RECORDED}"))?;
        let ratio = ratio(*count, before);
        eprintln!("xtask: {name}: {count} instructions, {ratio:.3} times the recorded {before}");
        if ratio > MARGIN {
            worse.push(format!("{name} takes {ratio:.2} times the instructions it took"));
        }
    }
    if !worse.is_empty() {
        bail!("{}: find the cause; to accept it: cargo xtask guard --write", worse.join(", "));
    }
    Ok(())
}

/// Counts the instructions of replays of fixed captures, with callgrind.
fn count() -> Result<Vec<(String, u64)>> {
    let gomon = root().join(workspace::build_gomon()?);
    let directory = root().join(workspace::target()?.join("bench"));
    let mut counted = Vec::new();
    for (name, traffic) in guarded() {
        let capture = traffic.capture(&directory)?;
        counted.push((name.to_owned(), instructions(&gomon, &capture)?));
    }
    Ok(counted)
}

fn instructions(gomon: &Path, capture: &Path) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(gomon).arg(capture).arg(BOT.to_string());
    command.args(["--quiet", "--eve-log-path", "/dev/null"]);
    let attempt = || format!("count the instructions of `{}`", describe(&command));
    let output = Command::new(command.get_program()).args(command.get_args()).output();
    let output = output.with_context(attempt)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}", attempt(), stderr.trim());
    collected(&stderr).with_context(attempt)
}

/// Returns the count in the output of callgrind.
fn collected(output: &str) -> Option<u64> {
    output.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

fn recorded() -> Result<(String, Vec<(String, u64)>)> {
    let text =
        fs::read_to_string(root().join(RECORDED)).with_context(|| format!("read {RECORDED}"))?;
    let mut lines = text.lines();
    let compiler = lines.next().unwrap_or_default().to_owned();
    let counts = lines.filter_map(|line| {
        let (count, name) = line.split_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    Ok((compiler, counts.collect()))
}

fn rustc() -> Result<String> {
    Ok(text(Command::new("rustc").arg("--version"))?.trim().to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "some hundred millions")]
fn ratio(count: u64, before: u64) -> f64 {
    count as f64 / before as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_callgrind_is_found() {
        let output = "==7== Events    : Ir\n==7== Collected : 385389955\n==7== \n";
        assert_eq!(collected(output), Some(385_389_955));
        assert_eq!(collected("valgrind: no such file"), None);
    }
}

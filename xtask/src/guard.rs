//! A replay may not come to take more instructions unnoticed. They are counted and not timed: the count is
//! the same whatever else the machine does.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    bench::guarded,
    frames::BOT,
    workspace::{self, describe, root, text},
};

/// The counts that are held, each with its name, under the compiler they were made with.
const HELD: &str = "xtask/instructions.txt";
/// How much more is let pass.
const MARGIN: f64 = 1.05;

/// Whether the counts that are held are this compiler's; why not, if not. Another one makes other code.
pub(crate) fn foreign() -> Result<Option<String>> {
    let (compiler, _) = held()?;
    let here = rustc()?;
    Ok((compiler != here).then(|| format!("{HELD} was made by {compiler}, and this is {here}")))
}

/// Counts, and compares with what is held; or holds it from now on.
pub(crate) fn check(write: bool) -> Result<()> {
    let counted = count()?;
    if write {
        let mut lines = vec![rustc()?];
        lines.extend(counted.iter().map(|(name, count)| format!("{count} {name}")));
        return Ok(fs::write(root().join(HELD), lines.join("\n") + "\n")?);
    }
    let (_, held) = held()?;
    let mut worse = Vec::new();
    for (name, count) in &counted {
        let before = held.iter().find(|(held, _)| held == name).map(|(_, count)| *count);
        let before = before.with_context(|| format!("find {name:?} in {HELD}"))?;
        let ratio = ratio(*count, before);
        eprintln!(
            "xtask: {name}: {count} instructions, {ratio:.3} times the {before} that are held"
        );
        if ratio > MARGIN {
            worse.push(format!("{name} takes {ratio:.2} times the instructions it took"));
        }
    }
    if !worse.is_empty() {
        bail!("{}: find out why; if it has to be: cargo xtask guard --write", worse.join(", "));
    }
    Ok(())
}

/// Instructions of replays of the same captures, by callgrind.
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
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}", attempt(), said.trim());
    collected(&said).with_context(attempt)
}

/// What callgrind says that it counted.
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

fn held() -> Result<(String, Vec<(String, u64)>)> {
    let text = fs::read_to_string(root().join(HELD)).with_context(|| format!("read {HELD}"))?;
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
    fn callgrinds_count_is_found() {
        let said = "==7== Events    : Ir\n==7== Collected : 385389955\n==7== \n";
        assert_eq!(collected(said), Some(385_389_955));
        assert_eq!(collected("valgrind: no such file"), None);
    }
}

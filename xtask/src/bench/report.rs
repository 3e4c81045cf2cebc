//! Writes measurements down together with what they depend on.

use std::{fs, path::Path, process::Command, thread};

use anyhow::{Context as _, Result};

use super::{
    measure::{Pairs, Run, median},
    traffic::Traffic,
};
use crate::workspace::describe;

/// The machine and the programs.
pub(super) fn setting(gomon: &Path) -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or(std::env::consts::ARCH, |(_, model)| model);
    let cores = thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(format!(
        "machine: {cpu}, {cores} cores, Linux {}\nprograms: {}; {}\n",
        kernel.trim(),
        version(gomon)?,
        version(Path::new("tcpdump"))?,
    ))
}

fn version(program: &Path) -> Result<String> {
    let mut command = Command::new(program);
    command.arg("--version");
    let output = command.output().with_context(|| format!("run `{}`", describe(&command)))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // tcpdump goes on with its libraries, of which libpcap is the one that reads.
    Ok(text.lines().take(2).collect::<Vec<_>>().join(", "))
}

pub(super) fn table(traffic: &Traffic, pairs: &Pairs) -> String {
    let count = pairs.ours.len();
    let ratio = median(pairs.ratios());
    format!(
        "
{traffic}, {count} runs each in turn, page cache warm

           median s   min - max s     packets/s  peak MiB
{}
{}
gomon takes {ratio:.2} times as long as tcpdump (median of the pairs)
",
        row("gomon", traffic, &pairs.ours),
        row("tcpdump", traffic, &pairs.theirs),
    )
}

fn row(name: &str, traffic: &Traffic, runs: &[Run]) -> String {
    let seconds: Vec<_> = runs.iter().map(|run| run.seconds).collect();
    let fastest = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let slowest = seconds.iter().copied().fold(0.0, f64::max);
    let peak_kib = runs.iter().map(|run| run.peak_kib).max().unwrap_or_default();
    let median = median(seconds);
    format!(
        "{name:8}  {median:9.3}  {fastest:.3} - {slowest:.3}  {:9.2} M  {:8.1}",
        f64::from(traffic.frames) / median / 1e6,
        f64::from(peak_kib) / 1024.0,
    )
}

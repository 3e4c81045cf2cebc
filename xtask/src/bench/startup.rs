//! The cost of a run without work, and the size of the program.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::{
    measure::{Runs, median},
    report::spread,
};
use crate::{frames::BOT, pcap};

const RUNS: u32 = 51;

/// Returns a table in Markdown.
pub(super) fn measure(gomon: &Path, directory: &Path) -> Result<String> {
    let empty = directory.join("empty.pcap");
    pcap::create(&empty, |_| Ok(()))?;
    let mut version = Command::new(gomon);
    version.arg("--version");
    let mut replay = Command::new(gomon);
    replay.arg(&empty).arg(BOT.to_string()).args(["--quiet", "--eve-log-path", "/dev/null"]);

    let mut table = "| start-up | ms | goal | met |\n| --- | --- | --- | --- |\n".to_owned();
    for (what, command, goal) in
        [("`gomon --version`", version, 10.0), ("replay of an empty capture", replay, 20.0)]
    {
        let runs = Runs::measure(RUNS, &command)?;
        let ms = || runs.seconds.iter().map(|seconds| seconds * 1e3);
        let met = if median(ms().collect()) < goal { "yes" } else { "**no**" };
        // Writing to a string does not fail.
        let _ = writeln!(table, "| {what} | {} | below {goal} | {met} |", spread(ms(), 1));
    }
    let size = fs::metadata(gomon).context("read the size of the program")?.len();
    #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
    let size = size as f64 / f64::from(1 << 20);
    Ok(format!("{table}\nThe program's file has {size:.1} MiB.\n"))
}

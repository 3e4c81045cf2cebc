//! `cargo xtask bench`: how fast gomon is on this machine, beside the program that a user would otherwise
//! run on the same packets.

mod growth;
mod live;
mod measure;
mod replay;
mod report;
mod startup;
mod traffic;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use crate::{prerequisites, workspace};
use traffic::{Destinations, Traffic};

#[derive(Subcommand)]
pub(crate) enum Options {
    /// Replay generated captures, and real ones where they lie beside the project, in turn with tcpdump
    /// and others
    Replay(Replay),
    /// Count on an interface, in turn with tcpdump and with the least a counting program can do
    Live(live::Options),
    /// See how costs grow with destinations, windows and file size, and draw it
    Growth,
    /// Measure all of it, and keep it as BENCHMARKS.md
    All {
        #[command(flatten)]
        replay: Replay,
        #[command(flatten)]
        live: live::Options,
    },
}

#[derive(Args)]
pub(crate) struct Replay {
    /// Measured runs of each program
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
}

/// Captures whose replays the guard counts the instructions of, by name: known destinations, new ones, and
/// windows.
pub(crate) fn guarded() -> [(&'static str, Traffic); 3] {
    let known = Traffic { frames: 400_000, seconds: 120, ..replay::ORDINARY };
    let new = Traffic { destinations: Destinations::NewEveryTime, ..known };
    let windows = Traffic { frames: 40_000, seconds: 60_000, ..known };
    [("known destinations", known), ("new destinations", new), ("windows", windows)]
}

/// Where the newest results are kept, and what stands above them.
const RESULTS: &str = "BENCHMARKS.md";
const METHOD: &str = include_str!("bench/method.md");

pub(crate) fn run(options: &Options) -> Result<()> {
    let (gomon, directory) = prepare(options)?;
    let text = match options {
        Options::Replay(Replay { pairs }) => replays(&gomon, &directory, *pairs)?,
        Options::Live(options) => live::measure(options, &gomon, &directory)?,
        Options::Growth => growth::measure(&gomon, &directory)?,
        Options::All { replay, live } => {
            let text = [
                METHOD.to_owned(),
                format!("## Where\n\n```\n{}```\n", report::setting(&gomon)?),
                format!("## Replay\n\n{}", replays(&gomon, &directory, replay.pairs)?),
                format!("## Growth\n\n{}", growth::measure(&gomon, &directory)?),
                format!("## Live\n\n```\n{}```\n", live::measure(live, &gomon, &directory)?),
            ]
            .join("\n");
            let path = workspace::root().join(RESULTS);
            fs::write(&path, &text).with_context(|| format!("write {}", path.display()))?;
            text
        }
    };
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}

/// Has everything there, and says where gomon and the captures are.
fn prepare(options: &Options) -> Result<(PathBuf, PathBuf)> {
    match options {
        Options::Replay(_) | Options::Growth => prerequisites::for_measuring()?,
        Options::Live(_) => live::prepare()?,
        Options::All { .. } => {
            prerequisites::for_measuring()?;
            live::prepare()?;
        }
    }
    let gomon = workspace::root().join(workspace::build_gomon()?);
    Ok((gomon, workspace::root().join(workspace::target()?.join("bench"))))
}

fn replays(gomon: &Path, directory: &Path, pairs: u32) -> Result<String> {
    let table = replay::measure(gomon, directory, pairs)?;
    let startup = startup::measure(gomon, directory)?;
    Ok(format!("{table}\n{startup}"))
}

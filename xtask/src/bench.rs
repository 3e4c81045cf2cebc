//! `cargo xtask bench`: measures gomon on this machine, compared with the program that a user would otherwise run
//! on the same packets.

mod disturb;
mod fleet;
mod growth;
mod live;
mod measure;
mod network;
mod process;
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
pub(crate) enum BenchCommand {
    /// Replay generated captures, and real ones if available, in turn with tcpdump and others
    Replay(ReplayArgs),
    /// Count on an interface, in turn with tcpdump and with a minimal counting program
    Live(live::LiveArgs),
    /// Measure how much the observed traffic is slowed down: by gomon in each attach mode, and by tcpdump
    Disturb(disturb::DisturbArgs),
    /// Start fleets of bots: speed, memory, windows of busy bots, and bots that come and go
    Fleet(fleet::FleetArgs),
    /// Measure how costs grow with destinations, windows and file size, and draw a plot
    Growth,
    /// Measure all of it, and write BENCHMARKS.md
    All {
        #[command(flatten)]
        replay: ReplayArgs,
        #[command(flatten)]
        live: live::LiveArgs,
        #[command(flatten)]
        disturb: disturb::DisturbArgs,
        #[command(flatten)]
        fleet: fleet::FleetArgs,
    },
}

#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// Measured runs of each program
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
}

/// Returns the captures whose replays `cargo xtask guard` counts the instructions of, by name: known destinations,
/// new destinations, and windows.
pub(crate) fn guarded() -> [(&'static str, Traffic); 3] {
    let known = Traffic { frames: 400_000, seconds: 120, ..replay::ORDINARY };
    let new = Traffic { destinations: Destinations::NewEveryTime, ..known };
    let windows = Traffic { frames: 40_000, seconds: 60_000, ..known };
    [("known destinations", known), ("new destinations", new), ("windows", windows)]
}

/// The file with the latest results, and the text at its start.
const RESULTS: &str = "BENCHMARKS.md";
const METHOD: &str = include_str!("bench/method.md");

pub(crate) fn run(command: &BenchCommand) -> Result<()> {
    let (gomon, directory) = prepare(command)?;
    let text = match command {
        BenchCommand::Replay(ReplayArgs { pairs }) => replays(&gomon, &directory, *pairs)?,
        BenchCommand::Live(args) => live::measure(args, &gomon, &directory)?,
        BenchCommand::Disturb(args) => disturb::measure(args, &gomon, &directory)?,
        BenchCommand::Fleet(args) => fleet::measure(args, &gomon, &directory)?,
        BenchCommand::Growth => growth::measure(&gomon, &directory)?,
        BenchCommand::All { replay, live, disturb, fleet } => {
            let text = [
                METHOD.to_owned(),
                format!("## Where\n\n```\n{}```\n", report::setting(&gomon)?),
                format!("## Replay\n\n{}", replays(&gomon, &directory, replay.pairs)?),
                format!("## Growth\n\n{}", growth::measure(&gomon, &directory)?),
                format!("## Live\n\n```\n{}```\n", live::measure(live, &gomon, &directory)?),
                format!("## Disturbance\n\n{}", disturb::measure(disturb, &gomon, &directory)?),
                format!("## Fleet\n\n{}", fleet::measure(fleet, &gomon, &directory)?),
            ]
            .join("\n");
            let path = workspace::root().join(RESULTS);
            fs::write(&path, &text).with_context(|| format!("write {}", path.display()))?;
            text
        }
    };
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}

/// Installs what the command needs, and returns the paths of gomon and of the captures.
fn prepare(command: &BenchCommand) -> Result<(PathBuf, PathBuf)> {
    match command {
        BenchCommand::Replay(_) | BenchCommand::Growth => prerequisites::for_measuring()?,
        BenchCommand::Live(_) | BenchCommand::Disturb(_) | BenchCommand::Fleet(_) => {
            live::prepare()?;
        }
        BenchCommand::All { .. } => {
            prerequisites::for_measuring()?;
            live::prepare()?;
        }
    }
    let gomon = workspace::root().join(workspace::build_gomon()?);
    let captures = workspace::root().join(workspace::target()?.join("bench"));
    Ok((gomon, captures))
}

fn replays(gomon: &Path, directory: &Path, pairs: u32) -> Result<String> {
    let table = replay::measure(gomon, directory, pairs)?;
    let startup = startup::measure(gomon, directory)?;
    Ok(format!("{table}\n{startup}"))
}

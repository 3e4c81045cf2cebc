//! `cargo xtask bench`: how fast gomon is on this machine, beside the fastest program that reads
//! the same packets.

mod live;
mod measure;
mod report;
mod traffic;

use std::{
    io::{self, Write as _},
    process::Command,
};

use anyhow::Result;
use clap::Subcommand;

use crate::{frames::BOT, prerequisites, workspace};
use measure::Pairs;
use traffic::{Destinations, Traffic};

#[derive(Subcommand)]
pub(crate) enum Options {
    /// Replay generated captures, in turn with tcpdump filtering them by the same host
    Replay {
        /// Measured runs of each program
        #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
        pairs: u32,
    },
    /// Count on an interface, in turn with tcpdump and with the least a counting program can do
    Live(live::Options),
}

const REPLAYS: [Traffic; 2] = [
    // An ordinary day.
    Traffic { frames: 2_500_000, destinations: Destinations::Endpoints(700), seconds: 240 },
    // The worst one: every frame starts something new, all in one window.
    Traffic { frames: 1_000_000, destinations: Destinations::NewEveryTime, seconds: 30 },
];

pub(crate) fn run(options: &Options) -> Result<()> {
    match options {
        Options::Replay { pairs } => replay(*pairs),
        Options::Live(options) => live::run(options),
    }
}

fn replay(pairs: u32) -> Result<()> {
    prerequisites::for_measuring()?;
    eprintln!("xtask: building gomon");
    let gomon = workspace::build_gomon()?;
    let directory = workspace::target()?.join("bench");

    let mut out = io::stdout().lock();
    write!(out, "{}", report::setting(&gomon)?)?;
    for traffic in REPLAYS {
        let capture = traffic.capture(&directory)?;
        let bot = BOT.to_string();
        let mut ours = Command::new(&gomon);
        ours.arg(&capture).arg(&bot);
        ours.args(["--quiet", "--eve-log-path", "/dev/null"]);
        let mut theirs = Command::new("tcpdump");
        theirs.arg("-r").arg(&capture);
        theirs.args(["-w", "/dev/null"]).arg(format!("src host {bot}"));

        eprintln!("xtask: measuring {}", workspace::describe(&theirs));
        eprintln!("xtask: measuring {}", workspace::describe(&ours));
        let measured = Pairs::measure(pairs, &ours, &theirs)?;
        write!(out, "{}", report::table(&traffic, &measured))?;
    }
    Ok(())
}

//! `cargo xtask bench live`: what counting costs at the highest rate this machine can offer, and whether
//! anything is lost. Packets are made inside the kernel and go over a pair of virtual interfaces in
//! namespaces of their own; everybody gets the same, in turn.

mod network;
mod process;
mod records;
mod report;
mod subject;

use std::{
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Result, ensure};
use clap::Args;
use gomon_xdpgen::{Timing, Traffic};

use crate::{frames::BOT, prerequisites, workspace};
use network::Network;
use subject::Subject;

#[derive(Args)]
pub(crate) struct Options {
    /// Frames in a round
    #[arg(long, value_name = "N", default_value_t = 8_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    packets: u64,
    /// Rounds of each program on each traffic
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// Destinations of the ordinary flood.
const HOSTS: u32 = 512;

pub(super) fn run(options: &Options) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "measure on interfaces: the kernel lets only root make them: type: sudo cargo xtask bench live"
    );
    prerequisites::for_measuring_live()?;
    eprintln!("xtask: building gomon");
    let gomon = workspace::root().join(workspace::build_gomon()?);
    let directory = workspace::root().join(workspace::target()?.join("bench/live"));

    let mut out = io::stdout().lock();
    write!(out, "{}", super::report::setting(&gomon)?)?;
    write!(out, "{}", report::setting())?;
    for traffic in [Traffic::to_random_hosts(BOT, HOSTS), Traffic::to_new_hosts(BOT)] {
        let table = measure(options, &traffic, &gomon, &directory)?;
        write!(out, "{table}")?;
    }
    Ok(())
}

fn measure(options: &Options, traffic: &Traffic, gomon: &Path, directory: &Path) -> Result<String> {
    let network = Network::new()?;
    // For all of them, so that what it costs is in every figure.
    let _timing = Timing::start()?;
    let mut rows: Vec<_> = Subject::ALL.into_iter().map(|subject| (subject, vec![])).collect();
    for number in 1..=options.rounds {
        for (subject, rounds) in &mut rows {
            eprintln!("xtask: round {number} of {}: {subject}", options.rounds);
            let round = subject.run(&network, traffic, options.packets, gomon, directory)?;
            rounds.extend(round);
        }
    }
    Ok(report::table(traffic, options.packets, &rows))
}

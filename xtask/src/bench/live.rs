//! `cargo xtask bench live`: what counting costs at the highest rate this machine can offer, and whether
//! anything is lost. Packets are made inside the kernel and go over a pair of virtual interfaces in
//! namespaces of their own; everybody gets the same, in turn.

mod goals;
mod network;
mod process;
mod records;
mod report;
mod subject;

use std::path::Path;

use anyhow::{Result, ensure};
use clap::Args;
use gomon_xdpgen::{Timing, Traffic};

use crate::{frames::BOT, prerequisites};
use network::Network;
use subject::{Round, Subject};

#[derive(Args)]
pub(crate) struct Options {
    /// Frames in a round
    #[arg(long, value_name = "N", default_value_t = 8_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    packets: u64,
    /// Rounds of each program on each traffic
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// Who was measured, round by round.
type Rows = Vec<(Subject, Vec<Round>)>;

/// Destinations of the ordinary flood.
const HOSTS: u32 = 512;

pub(super) fn prepare() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "measure on interfaces: the kernel lets only root make them: type: sudo cargo xtask bench live"
    );
    prerequisites::for_measuring_live()
}

/// The tables of all traffics, and what they come to.
pub(super) fn measure(options: &Options, gomon: &Path, directory: &Path) -> Result<String> {
    let directory = directory.join("live");
    let mut text = super::report::setting(gomon)? + &report::setting();
    let mut rounds = Vec::new();
    for traffic in [Traffic::to_random_hosts(BOT, HOSTS), Traffic::to_new_hosts(BOT)] {
        let rows = rounds_of(options, &traffic, gomon, &directory)?;
        text += &report::table(&traffic, options.packets, &rows);
        rounds.push(rows);
    }
    Ok(text + &goals::told(&rounds))
}

fn rounds_of(options: &Options, traffic: &Traffic, gomon: &Path, directory: &Path) -> Result<Rows> {
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
    Ok(rows)
}

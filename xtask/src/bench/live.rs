//! `cargo xtask bench live`: measures the cost of counting at the highest rate that this machine can generate, and
//! whether packets are lost. Packets are generated in the kernel and sent over a veth pair in network namespaces of
//! its own. Every program is measured with the same traffic, in turn.

mod goals;
mod records;
mod report;
mod subject;

use std::path::Path;

use anyhow::{Result, ensure};
use clap::Args;
use gomon_xdpgen::{Timing, Traffic};

use super::network::Network;
use crate::{frames::BOT, prerequisites};
pub(super) use records::time as time_of;
use subject::{HOSTS, Rows, Subject};

#[derive(Args)]
pub(crate) struct LiveArgs {
    /// Frames in a round
    #[arg(long, value_name = "N", default_value_t = 8_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    packets: u64,
    /// Rounds of each program on each traffic
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

pub(super) fn prepare() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "measure on interfaces: only root can create them: type: sudo cargo xtask bench live"
    );
    prerequisites::for_measuring_live()
}

/// Returns a table per traffic, and the goals.
pub(super) fn measure(args: &LiveArgs, gomon: &Path, directory: &Path) -> Result<String> {
    let directory = directory.join("live");
    let mut text = super::report::setting(gomon)? + &report::setting();
    let mut rounds = Vec::new();
    for traffic in [Traffic::to_random_hosts(BOT, HOSTS), Traffic::to_new_hosts(BOT)] {
        let rows = rounds_of(args, &traffic, gomon, &directory)?;
        text += &report::table(&traffic, args.packets, &rows);
        rounds.push(rows);
    }
    Ok(text + &goals::table(&rounds))
}

fn rounds_of(args: &LiveArgs, traffic: &Traffic, gomon: &Path, directory: &Path) -> Result<Rows> {
    let network = Network::new()?;
    // For all subjects, so that every figure includes the cost of timing.
    let _timing = Timing::start()?;
    let mut rows: Vec<_> = Subject::ALL.into_iter().map(|subject| (subject, vec![])).collect();
    for number in 1..=args.rounds {
        for (subject, rounds) in &mut rows {
            eprintln!("xtask: round {number} of {}: {subject}", args.rounds);
            let round = subject.run(&network, traffic, args.packets, gomon, directory)?;
            rounds.extend(round);
        }
    }
    Ok(rows)
}

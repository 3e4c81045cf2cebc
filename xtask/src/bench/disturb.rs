//! `cargo xtask bench disturb`: measures how much the traffic of a bot is slowed down by a program that observes it.

mod cpu;
mod observer;
mod streams;
mod table;
mod tap_frames;
mod workload;

use std::{fs, path::Path, time::Duration};

use anyhow::Result;
use clap::Args;
use gomon_xdpgen::Tap;

use super::{network::Network, report};
use observer::{Observer, Observing};
use table::{Observed, WorkloadRuns};
use workload::{Figures, Workload};

#[derive(Args)]
pub(crate) struct DisturbArgs {
    /// Runs of each observer with each kind of traffic
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Only traffic whose name contains TEXT
    #[arg(long, value_name = "TEXT", default_value = "")]
    traffic: String,
}

/// The time for which traffic is measured in each run.
const TIME: Duration = Duration::from_millis(600);

const METHOD: &str = include_str!("disturb/method.md");

/// Returns a table in Markdown.
pub(super) fn measure(args: &DisturbArgs, gomon: &Path, directory: &Path) -> Result<String> {
    let directory = directory.join("disturb");
    let network = Network::new()?;
    network.add_addresses()?;
    let mut tap = network.tap(tap_frames::NAME, tap_frames::MAC)?;
    let mut all: Vec<_> = Workload::ALL
        .into_iter()
        .filter(|workload| workload.to_string().contains(&args.traffic))
        .map(WorkloadRuns::new)
        .collect();
    for turn in 1..=args.turns {
        for runs in &mut all {
            eprintln!("xtask: turn {turn} of {}: {}", args.turns, runs.workload);
            runs.measure(&network, &mut tap, gomon, &directory)?;
        }
    }
    let setting = report::setting(gomon)?;
    Ok(format!("```\n{setting}```\n\n{METHOD}\n{}", table::render(&all)))
}

impl WorkloadRuns {
    fn new(workload: Workload) -> Self {
        let observed = |observer| Observed { observer, ratios: vec![], missed: 0 };
        Self { workload, alone: vec![], observed: Observer::ALL.map(observed).into() }
    }

    /// Measures each observer once, and the traffic without an observer before and after each.
    fn measure(
        &mut self,
        network: &Network,
        tap: &mut Tap,
        gomon: &Path,
        directory: &Path,
    ) -> Result<()> {
        let Self { workload, alone, observed } = self;
        let mut run = || workload.run(network, tap, TIME);
        let mut before = run()?;
        for Observed { observer, ratios, missed } in observed {
            let interface = workload.interface();
            let Some(observing) =
                Observing::start(*observer, network, interface, gomon, directory)?
            else {
                continue;
            };
            let figures: Figures = run()?;
            *missed += observing.stop()?;
            // It does not exist when nothing was saved.
            let _ = fs::remove_dir_all(directory);
            let after = run()?;
            ratios.push(figures.relative_to(&before, &after));
            alone.push(std::mem::replace(&mut before, after));
        }
        alone.push(before);
        Ok(())
    }
}

//! `cargo xtask bench fleet`: measures one process that watches many taps: how fast it starts, what it costs while
//! nothing happens, how fast windows are written, and what is left after bots came and went.

mod control;
mod fleet_network;
mod held_resources;
mod windows;

use std::{fmt::Write as _, fs, path::Path, thread, time::Duration};

use anyhow::{Context as _, Result};
use clap::Args;

use super::{measure::median, process::Process, report};
use control::Control;
use fleet_network::FleetNetwork;
use held_resources::HeldResources;

#[derive(Args)]
pub(crate) struct FleetArgs {
    /// Taps, one number per row
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,16,64,256,1000")]
    taps: Vec<u32>,
    /// Bots that are added and removed to find leaks
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    cycles: u32,
}

/// How long a quiet fleet is observed.
const QUIET: Duration = Duration::from_secs(5);
/// The taps and the destinations of each with which windows are measured.
const BUSY_TAPS: u32 = 256;
const DESTINATIONS: u32 = 1000;
/// The repetitions with which latencies are measured.
const REPETITIONS: u32 = 30;

const METHOD: &str = "\
Veth pairs in a network namespace. `gomon fleet` watches one end of each with `interface = \"vnet*\"`, `src = \"any\"`,
windows of 30 s and defaults otherwise. *Counting* is the time from the start of the process until all taps are
attached, *answers* until the programs for replies are attached too. *Maps* is what the kernel accounts to the BPF maps
of the process. *Quiet* is the part of the time of one CPU that 5 s without packets take.
";

/// Returns tables in Markdown.
pub(super) fn measure(args: &FleetArgs, gomon: &Path, directory: &Path) -> Result<String> {
    let directory = directory.join("fleet");
    fs::create_dir_all(&directory)?;
    let mut text = format!("```\n{}```\n\n{METHOD}\n", report::setting(gomon)?);
    text += "| taps | counting, s | answers, s | resident, MiB | maps, MiB | quiet, % | descriptors |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n";
    for taps in &args.taps {
        eprintln!("xtask: {taps} taps");
        let network = FleetNetwork::new(*taps)?;
        let row = HeldResources::start(&network, gomon, &directory, *taps, QUIET)?;
        let _ = writeln!(text, "| {taps} | {row} |");
    }
    text += "\nGoals for 256 taps: counting within 4 s, answers within 8 s, 64 MiB resident, 256 MiB of maps, 1 % \
             of a core.\n\n";
    eprintln!("xtask: windows of {BUSY_TAPS} busy taps");
    text += &windows::measure(gomon, &directory, BUSY_TAPS, DESTINATIONS)?;
    eprintln!("xtask: latencies, and {} bots that come and go", args.cycles);
    text += &come_and_go(gomon, &directory, args.cycles)?;
    Ok(text)
}

/// Measures how fast bots are added and removed, and what is left of them.
fn come_and_go(gomon: &Path, directory: &Path, cycles: u32) -> Result<String> {
    let network = FleetNetwork::new(1)?;
    let (process, control) = Control::start(&network, gomon, directory)?;
    let (mut adding, mut removing) = (Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        adding.push(control.add()?);
        pause();
        removing.push(control.remove()?);
        pause();
    }
    let before = HeldResources::of(&process)?;
    for _ in 0..cycles {
        control.add()?;
        control.remove()?;
    }
    let after = HeldResources::of(&process)?;
    process.interrupt()?;
    let appearing = appearing(&network, gomon, directory)?;
    let mut text =
        "| what | ms, median (most) | goal, ms | met |\n| --- | --- | --- | --- |\n".to_owned();
    for (what, seconds, goal) in [
        ("a tap that is created is counted", appearing, 50.0),
        ("`add` is answered", adding, 20.0),
        ("`remove` is answered", removing, 100.0),
    ] {
        let most = seconds.iter().copied().fold(0.0, f64::max) * 1e3;
        let middle = median(seconds) * 1e3;
        let met = if middle <= goal { "yes" } else { "**no**" };
        let _ = writeln!(text, "| {what} | {middle:.1} ({most:.1}) | {goal} | {met} |");
    }
    let _ = writeln!(
        text,
        "\nAfter {REPETITIONS} bots: {before}. After {cycles} more, one after another: {after}."
    );
    Ok(text)
}

/// Returns the seconds from the creation of each of several taps until it is counted.
fn appearing(network: &FleetNetwork, gomon: &Path, directory: &Path) -> Result<Vec<f64>> {
    let (mut process, _stdout) = Process::start(&mut network.fleet(gomon, directory, "")?)?;
    process
        .wait_for(" counting, ")?
        .map_or(Ok(()), |status| Err(process.error(&status.to_string())))?;
    let mut seconds = Vec::new();
    for number in 0..REPETITIONS {
        let name = format!("vnet-new{number}");
        let created = network.create(&name)?;
        process.wait_for(&format!(" on {name}:"))?;
        seconds.push(created.elapsed().as_secs_f64());
        pause();
    }
    process.interrupt().context("end the fleet")?;
    Ok(seconds)
}

/// Lets the kernel detach programs, which would delay what follows.
fn pause() {
    thread::sleep(Duration::from_millis(100));
}

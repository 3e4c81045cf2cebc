//! Who is measured, and how one round goes with each.

use std::{
    fmt,
    path::Path,
    process::ChildStdout,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use gomon_xdpgen::{Attached, Sent, Statistics, Traffic, of_process};

use super::{
    HOSTS,
    network::{Network, TAP},
    process::{Process, Taken},
    records::Records,
};
use crate::frames::BOT;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// A program that does nothing: what being measured costs.
    Idle,
    /// The least that counting costs: one look into a hash, one addition.
    Bare,
    Gomon,
    Saving,
    Tcpdump,
}

/// What came of one round.
pub(super) struct Round {
    pub(super) sent: Sent,
    pub(super) arrived: u64,
    /// Frames that found the queue between the interfaces full.
    pub(super) dropped: u64,
    pub(super) counted: u64,
    /// Of the program in the kernel, where it is one whose time the kernel takes.
    pub(super) program: Option<Statistics>,
    /// In user space, with the processor's time while packets came.
    pub(super) taken: Option<Taken>,
    pub(super) gomon: Option<Gomon>,
    /// Frames that it says itself it has lost.
    pub(super) confessed: Option<u64>,
}

/// What is asked of gomon alone.
pub(super) struct Gomon {
    /// From its start to its program's attachment.
    pub(super) attached: Duration,
    /// The way it took.
    pub(super) way: String,
    /// Whether the packets in the records are those in the ledger.
    pub(super) adds_up: bool,
    /// How long after its window's end the last record of each window came.
    pub(super) late: Vec<Duration>,
}

/// Packets that `Saving` keeps of a host.
const SAVED: &str = "100";
/// How long tcpdump gets to take what is in its buffer: it looks once a second.
const LEFT_OVER: Duration = Duration::from_millis(1500);

impl Subject {
    pub(super) const ALL: [Self; 5] =
        [Self::Idle, Self::Bare, Self::Gomon, Self::Saving, Self::Tcpdump];

    /// One round; none where it can't be had.
    pub(super) fn run(
        self,
        network: &Network,
        traffic: &Traffic,
        frames: u64,
        gomon: &Path,
        directory: &Path,
    ) -> Result<Option<Round>> {
        match self {
            Self::Idle => bare(network, traffic, frames, &network.passing()?).map(Some),
            Self::Bare => {
                let program = network.counting(traffic, HOSTS.min(traffic.hosts))?;
                bare(network, traffic, frames, &program).map(Some)
            }
            Self::Gomon => self::gomon(network, traffic, frames, gomon, None),
            Self::Saving => self::gomon(network, traffic, frames, gomon, Some(directory)),
            Self::Tcpdump => tcpdump(network, traffic, frames).map(Some),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Idle => "no counting",
            Self::Bare => "bare counting",
            Self::Gomon => "gomon",
            Self::Saving => "gomon --save-packets 100",
            Self::Tcpdump => "tcpdump",
        })
    }
}

fn bare(network: &Network, traffic: &Traffic, frames: u64, program: &Attached) -> Result<Round> {
    let round = send(network, traffic, frames)?;
    let program = program.statistics()?;
    Ok(Round { counted: program.runs, program: Some(program), ..round })
}

/// Sends, and sees what arrives.
fn send(network: &Network, traffic: &Traffic, frames: u64) -> Result<Round> {
    let before = network.arrived()?;
    let sent = network.send(traffic, frames)?;
    let after = network.arrived()?;
    Ok(Round {
        sent,
        arrived: after.frames - before.frames,
        dropped: after.dropped - before.dropped,
        counted: 0,
        program: None,
        taken: None,
        gomon: None,
        confessed: None,
    })
}

/// Sends while a process runs, and sees what it takes meanwhile.
fn send_to(process: &Process, network: &Network, traffic: &Traffic, frames: u64) -> Result<Round> {
    let before = process.taken()?;
    let round = send(network, traffic, frames)?;
    let after = process.taken()?;
    let processor = after.processor.saturating_sub(before.processor);
    Ok(Round { taken: Some(Taken { processor, ..after }), ..round })
}

fn gomon(
    network: &Network,
    traffic: &Traffic,
    frames: u64,
    gomon: &Path,
    saved: Option<&Path>,
) -> Result<Option<Round>> {
    let mut command = network.command(gomon);
    command.args([TAP, &BOT.to_string(), "--window", "1s", "--quiet"]);
    if let Some(directory) = saved {
        command.args(["--save-packets", SAVED, "--capture-dir"]).arg(directory);
    }
    let start = Instant::now();
    let (mut process, stdout) = Process::start(&mut command)?;
    if let Some(status) = process.wait_for(" attached by ")? {
        // It can't do that (yet).
        if saved.is_some() && status.code() == Some(2) {
            return Ok(None);
        }
        bail!(process.failed(&status.to_string()));
    }
    let attached = start.elapsed();
    let reader = read(stdout);
    let round = send_to(&process, network, traffic, frames)?;
    let program = of_process(process.id())?;
    let said = process.interrupt()?;
    let records = reader.join().ok().context("read gomon's records")??;
    if let Some(directory) = saved {
        // There is none where nothing was saved.
        let _ = std::fs::remove_dir_all(directory);
    }
    let counted = number(&said, "Ledger: ", " counted").context("find gomon's ledger")?;
    let overflow = number(&said, "Ledger: ", " packets in overflow").unwrap_or_default();
    let way = line(&said, "Attached: ").and_then(|line| line.split_once(" on "));
    let way = way.map(|(way, _)| way.to_owned()).unwrap_or_default();
    let adds_up = records.add_up_to(counted, overflow);
    let gomon = Gomon { attached, way, adds_up, late: records.late() };
    Ok(Some(Round { counted, program: Some(program), gomon: Some(gomon), ..round }))
}

/// Reads records as they come.
fn read(stdout: ChildStdout) -> thread::JoinHandle<Result<Records>> {
    thread::spawn(move || Records::read(stdout))
}

fn tcpdump(network: &Network, traffic: &Traffic, frames: u64) -> Result<Round> {
    // So that frames arrive: it does nothing with them.
    let _receiver = network.passing()?;
    let mut command = network.command("tcpdump");
    command.args(["-i", TAP, "-w", "/dev/null"]).arg(format!("src host {BOT}"));
    let (mut process, _stdout) = Process::start(&mut command)?;
    if let Some(status) = process.wait_for("listening on")? {
        bail!(process.failed(&status.to_string()));
    }
    let round = send_to(&process, network, traffic, frames)?;
    thread::sleep(LEFT_OVER);
    let said = process.interrupt()?;
    let counted = number(&said, "", " packets captured").context("find what tcpdump captured")?;
    let confessed = number(&said, "", " packets dropped by kernel");
    Ok(Round { counted, confessed, ..round })
}

fn line<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(start))
}

/// The number in front of `unit` in a line that starts with `start`.
fn number(text: &str, start: &str, unit: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(start) && line.contains(unit))?;
    let (before, _) = line.split_once(unit)?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_units() {
        let said = "tcpdump: listening on vnet0\n12 packets captured\n\
            Ledger: 9 frames seen = 8 counted + 1 not from the bot; 0 late, 7 packets in overflow";
        assert_eq!(number(said, "", " packets captured"), Some(12));
        assert_eq!(number(said, "Ledger: ", " counted"), Some(8));
        assert_eq!(number(said, "Ledger: ", " packets in overflow"), Some(7));
        assert_eq!(number(said, "Ledger: ", " lost"), None);
    }
}

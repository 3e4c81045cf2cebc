//! The measured programs, and one round with each.

use std::{
    fmt,
    path::Path,
    process::ChildStdout,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use gomon_xdpgen::{Attached, Sent, Statistics, Traffic, of_process};

use super::records::Records;
use crate::bench::network::{Network, TAP};
use crate::bench::process::{Process, Usage, line, number};
use crate::frames::BOT;

/// Destination hosts of the ordinary flood.
pub(super) const HOSTS: u32 = 512;

/// The rounds of each subject.
pub(super) type Rows = Vec<(Subject, Vec<Round>)>;

/// Where a program runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hook {
    /// In the driver.
    Xdp,
    /// TCX ingress, after an XDP program that does nothing, because live frames arrive only with one.
    Tc,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// A program that does nothing: the cost of measuring.
    Idle(Hook),
    /// The minimum for counting: one hash lookup, one addition.
    Minimal(Hook),
    Gomon(Hook),
    Saving(Hook),
    Tcpdump,
}

/// The result of one round.
pub(super) struct Round {
    pub(super) sent: Sent,
    pub(super) arrived: u64,
    /// Frames dropped because the queue of the veth pair was full.
    pub(super) dropped: u64,
    pub(super) counted: u64,
    /// Statistics of the program in the kernel, if there is one.
    pub(super) program: Option<Statistics>,
    /// Usage in user space, with the CPU time while packets arrived.
    pub(super) usage: Option<Usage>,
    pub(super) gomon: Option<GomonResult>,
    /// Frames that the program itself reports as lost.
    pub(super) reported_lost: Option<u64>,
}

/// Results that only gomon has.
pub(super) struct GomonResult {
    /// From its start until its program was attached.
    pub(super) attached: Duration,
    /// The attach mode.
    pub(super) mode: String,
    /// Whether the packets in the records are those in the ledger.
    pub(super) adds_up: bool,
    /// The delay of the last record of each window after the end of the window.
    pub(super) delays: Vec<Duration>,
}

/// The value of `--save-packets` for `Saving`.
const SAVED_PACKETS: &str = "100";
/// The time for tcpdump to read its buffer, which it does once per second.
const DRAIN_TIME: Duration = Duration::from_millis(1500);

impl Subject {
    pub(super) const ALL: [Self; 9] = [
        Self::Idle(Hook::Xdp),
        Self::Minimal(Hook::Xdp),
        Self::Gomon(Hook::Xdp),
        Self::Saving(Hook::Xdp),
        Self::Idle(Hook::Tc),
        Self::Minimal(Hook::Tc),
        Self::Gomon(Hook::Tc),
        Self::Saving(Hook::Tc),
        Self::Tcpdump,
    ];

    /// Measures one round. Returns `None` when the subject is not available.
    pub(super) fn run(
        self,
        network: &Network,
        traffic: &Traffic,
        frames: u64,
        gomon: &Path,
        directory: &Path,
    ) -> Result<Option<Round>> {
        let _receiver = match self {
            Self::Tcpdump => Some(network.passing()?),
            Self::Idle(hook) | Self::Minimal(hook) | Self::Gomon(hook) | Self::Saving(hook) => {
                (hook == Hook::Tc).then(|| network.passing()).transpose()?
            }
        };
        let hosts = HOSTS.min(traffic.hosts);
        let program = match self {
            Self::Idle(Hook::Xdp) => network.passing()?,
            Self::Idle(Hook::Tc) => network.passing_tc()?,
            Self::Minimal(Hook::Xdp) => network.counting(traffic, hosts)?,
            Self::Minimal(Hook::Tc) => network.counting_tc(traffic, hosts)?,
            Self::Gomon(hook) => return self::gomon(network, traffic, frames, gomon, (hook, None)),
            Self::Saving(hook) => {
                return self::gomon(network, traffic, frames, gomon, (hook, Some(directory)));
            }
            Self::Tcpdump => return tcpdump(network, traffic, frames).map(Some),
        };
        in_kernel(network, traffic, frames, &program).map(Some)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Idle(Hook::Xdp) => "XDP: no counting",
            Self::Minimal(Hook::Xdp) => "XDP: minimal counting",
            Self::Gomon(Hook::Xdp) => "XDP: gomon",
            Self::Saving(Hook::Xdp) => "XDP: --save-packets 100",
            Self::Idle(Hook::Tc) => "TC: no counting",
            Self::Minimal(Hook::Tc) => "TC: minimal counting",
            Self::Gomon(Hook::Tc) => "TC: gomon",
            Self::Saving(Hook::Tc) => "TC: --save-packets 100",
            Self::Tcpdump => "tcpdump",
        })
    }
}

fn in_kernel(
    network: &Network,
    traffic: &Traffic,
    frames: u64,
    program: &Attached,
) -> Result<Round> {
    let round = send(network, traffic, frames)?;
    let program = program.statistics()?;
    Ok(Round { counted: program.runs, program: Some(program), ..round })
}

/// Sends, and reads the kernel's counters of what arrived.
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
        usage: None,
        gomon: None,
        reported_lost: None,
    })
}

/// Sends while a process runs, and measures its CPU time meanwhile.
fn send_to(process: &Process, network: &Network, traffic: &Traffic, frames: u64) -> Result<Round> {
    let before = process.usage()?;
    let round = send(network, traffic, frames)?;
    let after = process.usage()?;
    let cpu = after.cpu.saturating_sub(before.cpu);
    Ok(Round { usage: Some(Usage { cpu, ..after }), ..round })
}

fn gomon(
    network: &Network,
    traffic: &Traffic,
    frames: u64,
    gomon: &Path,
    (hook, saved): (Hook, Option<&Path>),
) -> Result<Option<Round>> {
    let mut command = network.command(gomon);
    let attach = if hook == Hook::Xdp { "xdp" } else { "tc" };
    command.args([TAP, &BOT.to_string(), "--window", "1s", "--quiet", "--attach", attach]);
    if let Some(directory) = saved {
        command.args(["--save-packets", SAVED_PACKETS, "--capture-dir"]).arg(directory);
    }
    let start = Instant::now();
    let (mut process, stdout) = Process::start(&mut command)?;
    if let Some(status) = process.wait_for(" attached by ")? {
        // This version lacks the flag.
        if saved.is_some() && status.code() == Some(2) {
            return Ok(None);
        }
        bail!(process.error(&status.to_string()));
    }
    let attached = start.elapsed();
    let reader = read(stdout);
    let round = send_to(&process, network, traffic, frames)?;
    let program = of_process(process.id())?;
    let log = process.interrupt()?;
    let records = reader.join().ok().context("read gomon's records")??;
    if let Some(directory) = saved {
        // It does not exist when nothing was saved.
        let _ = std::fs::remove_dir_all(directory);
    }
    let counted = number(&log, "Ledger: ", " counted").context("find gomon's ledger")?;
    let overflow = number(&log, "Ledger: ", " packets in overflow").unwrap_or_default();
    let mode = line(&log, "Attached: ").and_then(|line| line.split_once(" on "));
    let mode = mode.map(|(mode, _)| mode.to_owned()).unwrap_or_default();
    let adds_up = records.add_up_to(counted, overflow);
    let gomon = GomonResult { attached, mode, adds_up, delays: records.delays() };
    Ok(Some(Round { counted, program: Some(program), gomon: Some(gomon), ..round }))
}

/// Reads records as they arrive.
fn read(stdout: ChildStdout) -> thread::JoinHandle<Result<Records>> {
    thread::spawn(move || Records::read(stdout))
}

fn tcpdump(network: &Network, traffic: &Traffic, frames: u64) -> Result<Round> {
    let mut command = network.command("tcpdump");
    command.args(["-i", TAP, "-w", "/dev/null"]).arg(format!("src host {BOT}"));
    let (mut process, _stdout) = Process::start(&mut command)?;
    if let Some(status) = process.wait_for("listening on")? {
        bail!(process.error(&status.to_string()));
    }
    let round = send_to(&process, network, traffic, frames)?;
    thread::sleep(DRAIN_TIME);
    let log = process.interrupt()?;
    let counted = number(&log, "", " packets captured")
        .context("find the number of packets that tcpdump captured")?;
    let reported_lost = number(&log, "", " packets dropped by kernel");
    Ok(Round { counted, reported_lost, ..round })
}

//! The programs that observe the traffic while it is measured.

use std::{fmt, io, path::Path, thread};

use anyhow::{Context as _, Result, bail};
use gomon_xdpgen::Attached;

use crate::bench::network::Network;
use crate::bench::process::{Process, number};
use crate::frames::BOT;

/// A program that observes, compared with no program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Observer {
    /// A TC program that does nothing: the cost of the kernel's hook.
    BareHook,
    /// gomon with this value of `--attach`.
    Gomon(&'static str),
    /// gomon with `--save-packets 100`.
    Saving,
    Tcpdump,
}

impl Observer {
    pub(super) const ALL: [Self; 7] = [
        Self::BareHook,
        Self::Gomon("auto"),
        Self::Gomon("xdp"),
        Self::Gomon("xdp-generic"),
        Self::Gomon("pcap"),
        Self::Saving,
        Self::Tcpdump,
    ];
}

impl fmt::Display for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BareHook => f.write_str("empty TC program"),
            Self::Gomon(mode) => write!(f, "`{mode}`"),
            Self::Saving => f.write_str("`--save-packets 100`"),
            Self::Tcpdump => f.write_str("tcpdump"),
        }
    }
}

/// An observer that runs.
pub(super) struct Observing<'a> {
    network: &'a Network,
    interface: &'a str,
    running: RunningObserver,
    /// Frames that had arrived when it was attached.
    arrived: u64,
}

enum RunningObserver {
    Program(Attached),
    Gomon(Process),
    Tcpdump(Process),
}

impl<'a> Observing<'a> {
    /// Starts an observer and waits until it is attached. Returns `None` when the interface does not support
    /// the mode.
    pub(super) fn start(
        observer: Observer,
        network: &'a Network,
        interface: &'a str,
        gomon: &Path,
        directory: &Path,
    ) -> Result<Option<Self>> {
        let bot = BOT.to_string();
        let (mut command, attached) = match observer {
            Observer::BareHook => {
                let running = RunningObserver::Program(network.passing_tc_at(interface)?);
                return Ok(Some(Self { network, interface, running, arrived: 0 }));
            }
            Observer::Tcpdump => {
                let mut command = network.command("tcpdump");
                command.args(["-i", interface, "-w", "/dev/null"]).arg(format!("src host {bot}"));
                (command, "listening on")
            }
            Observer::Gomon(mode) => {
                let mut command = network.command(gomon);
                command.args([interface, &bot, "--window", "1s", "--quiet", "--attach", mode]);
                (command, " attached by ")
            }
            Observer::Saving => {
                let mut command = network.command(gomon);
                command.args([interface, &bot, "--window", "1s", "--quiet"]);
                command.args(["--save-packets", "100", "--capture-dir"]).arg(directory);
                (command, " attached by ")
            }
        };
        let (mut process, mut stdout) = Process::start(&mut command)?;
        if let Some(status) = process.wait_for(attached)? {
            if matches!(observer, Observer::Gomon(mode) if mode.starts_with("xdp")) {
                return Ok(None);
            }
            bail!(process.error(&status.to_string()));
        }
        // Ends with the process.
        thread::spawn(move || io::copy(&mut stdout, &mut io::sink()));
        let arrived = network.arrived_at(interface)?.frames;
        let running = if matches!(observer, Observer::Tcpdump) {
            RunningObserver::Tcpdump(process)
        } else {
            RunningObserver::Gomon(process)
        };
        Ok(Some(Self { network, interface, running, arrived }))
    }

    /// Stops the observer. Returns the difference between the frames that arrived and the frames in its
    /// ledger, if it has one.
    pub(super) fn stop(self) -> Result<u64> {
        let log = match self.running {
            RunningObserver::Program(program) => {
                drop(program);
                return Ok(0);
            }
            RunningObserver::Tcpdump(process) => return process.interrupt().map(|_| 0),
            RunningObserver::Gomon(process) => process.interrupt()?,
        };
        let arrived = self.network.arrived_at(self.interface)?.frames - self.arrived;
        let seen = number(&log, "Ledger: ", " frames seen").context("find gomon's ledger")?;
        let lost = number(&log, "Attached: ", " lost").unwrap_or_default();
        Ok(arrived.abs_diff(seen) + lost)
    }
}

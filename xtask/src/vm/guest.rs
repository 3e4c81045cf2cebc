//! What this program does as the first process of a virtual machine: mounts the kernel's file systems, loads
//! modules, runs a command, and powers the machine off.
//!
//! The command follows `--` on the kernel's command line. Results are written to the console.

mod bot;
mod count;
mod system;

use std::{fs, io, net::Ipv4Addr, path::Path};

use anyhow::{Context as _, Result, ensure};
use clap::Subcommand;
use rustix::{
    mount::{MountFlags, mount},
    system::{RebootCommand, init_module, reboot},
    termios::tcdrain,
};

use super::case::Case;
use super::layout::{MODULES, OVER};
use system::write_line;

#[derive(Subcommand)]
pub(crate) enum GuestCommand {
    /// Be the bot at ADDRESS, controlled over the console; every other host is reached through GATEWAY
    Bot { address: Ipv4Addr, gateway: Ipv4Addr, gateway_mac: String },
    /// Run gomon on frames of SOURCE, once per case
    Count { source: String, cases: Vec<Case> },
}

/// Runs a command and powers the machine off. Returns only on a machine that is not a virtual one.
pub(crate) fn run(command: &GuestCommand) -> Result<()> {
    ensure!(std::process::id() == 1, "be the first process: this is for virtual machines only");
    let done = prepare().and_then(|()| match command {
        GuestCommand::Bot { address, gateway, gateway_mac } => {
            bot::serve(*address, *gateway, gateway_mac)
        }
        GuestCommand::Count { source, cases } => count::each(source, cases),
    });
    match done {
        Ok(()) => write_line(OVER)?,
        Err(error) => write_line(&format!("gomon-guest: {error:#}"))?,
    }
    // Powering off discards what the console has not transmitted yet.
    tcdrain(io::stdout()).context("wait for the console")?;
    Ok(reboot(RebootCommand::PowerOff)?)
}

fn prepare() -> Result<()> {
    for (kind, path) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        let attempt = || -> Result<()> {
            fs::create_dir_all(path)?;
            Ok(mount(kind, path, kind, MountFlags::empty(), None)?)
        };
        attempt().with_context(|| format!("mount {path}"))?;
    }
    let entries = fs::read_dir(Path::new("/").join(MODULES)).context("list the modules")?;
    let mut modules: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    modules.sort();
    for module in modules {
        let attempt = || Ok::<_, io::Error>(init_module(&fs::read(&module)?, c"")?);
        attempt().with_context(|| format!("load the module {}", module.display()))?;
    }
    Ok(())
}

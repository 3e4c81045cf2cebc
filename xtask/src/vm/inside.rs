//! What this program does as the first process of a virtual machine: mounts what the kernel shows,
//! loads modules, obeys, and powers the machine off.
//!
//! The orders stand behind `--` on the kernel's command line, and answers go to the console.

mod bot;
mod count;

use std::{
    fs,
    io::{self, Write as _},
    net::Ipv4Addr,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Subcommand;
use rustix::{
    mount::{MountFlags, mount},
    system::{RebootCommand, init_module, reboot},
    termios::tcdrain,
};

use crate::workspace::output;
pub(crate) use count::{Case, Report};

/// Where this program lies, and the modules, in the order they are loaded in.
pub(crate) const INIT: &str = "init";
pub(crate) const MODULES: &str = "modules";
/// Frames to be sent: `frames/MTU.pcap`.
pub(crate) const FRAMES: &str = "frames";
/// The last line on the console when all went well.
pub(crate) const OVER: &str = "gomon-guest: over";

const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Subcommand)]
pub(crate) enum Orders {
    /// Be the bot at ADDRESS that does what the console says; everybody is behind GATEWAY
    Bot { address: Ipv4Addr, gateway: Ipv4Addr, gateway_mac: String },
    /// Have gomon count frames of SOURCE, in each case anew
    Count { source: String, cases: Vec<Case> },
}

/// Never returns but on a machine that is not a virtual one.
pub(crate) fn obey(orders: &Orders) -> Result<()> {
    ensure!(std::process::id() == 1, "be the first process: this is for virtual machines only");
    let done = prepare().and_then(|()| match orders {
        Orders::Bot { address, gateway, gateway_mac } => {
            bot::serve(*address, *gateway, gateway_mac)
        }
        Orders::Count { source, cases } => count::each(source, cases),
    });
    match done {
        Ok(()) => say(OVER)?,
        Err(error) => say(&format!("gomon-guest: {error:#}"))?,
    }
    // What is still on its way to the console would be lost.
    tcdrain(io::stdout()).context("wait for the console")?;
    Ok(reboot(RebootCommand::PowerOff)?)
}

fn prepare() -> Result<()> {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        let attempt = || -> Result<()> {
            fs::create_dir_all(place)?;
            Ok(mount(kind, place, kind, MountFlags::empty(), None)?)
        };
        attempt().with_context(|| format!("mount {place}"))?;
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

/// Puts a line on the console.
fn say(line: &str) -> Result<()> {
    let mut console = io::stdout().lock();
    writeln!(console, "{line}")?;
    Ok(console.flush()?)
}

/// Runs ip(8).
fn ip(args: &str) -> Result<()> {
    output(Command::new("/bin/ip").args(args.split_whitespace())).map(drop)
}

fn until_up(interface: &str) -> Result<()> {
    let state = format!("/sys/class/net/{interface}/operstate");
    let deadline = Instant::now() + PATIENCE;
    while fs::read_to_string(&state).is_ok_and(|state| state.trim() != "up") {
        ensure!(Instant::now() < deadline, "wait until {interface} is up: it does not come up");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

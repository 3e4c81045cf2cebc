//! The console and the network of a virtual machine, from inside.

use std::{
    fs,
    io::{self, Write as _},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::workspace::output;

/// The longest wait for a state.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);

/// Writes a line to the console.
pub(super) fn write_line(line: &str) -> Result<()> {
    let mut console = io::stdout().lock();
    writeln!(console, "{line}")?;
    Ok(console.flush()?)
}

/// Runs ip(8).
pub(super) fn ip(args: &str) -> Result<()> {
    output(Command::new("/bin/ip").args(args.split_whitespace())).map(drop)
}

/// Waits until an interface is up.
pub(super) fn wait_until_up(interface: &str) -> Result<()> {
    let state = format!("/sys/class/net/{interface}/operstate");
    let deadline = Instant::now() + TIMEOUT;
    while fs::read_to_string(&state).is_ok_and(|state| state.trim() != "up") {
        ensure!(Instant::now() < deadline, "wait until {interface} is up: it stays down");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

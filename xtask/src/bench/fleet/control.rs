//! Requests to a fleet over its control socket.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::fleet_network::FleetNetwork;
use crate::bench::process::Process;

pub(super) struct Control {
    socket: PathBuf,
}

impl Control {
    /// Starts a fleet without bots.
    pub(super) fn start(
        network: &FleetNetwork,
        gomon: &Path,
        directory: &Path,
    ) -> Result<(Process, Self)> {
        let socket = directory.join("control.sock");
        let records = directory.join("eve.json").display().to_string();
        let text = format!(
            "[defaults]\neve_log_path = {records:?}\nlog_level = \"warn\"\n[control]\nsocket = {:?}\n",
            socket.display().to_string()
        );
        let (process, _stdout) = Process::start(&mut network.configured(gomon, directory, &text)?)?;
        let control = Self { socket };
        while control.ask(r#"{"command":"list"}"#).is_err() {
            ensure!(fs::exists(format!("/proc/{}", process.id()))?, "gomon fleet has ended");
            thread::sleep(Duration::from_millis(20));
        }
        // The programs are loaded meanwhile.
        thread::sleep(Duration::from_secs(2));
        Ok((process, control))
    }

    /// Adds a bot. Returns the seconds until the answer.
    pub(super) fn add(&self) -> Result<f64> {
        self.ask(r#"{"command":"add","interface":"vnet1","src":"10.10.0.20"}"#)
    }

    /// Removes it. Returns the seconds until the answer.
    pub(super) fn remove(&self) -> Result<f64> {
        self.ask(r#"{"command":"remove","interface":"vnet1"}"#)
    }

    fn ask(&self, request: &str) -> Result<f64> {
        let start = Instant::now();
        let mut stream = UnixStream::connect(&self.socket).context("connect to gomon fleet")?;
        writeln!(stream, "{request}")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        let seconds = start.elapsed().as_secs_f64();
        let parsed: Value = serde_json::from_str(&answer).context("parse the answer")?;
        ensure!(parsed["ok"] == true, "{request}: {answer}");
        Ok(seconds)
    }
}

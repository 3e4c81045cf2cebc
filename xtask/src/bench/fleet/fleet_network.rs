//! A network namespace with many veth pairs.

use std::{
    fs,
    ops::RangeInclusive,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result};
use gomon_xdpgen::{Attached, Sent, Traffic};
use serde_json::Value;

use crate::workspace::{run, text};

/// A fixed name, so that a run removes what a killed run left.
const NAMESPACE: &str = "gomon-bench-fleet";

pub(super) struct FleetNetwork {
    namespace: &'static str,
    taps: u32,
}

impl FleetNetwork {
    /// Creates `vnet1`, `vnet2` and so on, with the peers `bot1`, `bot2` and so on.
    pub(super) fn new(taps: u32) -> Result<Self> {
        remove();
        run(Command::new("ip").args(["netns", "add", NAMESPACE]))?;
        gomon_xdpgen::within(NAMESPACE, || {
            for interfaces in ["all", "default"] {
                let path = format!("/proc/sys/net/ipv6/conf/{interfaces}/disable_ipv6");
                if fs::exists(&path)? {
                    fs::write(&path, "1").with_context(|| format!("write {path}"))?;
                }
            }
            Ok(())
        })?;
        let network = Self { namespace: NAMESPACE, taps };
        for number in 1..=taps {
            network.pair(&format!("vnet{number}"), &format!("bot{number}"))?;
        }
        Ok(network)
    }

    /// Returns the numbers of the taps.
    pub(super) fn taps(&self) -> RangeInclusive<u32> {
        1..=self.taps
    }

    /// Creates a tap. Returns when that was done.
    pub(super) fn create(&self, name: &str) -> Result<Instant> {
        self.ip(&["link", "add", name, "type", "veth", "peer", "name", &format!("peer-{name}")])?;
        Ok(Instant::now())
    }

    fn pair(&self, tap: &str, bot: &str) -> Result<()> {
        self.ip(&["link", "add", tap, "up", "type", "veth", "peer", "name", bot])?;
        self.ip(&["link", "set", bot, "up"])
    }

    /// Returns the command of a fleet on all taps, with further lines for `[defaults]`.
    pub(super) fn fleet(&self, gomon: &Path, directory: &Path, defaults: &str) -> Result<Command> {
        let bot = "[[bot]]\ninterface = \"vnet*\"\nsrc = \"any\"\n";
        self.configured(gomon, directory, &format!("[defaults]\n{defaults}\n{bot}"))
    }

    /// Returns the command of a fleet with this configuration.
    pub(super) fn configured(&self, gomon: &Path, directory: &Path, text: &str) -> Result<Command> {
        let path = directory.join("gomon.toml");
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.namespace])
            .arg(gomon)
            .arg("fleet")
            .arg("--config")
            .arg(path);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Attaches a program to each tap without which generated frames do not arrive.
    pub(super) fn receive(&self) -> Result<Vec<Attached>> {
        self.taps()
            .map(|number| Attached::passing(self.namespace, &format!("vnet{number}")))
            .collect()
    }

    pub(super) fn send(&self, number: u32, traffic: &Traffic, frames: u64) -> Result<Sent> {
        traffic.send(self.namespace, &format!("bot{number}"), frames)
    }

    /// Returns the number of frames that the taps received.
    pub(super) fn arrived(&self) -> Result<u64> {
        let text =
            text(Command::new("ip").args(["-n", self.namespace, "-s", "-j", "link", "show"]))?;
        let links: Value = serde_json::from_str(&text).context("parse the output of `ip -s -j`")?;
        let links = links.as_array().into_iter().flatten();
        let taps =
            links.filter(|link| link["ifname"].as_str().is_some_and(|n| n.starts_with("vnet")));
        Ok(taps.filter_map(|link| link["stats64"]["rx"]["packets"].as_u64()).sum())
    }

    fn ip(&self, args: &[&str]) -> Result<()> {
        run(Command::new("ip").args(["-n", self.namespace]).args(args))
    }
}

impl Drop for FleetNetwork {
    fn drop(&mut self) {
        remove();
    }
}

fn remove() {
    // It fails when there is none.
    let _ = Command::new("ip").args(["netns", "del", NAMESPACE]).output();
}

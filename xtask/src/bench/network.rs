//! Two network namespaces connected by a veth pair, with no traffic other than what is generated.

use std::{
    ffi::OsStr,
    fs,
    net::Ipv4Addr,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use gomon_xdpgen::{Attached, Sent, Tap, Traffic};
use serde_json::Value;

use crate::{frames::BOT, workspace::text};

/// Fixed names, so that a run removes what a killed run left.
const RECEIVER: &str = "gomon-bench-tap";
const SENDER: &str = "gomon-bench-bot";
/// The interface on which packets are counted.
pub(super) const TAP: &str = "vnet0";
const BOT_END: &str = "bot0";
/// The address of the receiving end.
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 1);

pub(super) struct Network {
    receiver: &'static str,
    sender: &'static str,
}

/// The kernel's counters at the receiving end.
#[derive(Clone, Copy, Default)]
pub(super) struct Arrived {
    pub(super) frames: u64,
    /// Frames dropped because the queue of the veth pair was full, before any program saw them.
    pub(super) dropped: u64,
}

impl Network {
    pub(super) fn new() -> Result<Self> {
        remove();
        let network = Self { receiver: RECEIVER, sender: SENDER };
        for namespace in [RECEIVER, SENDER] {
            ip(&["netns", "add", namespace])?;
            // No automatic addresses, and no packets to announce them.
            gomon_xdpgen::within(namespace, || {
                for interfaces in ["all", "default"] {
                    let path = format!("/proc/sys/net/ipv6/conf/{interfaces}/disable_ipv6");
                    if fs::exists(&path)? {
                        fs::write(&path, "1").with_context(|| format!("write {path}"))?;
                    }
                }
                Ok(())
            })?;
        }
        ip(&[
            "-n", RECEIVER, "link", "add", TAP, "type", "veth", "peer", BOT_END, "netns", SENDER,
        ])?;
        ip(&["-n", RECEIVER, "link", "set", TAP, "up"])?;
        ip(&["-n", SENDER, "link", "set", BOT_END, "up"])?;
        Ok(network)
    }

    /// Returns a command at the receiving end, with piped output.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.receiver]).arg(program);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(super) fn send(&self, traffic: &Traffic, frames: u64) -> Result<Sent> {
        traffic.send(self.sender, BOT_END, frames)
    }

    /// Attaches a program that passes frames and does nothing else.
    pub(super) fn passing(&self) -> Result<Attached> {
        Attached::passing(self.receiver, TAP)
    }

    /// Attaches a TC program that passes frames and does nothing else.
    pub(super) fn passing_tc(&self) -> Result<Attached> {
        self.passing_tc_at(TAP)
    }

    /// The same on an interface at the receiving end.
    pub(super) fn passing_tc_at(&self, interface: &str) -> Result<Attached> {
        Attached::passing_tc(self.receiver, interface)
    }

    /// Attaches a minimal TC program that counts like [`Network::counting`].
    pub(super) fn counting_tc(&self, traffic: &Traffic, hosts: u32) -> Result<Attached> {
        Attached::counting_tc(self.receiver, TAP, traffic.destination, hosts)
    }

    /// Attaches a minimal program that counts frames to the first hosts of the traffic.
    pub(super) fn counting(&self, traffic: &Traffic, hosts: u32) -> Result<Attached> {
        Attached::counting(self.receiver, TAP, traffic.destination, hosts)
    }

    /// Runs ip(8) at the receiving end.
    pub(super) fn ip(&self, args: &str) -> Result<String> {
        in_namespace(self.receiver, args)
    }

    /// Runs ip(8) at the bot's end.
    pub(super) fn bot_ip(&self, args: &str) -> Result<String> {
        in_namespace(self.sender, args)
    }

    /// Gives both ends an address, [`GATEWAY`] and the bot's.
    pub(super) fn add_addresses(&self) -> Result<()> {
        self.ip(&format!("address add {GATEWAY}/24 dev {TAP}"))?;
        self.bot_ip(&format!("address add {BOT}/24 dev {BOT_END}"))?;
        Ok(())
    }

    /// Creates a tap at the receiving end. It is up, and has a MAC address.
    pub(super) fn tap(&self, name: &str, address: &str) -> Result<Tap> {
        let tap = Tap::create(self.receiver, name)?;
        self.ip(&format!("link set {name} address {address} up"))?;
        Ok(tap)
    }

    /// Creates a socket at the receiving end.
    pub(super) fn at_receiver<T: Send>(
        &self,
        create: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        gomon_xdpgen::within(self.receiver, create)
    }

    /// Creates a socket at the bot's end.
    pub(super) fn at_bot<T: Send>(&self, create: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        gomon_xdpgen::within(self.sender, create)
    }

    pub(super) fn arrived(&self) -> Result<Arrived> {
        self.arrived_at(TAP)
    }

    /// Returns the counters of an interface at the receiving end.
    pub(super) fn arrived_at(&self, interface: &str) -> Result<Arrived> {
        let text = ip(&["-n", self.receiver, "-s", "-j", "link", "show", interface])?;
        let parsed: Value =
            serde_json::from_str(&text).context("parse the output of `ip -s -j`")?;
        let number = |name: &str| parsed[0]["stats64"]["rx"][name].as_u64();
        let counts = number("packets").zip(number("dropped"));
        let (frames, dropped) =
            counts.context("find the statistics in the output of `ip -s -j`")?;
        Ok(Arrived { frames, dropped })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove();
    }
}

fn remove() {
    for namespace in [RECEIVER, SENDER] {
        // It fails when there is none.
        let _ = Command::new("ip").args(["netns", "del", namespace]).output();
    }
}

fn in_namespace(namespace: &str, args: &str) -> Result<String> {
    let args: Vec<_> = ["-n", namespace].into_iter().chain(args.split_whitespace()).collect();
    ip(&args)
}

fn ip(args: &[&str]) -> Result<String> {
    text(Command::new("ip").args(args))
}

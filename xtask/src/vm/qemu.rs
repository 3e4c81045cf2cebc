//! A running virtual machine: its console is read until it powers itself off.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::layout::{INIT, OVER};

/// The number of console lines shown of a machine that failed.
const TAIL: usize = 20;

pub(crate) struct VirtualMachine<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) initramfs: &'a Path,
    /// The arguments of its first process.
    pub(crate) args: &'a str,
}

impl VirtualMachine<'_> {
    /// Boots it and passes on the console line by line until it powers itself off. A machine that still runs
    /// after `timeout` is killed.
    pub(crate) fn run(&self, timeout: Duration, mut on_line: impl FnMut(&str)) -> Result<()> {
        let attempt = format!("boot {}", self.kernel.display());
        let mut qemu = self.command().spawn().with_context(|| format!("{attempt} with qemu"))?;
        let (sender, lines) = mpsc::channel();
        let console = qemu.stdout.take().context("the console of qemu")?;
        thread::spawn(move || {
            let mut console = BufReader::new(console).split(b'\n');
            while let Some(Ok(line)) = console.next() {
                if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    break;
                }
            }
        });
        let deadline = Instant::now() + timeout;
        let mut printed: Vec<String> = Vec::new();
        let why = loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    on_line(&line);
                    printed.push(line);
                }
                Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) => {
                    qemu.kill().context("kill qemu")?;
                    break Some(format!("still running after {} s", timeout.as_secs()));
                }
            }
        };
        let status = qemu.wait().context("wait for qemu")?;
        let is_over = printed.iter().any(|line| line == OVER);
        let why = why.or_else(|| (!status.success()).then(|| format!("qemu exited: {status}")));
        let why =
            why.or_else(|| (!is_over).then(|| "it ended before its work was done".to_owned()));
        if let Some(why) = why {
            let tail = &printed[printed.len().saturating_sub(TAIL)..];
            bail!("{attempt}: {why}: the last lines on its console:\n{}", tail.join("\n"));
        }
        Ok(())
    }

    fn command(&self) -> Command {
        let mut qemu = Command::new("qemu-system-x86_64");
        // Emulated, so that it behaves the same without hardware virtualization, or inside a virtual machine.
        qemu.args(["-accel", "tcg", "-m", "512", "-nodefaults", "-no-user-config"]);
        qemu.args(["-display", "none", "-serial", "stdio", "-no-reboot"]);
        qemu.arg("-kernel").arg(self.kernel).arg("-initrd").arg(self.initramfs);
        // Without IPv6, the kernel sends no packets by itself.
        let settings = "console=ttyS0 quiet loglevel=1 panic=-1 ipv6.disable=1";
        let line = format!("{settings} rdinit=/{INIT} -- guest {}", self.args);
        qemu.arg("-append").arg(line);
        qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        qemu
    }
}

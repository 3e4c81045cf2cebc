//! A virtual machine that runs: its console is read until it powers itself off.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::inside::INIT;

/// Of the console, what is shown of a machine that hangs.
const TAIL: usize = 20;

pub(crate) struct Machine<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) initramfs: &'a Path,
    /// What its first process is told to do.
    pub(crate) orders: &'a str,
}

impl Machine<'_> {
    /// Boots it and hands on the console line by line until it powers itself off. One that has not
    /// done so after `patience` is ended.
    pub(crate) fn run(&self, patience: Duration, mut line: impl FnMut(&str)) -> Result<()> {
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
        let deadline = Instant::now() + patience;
        let mut said: Vec<String> = Vec::new();
        let why = loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(text) => {
                    line(&text);
                    said.push(text);
                }
                Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) => {
                    qemu.kill().context("end qemu")?;
                    break Some(format!("not done after {} s", patience.as_secs()));
                }
            }
        };
        let status = qemu.wait().context("wait for qemu")?;
        let over = said.iter().any(|line| line == super::inside::OVER);
        let why = why.or_else(|| (!status.success()).then(|| format!("qemu ended: {status}")));
        let why = why.or_else(|| (!over).then(|| "it ended before its work was done".to_owned()));
        if let Some(why) = why {
            let tail = &said[said.len().saturating_sub(TAIL)..];
            bail!("{attempt}: {why}: its console ends:\n{}", tail.join("\n"));
        }
        Ok(())
    }

    fn command(&self) -> Command {
        let mut qemu = Command::new("qemu-system-x86_64");
        // Emulated, so that it is the same on machines without virtualization, or inside one.
        qemu.args(["-accel", "tcg", "-m", "512", "-nodefaults", "-no-user-config"]);
        qemu.args(["-display", "none", "-serial", "stdio", "-no-reboot"]);
        qemu.arg("-kernel").arg(self.kernel).arg("-initrd").arg(self.initramfs);
        // No IPv6 of its own, so that nothing is on a wire but what is sent on purpose.
        let settings = "console=ttyS0 quiet loglevel=1 panic=-1 ipv6.disable=1";
        let line = format!("{settings} rdinit=/{INIT} -- guest {}", self.orders);
        qemu.arg("-append").arg(line);
        qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        qemu
    }
}

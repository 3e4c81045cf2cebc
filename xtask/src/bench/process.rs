//! A program that runs while packets arrive: its output, its CPU time and its memory.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::workspace::describe;

pub(super) struct Process {
    child: Child,
    name: String,
    stderr: BufReader<ChildStderr>,
    /// What was read from standard error so far.
    log: String,
}

/// The resources that a process has used so far.
#[derive(Clone, Copy)]
pub(super) struct Usage {
    /// CPU time in user space and in the kernel.
    pub(super) cpu: Duration,
    pub(super) resident_kib: u32,
    pub(super) peak_kib: u32,
}

impl Process {
    /// Starts a command with piped output.
    pub(super) fn start(command: &mut Command) -> Result<(Self, ChildStdout)> {
        let name = describe(command);
        let mut child = command.spawn().with_context(|| format!("start `{name}`"))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let stdout = stdout.context("standard output is piped")?;
        let stderr = BufReader::new(stderr.context("standard error is piped")?);
        Ok((Self { child, name, stderr, log: String::new() }, stdout))
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on standard error that contains `part`. Returns the exit status when it exits without one.
    pub(super) fn wait_for(&mut self, part: &str) -> Result<Option<ExitStatus>> {
        loop {
            let before = self.log.len();
            if self.stderr.read_line(&mut self.log)? == 0 {
                return Ok(Some(self.child.wait()?));
            }
            if self.log[before..].contains(part) {
                return Ok(None);
            }
        }
    }

    /// Returns an error with a reason and with the output on standard error.
    pub(super) fn error(&self, why: &str) -> anyhow::Error {
        anyhow::anyhow!("run `{}`: {why}: {}", self.name, self.log.trim())
    }

    pub(super) fn usage(&self) -> Result<Usage> {
        let id = self.id();
        let read = |file: &str| {
            let path = format!("/proc/{id}/{file}");
            fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        let memory = |name: &str| memory(&status, name).with_context(|| format!("find {name}"));
        Ok(Usage {
            cpu: cpu_time(&stat).context("find the times of a process")?,
            resident_kib: memory("VmRSS")?,
            peak_kib: memory("VmHWM")?,
        })
    }

    /// Interrupts it, and returns everything it wrote to standard error.
    pub(super) fn interrupt(mut self) -> Result<String> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("a process")?;
        kill_process(id, Signal::INT).with_context(|| format!("interrupt `{}`", self.name))?;
        self.stderr.read_to_string(&mut self.log)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!(self.error(&status.to_string()));
        }
        Ok(std::mem::take(&mut self.log))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has exited unless something failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The unit of times in `/proc`, on every kernel (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Returns the user and system time in `/proc/PID/stat`.
fn cpu_time(stat: &str) -> Option<Duration> {
    // The name is in parentheses and can contain parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * ticks()?.saturating_add(ticks()?))
}

fn memory(status: &str, name: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Returns the rest of the line that starts with `start`.
pub(super) fn line<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(start))
}

/// Returns the number before `unit` in a line that starts with `start`.
pub(super) fn number(text: &str, start: &str, unit: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(start) && line.contains(unit))?;
    let (before, _) = line.split_once(unit)?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_memory_are_parsed() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 900 0 0 0 12 30 0 0 20 0 2 0 99 1 2 3";
        assert_eq!(cpu_time(stat), Some(Duration::from_millis(420)));
        let status = "Name:\tgomon\nVmHWM:\t   25600 kB\nVmRSS:\t   24000 kB\n";
        assert_eq!((memory(status, "VmHWM"), memory(status, "VmRSS")), (Some(25600), Some(24000)));
    }

    #[test]
    fn numbers_are_found_by_their_units() {
        let log = "tcpdump: listening on vnet0\n12 packets captured\n\
            Ledger: 9 frames seen = 8 counted + 1 not from the bot; 0 late, 7 packets in overflow";
        assert_eq!(number(log, "", " packets captured"), Some(12));
        assert_eq!(number(log, "Ledger: ", " counted"), Some(8));
        assert_eq!(number(log, "Ledger: ", " packets in overflow"), Some(7));
        assert_eq!(number(log, "Ledger: ", " lost"), None);
    }
}

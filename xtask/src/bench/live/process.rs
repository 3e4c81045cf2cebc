//! A program that runs while packets come: what it says, what it takes.

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
    said: String,
}

/// What a process has taken so far.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    /// Of processors, in user space and in the kernel.
    pub(super) processor: Duration,
    pub(super) resident_kib: u32,
    pub(super) peak_kib: u32,
}

impl Process {
    /// Starts a command whose output is piped.
    pub(super) fn start(command: &mut Command) -> Result<(Self, ChildStdout)> {
        let name = describe(command);
        let mut child = command.spawn().with_context(|| format!("start `{name}`"))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let stdout = stdout.context("standard output is piped")?;
        let stderr = BufReader::new(stderr.context("standard error is piped")?);
        Ok((Self { child, name, stderr, said: String::new() }, stdout))
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on standard error with `part` in it; its status when it ends without.
    pub(super) fn wait_for(&mut self, part: &str) -> Result<Option<ExitStatus>> {
        loop {
            let before = self.said.len();
            if self.stderr.read_line(&mut self.said)? == 0 {
                return Ok(Some(self.child.wait()?));
            }
            if self.said[before..].contains(part) {
                return Ok(None);
            }
        }
    }

    /// Says that something went wrong with it, and what it said itself.
    pub(super) fn failed(&self, how: &str) -> anyhow::Error {
        anyhow::anyhow!("run `{}`: {how}: {}", self.name, self.said.trim())
    }

    pub(super) fn taken(&self) -> Result<Taken> {
        let id = self.id();
        let read = |file: &str| {
            let path = format!("/proc/{id}/{file}");
            fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        let memory = |name: &str| memory(&status, name).with_context(|| format!("find {name}"));
        Ok(Taken {
            processor: processor(&stat).context("find the times of a process")?,
            resident_kib: memory("VmRSS")?,
            peak_kib: memory("VmHWM")?,
        })
    }

    /// Asks it to end, and returns all that it said on standard error.
    pub(super) fn interrupt(mut self) -> Result<String> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("a process")?;
        kill_process(id, Signal::INT).with_context(|| format!("interrupt `{}`", self.name))?;
        self.stderr.read_to_string(&mut self.said)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!(self.failed(&status.to_string()));
        }
        Ok(std::mem::take(&mut self.said))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended unless something failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The kernel shows hundredths of a second to everybody, whatever it counts in.
const TICK: Duration = Duration::from_millis(10);

/// User and system time out of a process's `stat`.
fn processor(stat: &str) -> Option<Duration> {
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * ticks()?.saturating_add(ticks()?))
}

fn memory(status: &str, name: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_memory_are_found() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 900 0 0 0 12 30 0 0 20 0 2 0 99 1 2 3";
        assert_eq!(processor(stat), Some(Duration::from_millis(420)));
        let status = "Name:\tgomon\nVmHWM:\t   25600 kB\nVmRSS:\t   24000 kB\n";
        assert_eq!((memory(status, "VmHWM"), memory(status, "VmRSS")), (Some(25600), Some(24000)));
    }
}

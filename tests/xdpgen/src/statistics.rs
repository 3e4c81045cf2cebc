//! The kernel's statistics of programs: how often they ran, and for how long.

use std::fs;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result, ensure};

use crate::bpf;

/// The runs of a program while a [`Timing`] existed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The number of runs.
    pub runs: u64,
    /// The total run time, in nanoseconds.
    pub nanoseconds: u64,
}

/// Makes the kernel count and time the runs of all programs until this is dropped. It costs about ten nanoseconds per
/// run, part of which is included in the measured time.
pub struct Timing(#[expect(dead_code, reason = "kept to be dropped")] OwnedFd);

impl Timing {
    /// Starts timing.
    ///
    /// # Errors
    ///
    /// When capabilities are missing, and on kernels before 5.8.
    pub fn start() -> Result<Self> {
        Ok(Self(bpf::time_programs().context("time BPF programs")?))
    }
}

/// Returns the sum over all programs that a process holds.
///
/// # Errors
///
/// When there is no such process, or it holds no program.
pub fn of_process(process: u32) -> Result<Statistics> {
    let directory = format!("/proc/{process}/fdinfo");
    let entries = fs::read_dir(&directory).with_context(|| format!("read {directory}"))?;
    let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let mut programs: Vec<_> = texts.filter_map(|text| parse(&text)).collect();
    // Several descriptors can refer to the same program.
    programs.sort_unstable_by_key(|(id, statistics)| (*id, statistics.runs));
    programs.dedup_by_key(|(id, _)| *id);
    ensure!(!programs.is_empty(), "process {process} holds no BPF program");
    Ok(programs.iter().fold(Statistics::default(), |sum, (_, one)| Statistics {
        runs: sum.runs + one.runs,
        nanoseconds: sum.nanoseconds + one.nanoseconds,
    }))
}

pub(crate) fn of_descriptor(program: BorrowedFd<'_>) -> Result<Statistics> {
    let path = format!("/proc/self/fdinfo/{}", program.as_raw_fd());
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let (_, statistics) = parse(&text).context("the kernel provides no statistics of programs")?;
    Ok(statistics)
}

/// Parses `/proc/PID/fdinfo/FD` of a program: its ID and statistics.
fn parse(text: &str) -> Option<(u32, Statistics)> {
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line?.trim().parse::<u64>().ok()
    };
    let id = u32::try_from(number("prog_id")?).ok()?;
    let statistics = Statistics { runs: number("run_cnt")?, nanoseconds: number("run_time_ns")? };
    Some((id, statistics))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_descriptors_of_programs_have_statistics() {
        let program = "pos:\t0\nprog_type:\t6\nprog_id:\t12\nrun_time_ns:\t900\nrun_cnt:\t10\n";
        let expected = Statistics { runs: 10, nanoseconds: 900 };
        assert_eq!(parse(program), Some((12, expected)));
        // A link has its program's ID too, but no statistics.
        assert_eq!(parse("link_type:\txdp\nlink_id:\t3\nprog_id:\t12\n"), None);
    }
}

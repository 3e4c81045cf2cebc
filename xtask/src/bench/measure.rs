//! Runs programs and takes their time and memory. Two programs are compared in pairs run one right
//! after the other, so that whatever else the machine does meets both.

use std::{process::Command, time::Instant};

use anyhow::{Context as _, Result, ensure};

use crate::workspace::describe;

/// One run.
pub(super) struct Run {
    pub(super) seconds: f64,
    /// The largest resident set it ever had.
    pub(super) peak_kib: u32,
}

/// Runs of gomon and of tcpdump on the same capture, in the order they were made.
pub(super) struct Pairs {
    pub(super) ours: Vec<Run>,
    pub(super) theirs: Vec<Run>,
}

impl Pairs {
    pub(super) fn measure(count: u32, ours: &Command, theirs: &Command) -> Result<Self> {
        // The first run finds the capture on disk; the measured ones, in memory.
        Run::measure(ours)?;
        Run::measure(theirs)?;
        let mut pairs = Self { ours: vec![], theirs: vec![] };
        for _ in 0..count {
            pairs.theirs.push(Run::measure(theirs)?);
            pairs.ours.push(Run::measure(ours)?);
        }
        Ok(pairs)
    }

    /// How many times as long gomon took, by pair.
    pub(super) fn ratios(&self) -> Vec<f64> {
        let pairs = self.ours.iter().zip(&self.theirs);
        pairs.map(|(ours, theirs)| ours.seconds / theirs.seconds).collect()
    }
}

impl Run {
    /// GNU time tells the peak as the last line on stderr. Its own start, a millisecond or so, is in
    /// every run alike.
    fn measure(command: &Command) -> Result<Self> {
        let attempt = || format!("measure `{}`", describe(command));
        let mut timed = Command::new("time");
        timed.args(["--format", "%M"]).arg(command.get_program()).args(command.get_args());

        let start = Instant::now();
        let output = timed.output().with_context(attempt)?;
        let seconds = start.elapsed().as_secs_f64();

        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}", attempt(), stderr.trim());
        let peak = stderr.lines().last().unwrap_or_default();
        let peak_kib = peak.parse().with_context(attempt)?;
        Ok(Self { seconds, peak_kib })
    }
}

/// Of an even number, the mean of the middle two.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(below), values.get(above)) {
        (Some(below), Some(above)) => f64::midpoint(*below, *above),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "these values are exact")]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}

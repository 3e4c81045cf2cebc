//! Measures the time and memory of programs. Two programs are compared in pairs of consecutive runs, so that other
//! load on the machine affects both.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use crate::workspace::{describe, output};

/// The time of each run of a program, in seconds, and its peak memory.
pub(super) struct Runs {
    pub(super) seconds: Vec<f64>,
    /// Peak resident set size, in KiB.
    pub(super) peak: u32,
}

/// Runs of two programs in turn.
pub(super) struct Pairs {
    pub(super) ours: Runs,
    pub(super) theirs: Runs,
}

impl Pairs {
    /// Measures both `count` times. `clean` runs after each run and removes its output.
    pub(super) fn measure(
        count: u32,
        ours: &Command,
        theirs: &Command,
        clean: impl Fn(),
    ) -> Result<Self> {
        let mut pairs = Self { ours: Runs::first(ours)?, theirs: Runs::first(theirs)? };
        clean();
        for _ in 0..count {
            pairs.theirs.seconds.push(seconds(theirs)?);
            clean();
            pairs.ours.seconds.push(seconds(ours)?);
            clean();
        }
        Ok(pairs)
    }

    /// Returns how many times as fast ours is, for each pair.
    pub(super) fn speeds(&self) -> Vec<f64> {
        let pairs = self.ours.seconds.iter().zip(&self.theirs.seconds);
        pairs.map(|(ours, theirs)| theirs / ours).collect()
    }
}

impl Runs {
    /// Measures `count` runs.
    pub(super) fn measure(count: u32, command: &Command) -> Result<Self> {
        let first = Self::first(command)?;
        let seconds = (0..count).map(|_| seconds(command)).collect::<Result<_>>()?;
        Ok(Self { seconds, ..first })
    }

    /// The first run reads the capture from disk, the measured ones from the page cache. Its time is discarded, so
    /// that its memory can be measured with GNU time, which itself takes time to start.
    fn first(command: &Command) -> Result<Self> {
        let mut timed = Command::new("time");
        timed.args(["--format", "%M"]).arg(command.get_program()).args(command.get_args());
        let attempt = || format!("measure `{}`", describe(command));
        let output = timed.stdout(Stdio::null()).output().with_context(attempt)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}", attempt(), stderr.trim());
        let peak = stderr.lines().last().unwrap_or_default().parse().with_context(attempt)?;
        Ok(Self { seconds: vec![], peak })
    }
}

/// Returns the seconds that a program takes from start to exit.
fn seconds(command: &Command) -> Result<f64> {
    let mut again = Command::new(command.get_program());
    again.args(command.get_args()).stdout(Stdio::null());
    let start = Instant::now();
    output(&mut again).with_context(|| format!("measure `{}`", describe(command)))?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(seconds)
}

/// Returns the median; of an even number of values, the mean of the middle two.
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
    fn the_median_is_the_middle_value() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}

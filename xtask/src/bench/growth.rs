//! How costs grow: a replay's time and memory while one quantity becomes ten and a hundred times as large. Growth
//! faster than n log n is a defect.

mod plot;
mod series;

use std::{fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::{
    measure::{Runs, median},
    replay::ORDINARY,
    traffic::{Destinations, Traffic},
};
use crate::{frames::BOT, workspace::root};
use series::{STEPS, Series};

/// The path of the plot, in the project.
const PLOT: &str = "docs/growth.svg";
const RUNS: u32 = 5;
/// The order of n log n between the measured steps: log 100n is at most 1.4 times log n here.
const STEEPEST: f64 = 1.08;

/// A growing quantity.
struct Growth {
    quantity: &'static str,
    /// The value at the first step.
    from: &'static str,
    /// The expected growth.
    expected: &'static str,
    /// Returns the flags and the capture of a step.
    step: fn(u32) -> (Vec<String>, Traffic),
}

const GROWTHS: [Growth; 4] = [
    Growth {
        quantity: "destinations",
        from: "1000 endpoints, each counted, in 1000000 frames",
        expected: "time: one more cache miss per packet; memory: n",
        step: |times| {
            let destinations = Destinations::Endpoints(1000 * times);
            let flags = ["--max-destinations", "200000", "--packet-threshold", "1e9"];
            let traffic = Traffic { frames: 1_000_000, destinations, seconds: 25, ..ORDINARY };
            (flags.map(ToOwned::to_owned).to_vec(), traffic)
        },
    },
    Growth {
        quantity: "windows",
        from: "100 windows of 100 endpoints, in 1000000 frames",
        expected: "time: n, once windows cost more than frames; memory: constant",
        step: |times| {
            let window = f64::from(100_u32) / f64::from(times);
            let flags = vec!["--window".to_owned(), format!("{window}s")];
            let destinations = Destinations::Endpoints(100);
            (flags, Traffic { frames: 1_000_000, destinations, seconds: 10_000, ..ORDINARY })
        },
    },
    Growth {
        quantity: "steps in a window",
        from: "10 steps in each of 100 windows, in 200000 frames to 100 endpoints",
        expected: "time: n, because a window is judged at every step; memory: the panes of a window",
        step: |times| {
            let step = f64::from(10_u32) / f64::from(times);
            let flags = [
                "--connections",
                "off",
                "--window",
                "100s",
                "--destination-threshold",
                "1e9",
                "--step",
            ];
            let mut flags = flags.map(ToOwned::to_owned).to_vec();
            flags.push(format!("{step}s"));
            let destinations = Destinations::Endpoints(100);
            (flags, Traffic { frames: 200_000, destinations, seconds: 10_000, ..ORDINARY })
        },
    },
    Growth {
        quantity: "file size",
        from: "100000 frames, 8 MB",
        expected: "time: n; memory: constant",
        step: |times| {
            (vec![], Traffic { frames: 100_000 * times, seconds: 10 * times, ..ORDINARY })
        },
    },
];

/// Returns a table in Markdown, and writes the plot.
pub(super) fn measure(gomon: &Path, directory: &Path) -> Result<String> {
    let mut table = "\
| growing | from | expected | ms at 1, 10, 100 times | order | MiB at 1, 10, 100 times | order | |
| --- | --- | --- | --- | --- | --- | --- | --- |
"
    .to_owned();
    let mut all = Vec::new();
    for growth in GROWTHS {
        eprintln!("xtask: measuring growth of {}", growth.quantity);
        let series = growth.series(gomon, directory)?;
        let (time, memory) = (order(series.seconds), order(series.mib));
        let verdict = if time.max(memory) > STEEPEST { "**a defect**" } else { "fine" };
        let figures = |values: [f64; 3], factor: f64| {
            values.map(|value| format!("{:.1}", value * factor)).join(", ")
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | n^{time:.2} | {} | n^{memory:.2} | {verdict} |",
            growth.quantity,
            growth.from,
            growth.expected,
            figures(series.seconds, 1e3),
            figures(series.mib, 1.0),
        );
        all.push(series);
    }
    let path = root().join(PLOT);
    fs::write(&path, plot::svg(&all)).with_context(|| format!("write {}", path.display()))?;
    Ok(format!("{table}\n![time and memory as functions of the growing quantity]({PLOT})\n"))
}

impl Growth {
    fn series(&self, gomon: &Path, directory: &Path) -> Result<Series> {
        let mut series = Series { quantity: self.quantity, seconds: [0.0; 3], mib: [0.0; 3] };
        for (nth, times) in STEPS.into_iter().enumerate() {
            let (flags, traffic) = (self.step)(times);
            let mut command = Command::new(gomon);
            command.arg(traffic.capture(directory)?).arg(BOT.to_string()).args(flags);
            command.args(["--quiet", "--eve-log-path", "/dev/null"]);
            let runs = Runs::measure(RUNS, &command)?;
            series.seconds[nth] = median(runs.seconds);
            series.mib[nth] = f64::from(runs.peak) / 1024.0;
        }
        Ok(series)
    }
}

/// Returns the largest exponent of growth between two consecutive steps, one ten times the other.
fn order([one, ten, hundred]: [f64; 3]) -> f64 {
    (ten / one).log10().max((hundred / ten).log10())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_steepest_step() {
        let near = |order: f64, expected: f64| (order - expected).abs() < 1e-9;
        assert!(near(order([1.0, 10.0, 100.0]), 1.0));
        assert!(near(order([3.0, 3.0, 3.0]), 0.0));
        assert!(near(order([1.0, 2.0, 200.0]), 2.0));
    }
}

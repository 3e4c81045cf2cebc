//! Tables of measurements, and the machine they were made on.

use std::{fmt::Write as _, fs, path::Path, process::Command, thread};

use anyhow::Result;

use super::measure::{Pairs, median};
use crate::workspace::text;

/// Returns the machine and the programs.
pub(super) fn setting(gomon: &Path) -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or(std::env::consts::ARCH, |(_, model)| model);
    let cores = thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(format!(
        "machine: {cpu}, {cores} cores, Linux {}\nprograms: {}; {}\n",
        kernel.trim(),
        version(gomon)?,
        version(Path::new("tcpdump"))?,
    ))
}

/// Returns the version that a program prints.
pub(super) fn version(program: &Path) -> Result<String> {
    let text = text(Command::new(program).arg("--version"))?;
    // tcpdump also prints its libraries. The second line is libpcap, which reads captures.
    Ok(text.lines().take(2).collect::<Vec<_>>().join(", "))
}

/// A comparison of two programs, and its goal.
pub(super) struct Row {
    pub(super) work: String,
    pub(super) reference: String,
    pub(super) pairs: Pairs,
    /// How many times as fast as the reference it must be, if there is a goal.
    pub(super) goal: Option<f64>,
}

/// Returns a table in Markdown.
pub(super) fn table(rows: &[Row]) -> String {
    let mut table = "\
| work | reference | gomon, ms | reference, ms | times as fast | goal | met | peak MiB |
| --- | --- | --- | --- | --- | --- | --- | --- |
"
    .to_owned();
    for Row { work, reference, pairs, goal } in rows {
        let speeds = pairs.speeds();
        let met = match goal {
            None => "",
            Some(goal) if median(speeds.clone()) >= *goal => "yes",
            Some(_) => "**no**",
        };
        let ms = |seconds: &[f64]| spread(seconds.iter().map(|seconds| seconds * 1e3), 1);
        let goal = goal.map(|goal| format!("{goal}")).unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(
            table,
            "| {work} | {reference} | {} | {} | {} | {goal} | {met} | {:.1} |",
            ms(&pairs.ours.seconds),
            ms(&pairs.theirs.seconds),
            spread(speeds, 2),
            f64::from(pairs.ours.peak) / 1024.0,
        );
    }
    table
}

/// Formats the median, minimum and maximum.
pub(super) fn spread(values: impl IntoIterator<Item = f64>, digits: usize) -> String {
    let values: Vec<_> = values.into_iter().collect();
    if values.is_empty() {
        return "-".to_owned();
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{:.digits$} ({least:.digits$} - {most:.digits$})", median(values))
}

#[cfg(test)]
mod tests {
    use super::{super::measure::Runs, *};

    #[test]
    fn a_spread_is_the_median_with_its_extremes() {
        assert_eq!(spread([3.0, 1.0, 2.04], 1), "2.0 (1.0 - 3.0)");
        assert_eq!(spread([], 1), "-");
    }

    #[test]
    fn the_median_of_the_pairs_decides_about_the_goal() {
        let runs = |seconds: [f64; 3]| Runs { seconds: seconds.to_vec(), peak: 2048 };
        let row = |goal| Row {
            work: "reading".into(),
            reference: "cat".into(),
            pairs: Pairs { ours: runs([0.1, 0.2, 0.1]), theirs: runs([0.4, 0.6, 0.5]) },
            goal: Some(goal),
        };
        let table = table(&[row(4.0), row(4.5)]);
        let line = "| reading | cat | 100.0 (100.0 - 200.0) | 500.0 (400.0 - 600.0) | \
                    4.00 (3.00 - 5.00) | 4 | yes | 2.0 |";
        assert_eq!(table.lines().nth(2), Some(line));
        assert!(table.lines().nth(3).is_some_and(|line| line.contains("| 4.5 | **no** |")));
    }
}

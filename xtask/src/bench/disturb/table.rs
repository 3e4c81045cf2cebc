//! The table of ratios to the traffic without an observer.

use std::fmt::Write as _;

use super::observer::Observer;
use super::workload::{Figure, Figures, Workload};
use crate::bench::measure::median;
use crate::bench::report::spread;

/// The runs of a workload.
pub(super) struct WorkloadRuns {
    pub(super) workload: Workload,
    /// Without an observer: before the first observer, between two, and after the last.
    pub(super) alone: Vec<Figures>,
    /// With each of [`Observer::ALL`].
    pub(super) observed: Vec<Observed>,
}

/// The runs with one observer.
pub(super) struct Observed {
    pub(super) observer: Observer,
    /// The figures of each run, relative to the mean of the runs before and after it without an observer.
    pub(super) ratios: Vec<Figures>,
    /// Frames that arrived and that gomon did not count.
    pub(super) missed: u64,
}

impl Figures {
    /// Returns these figures relative to the mean of the figures before and after.
    pub(super) fn relative_to(&self, before: &Self, after: &Self) -> Self {
        let ratio = |figure: Figure| {
            let reference = f64::midpoint(before.get(figure)?, after.get(figure)?);
            Some(self.get(figure)? / reference)
        };
        Self {
            rate: ratio(Figure::Rate).unwrap_or(f64::NAN),
            tail: ratio(Figure::Tail),
            cpu: ratio(Figure::Cpu).unwrap_or(f64::NAN),
        }
    }
}

/// Returns a table in Markdown.
pub(super) fn render(all: &[WorkloadRuns]) -> String {
    let mut text = "| traffic | alone |".to_owned();
    for observer in Observer::ALL {
        let _ = write!(text, " {observer} |");
    }
    text += " goal | met |\n| --- | --- |";
    text += &" --- |".repeat(Observer::ALL.len() + 2);
    text.push('\n');
    for runs in all {
        for figure in Figure::ALL {
            let alone: Vec<_> =
                runs.alone.iter().filter_map(|figures| figures.get(figure)).collect();
            if alone.is_empty() {
                continue;
            }
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "| {}, {} | {:.2} |",
                runs.workload,
                runs.workload.unit(figure),
                median(alone)
            );
            for observed in &runs.observed {
                let _ = write!(text, " {} |", spread(observed.values(figure), 2));
            }
            let _ = writeln!(text, " {} |", goals(runs, figure));
        }
    }
    let missed: u64 = all.iter().flat_map(|runs| &runs.observed).map(|one| one.missed).sum();
    text + &format!("\nFrames that arrived and that gomon did not count: {missed}.\n")
}

/// Returns the goals of a row, and whether they are met.
fn goals(runs: &WorkloadRuns, figure: Figure) -> String {
    if figure != Figure::Rate {
        return " | ".to_owned();
    }
    let goals = [
        (Observer::Gomon("auto"), Some(runs.workload.goal())),
        (Observer::Saving, runs.workload.saving_goal()),
    ];
    let goals = goals.into_iter().filter_map(|(observer, goal)| Some((observer, goal?)));
    let goals: Vec<_> = goals
        .filter_map(|(observer, goal)| {
            let observed = runs.observed.iter().find(|observed| observed.observer == observer)?;
            let met = if median(observed.values(figure)) >= goal { "yes" } else { "**no**" };
            Some((format!("{goal}"), met))
        })
        .collect();
    let goal: Vec<_> = goals.iter().map(|(goal, _)| goal.as_str()).collect();
    let met: Vec<_> = goals.iter().map(|(_, met)| *met).collect();
    format!("{} | {}", goal.join(", "), met.join(", "))
}

impl Observed {
    fn values(&self, figure: Figure) -> Vec<f64> {
        self.ratios.iter().filter_map(|figures| figures.get(figure)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rate: f64) -> Figures {
        Figures { rate, tail: None, cpu: 2.0 }
    }

    #[test]
    fn ratios_are_relative_to_the_runs_before_and_after() {
        let relative = figures(9.0).relative_to(&figures(8.0), &figures(12.0));
        assert!((relative.rate - 0.9).abs() < 1e-9 && relative.tail.is_none());
    }

    #[test]
    fn a_goal_is_met_by_the_median() {
        let observed = |observer| {
            let ratios = [0.5, 0.95, 1.1].map(figures).into();
            Observed { observer, ratios, missed: 1 }
        };
        let runs = |workload| WorkloadRuns {
            workload,
            alone: vec![figures(10.0)],
            observed: vec![observed(Observer::Gomon("auto"))],
        };
        let table = render(&[runs(Workload::Tap(64)), runs(Workload::Tap(1514))]);
        let line = |nth| table.lines().nth(nth).unwrap_or_default();
        assert!(line(2).ends_with("| 10.00 | 0.95 (0.50 - 1.10) | 0.92 | yes |"), "{table}");
        assert!(line(4).ends_with("| 0.96 | **no** |"), "{table}");
        assert!(table.ends_with("did not count: 2.\n"));
    }
}

//! What the live figures come to, beside what was meant.

use std::fmt::Write as _;

use super::{
    Rows,
    subject::{Round, Subject},
};
use crate::bench::{measure::median, report::spread};

/// The goals of the ordinary flood, and of the one to a new host each time.
pub(super) fn told(traffics: &[Rows]) -> String {
    let [ordinary, new] = traffics else { return String::new() };
    let ratios = |ours: Vec<f64>, theirs: Vec<f64>| -> Vec<f64> {
        ours.into_iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
    };
    let gomon = costs(ordinary, Subject::Gomon);
    let lost: i128 = traffics.iter().map(|rows| lost(rows, Subject::Gomon)).sum();
    let rows = [
        ("ns a packet in the kernel, gomon", gomon.clone(), 100.0, 0),
        (
            "the same by that of bare counting",
            ratios(gomon.clone(), costs(ordinary, Subject::Bare)),
            1.5,
            2,
        ),
        (
            "a new host each time by the ordinary flood",
            ratios(costs(new, Subject::Gomon), gomon),
            1.2,
            2,
        ),
        (
            "processor time a packet by tcpdump's",
            ratios(spent(ordinary, Subject::Gomon), spent(ordinary, Subject::Tcpdump)),
            0.1,
            3,
        ),
    ];
    let mut text = "\ngoals\n".to_owned();
    for (what, values, goal, digits) in rows {
        let met = if median(values.clone()) <= goal { "met" } else { "NOT MET" };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{what:46}  {:>24}  at most {goal}: {met}", spread(values, digits));
    }
    let met = if lost == 0 { "met" } else { "NOT MET" };
    text + &format!(
        "{:46}  {lost:>24}  none: {met}\n",
        "packets that arrived and gomon did not count"
    )
}

fn rounds(rows: &Rows, who: Subject) -> impl Iterator<Item = &Round> {
    rows.iter().filter(move |(subject, _)| *subject == who).flat_map(|(_, rounds)| rounds)
}

/// What a packet costs in the kernel, in ns, round by round.
#[expect(clippy::cast_precision_loss, reason = "some millions of packets")]
fn costs(rows: &Rows, who: Subject) -> Vec<f64> {
    let programs = rounds(rows, who).filter_map(|round| round.program);
    programs.map(|program| program.nanoseconds as f64 / program.runs.max(1) as f64).collect()
}

/// What a packet that was counted costs in all, in ns: in the kernel, as far as it is a program's, and in
/// the process.
#[expect(clippy::cast_precision_loss, reason = "some millions of packets")]
fn spent(rows: &Rows, who: Subject) -> Vec<f64> {
    let of = |round: &Round| {
        let process = round.taken?.processor.as_nanos() as f64;
        let program = round.program.map_or(0.0, |program| program.nanoseconds as f64);
        Some((process + program) / round.counted.max(1) as f64)
    };
    rounds(rows, who).filter_map(of).collect()
}

fn lost(rows: &Rows, who: Subject) -> i128 {
    rounds(rows, who).map(|round| i128::from(round.arrived) - i128::from(round.counted)).sum()
}

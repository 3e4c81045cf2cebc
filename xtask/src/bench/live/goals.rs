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
    let (gomon, idle) = (costs(ordinary, Subject::Gomon), costs(ordinary, Subject::Idle));
    let net = gomon.iter().zip(idle).map(|(gomon, idle)| gomon - idle).collect();
    let by_bare = ratios(gomon.clone(), costs(ordinary, Subject::Bare));
    let (ours, theirs) = (spent(ordinary, Subject::Gomon), spent(ordinary, Subject::Tcpdump));
    let by_tcpdump = |part: fn(&Spent) -> f64| {
        ratios(ours.iter().map(part).collect(), theirs.iter().map(part).collect())
    };
    let by_own = ratios(costs(new, Subject::Gomon), gomon.clone());
    let lost: i128 = traffics.iter().map(|rows| lost(rows, Subject::Gomon)).sum();
    let rows = [
        ("ns a packet in the kernel", gomon, 100.0, 0),
        ("the same less what measuring it costs", net, 100.0, 0),
        ("ns a packet by that of bare counting", by_bare, 1.5, 2),
        ("a new host each time by the ordinary flood", by_own, 1.2, 2),
        ("processor time a packet by tcpdump's", by_tcpdump(|spent| spent.process), 0.1, 2),
        (
            "the same with the kernel's part of both",
            by_tcpdump(|spent| spent.process + spent.kernel),
            0.1,
            2,
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
fn costs(rows: &Rows, who: Subject) -> Vec<f64> {
    rounds(rows, who).filter_map(cost).collect()
}

#[expect(clippy::cast_precision_loss, reason = "some millions of packets")]
fn cost(round: &Round) -> Option<f64> {
    round.program.map(|program| program.nanoseconds as f64 / program.runs.max(1) as f64)
}

/// What a packet that was counted costs, in ns.
struct Spent {
    /// In user space.
    process: f64,
    /// In the kernel: by its statistics of a program, less what those cost; where there is no program that
    /// counts, what sending takes longer, for the sender's processor does the kernel's part.
    kernel: f64,
}

#[expect(clippy::cast_precision_loss, reason = "some millions of packets")]
fn spent(rows: &Rows, who: Subject) -> Vec<Spent> {
    let sending = |round: &Round| round.sent.elapsed.as_nanos() as f64 / round.sent.frames as f64;
    let of = |(round, idle): (&Round, &Round)| {
        let process = round.taken?.processor.as_nanos() as f64 / round.counted.max(1) as f64;
        let kernel = match (cost(round), cost(idle)) {
            (Some(counting), Some(measuring)) => counting - measuring,
            _ => sending(round) - sending(idle),
        };
        Some(Spent { process, kernel })
    };
    rounds(rows, who).zip(rounds(rows, Subject::Idle)).filter_map(of).collect()
}

fn lost(rows: &Rows, who: Subject) -> i128 {
    rounds(rows, who).map(|round| i128::from(round.arrived) - i128::from(round.counted)).sum()
}

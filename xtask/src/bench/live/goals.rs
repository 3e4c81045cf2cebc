//! Compares the live figures with the goals.

use std::fmt::Write as _;

use super::subject::{Hook, Round, Rows, Subject};
use crate::bench::measure::median;
use crate::bench::report::spread;

/// Returns a table of the goals, for the ordinary flood and the flood with a new host in each frame.
pub(super) fn table(traffics: &[Rows]) -> String {
    let [ordinary, new] = traffics else { return String::new() };
    let ratios = |values: Vec<f64>, references: Vec<f64>| -> Vec<f64> {
        values.into_iter().zip(references).map(|(value, reference)| value / reference).collect()
    };
    let by_tcpdump = |part: fn(&Cost) -> f64| {
        let (gomon, tcpdump) =
            (spent(ordinary, Subject::Gomon(Hook::Xdp)), spent(ordinary, Subject::Tcpdump));
        ratios(gomon.iter().map(part).collect(), tcpdump.iter().map(part).collect())
    };
    let net = |subject, hook| -> Vec<f64> {
        let (all, idle) = (costs(ordinary, subject), costs(ordinary, Subject::Idle(hook)));
        all.into_iter().zip(idle).map(|(all, idle)| all - idle).collect()
    };
    let [xdp, tc] = [Hook::Xdp, Hook::Tc].map(|hook| {
        let (gomon, minimal) = (Subject::Gomon(hook), Subject::Minimal(hook));
        let by_own = ratios(costs(new, gomon), costs(ordinary, gomon));
        [
            (costs(ordinary, gomon), 100.0, 0),
            (net(gomon, hook), 100.0, 0),
            (ratios(net(gomon, hook), net(minimal, hook)), 1.5, 2),
            (by_own, 1.2, 2),
        ]
    });
    let lost: i128 = traffics
        .iter()
        .flat_map(|rows| [Hook::Xdp, Hook::Tc].map(|hook| lost(rows, Subject::Gomon(hook))))
        .sum();
    let names = [
        "ns per packet in the kernel",
        "minus the cost of measuring",
        "the same, relative to minimal counting",
        "new host in each frame, relative to ordinary",
    ];
    let hooks = [("XDP", xdp), ("TC", tc)].into_iter().flat_map(|(hook, rows)| {
        names.into_iter().zip(rows).map(move |(name, (values, goal, digits))| {
            (format!("{hook}: {name}"), values, goal, digits)
        })
    });
    let processes = [
        ("CPU time per packet, relative to tcpdump", by_tcpdump(|cost| cost.process), 0.1, 2),
        (
            "the same including the kernel's part",
            by_tcpdump(|cost| cost.process + cost.kernel),
            0.1,
            2,
        ),
    ];
    let rows = hooks.chain(
        processes.map(|(name, values, goal, digits)| (name.to_owned(), values, goal, digits)),
    );
    let mut text = "\ngoals\n".to_owned();
    for (what, values, goal, digits) in rows {
        let met = if median(values.clone()) <= goal { "met" } else { "NOT MET" };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{what:50}  {:>24}  at most {goal}: {met}", spread(values, digits));
    }
    let met = if lost == 0 { "met" } else { "NOT MET" };
    text + &format!(
        "{:50}  {lost:>24}  none: {met}\n",
        "packets that arrived and gomon did not count"
    )
}

fn rounds(rows: &Rows, measured: Subject) -> impl Iterator<Item = &Round> {
    rows.iter().filter(move |(subject, _)| *subject == measured).flat_map(|(_, rounds)| rounds)
}

/// Returns the cost of a packet in the kernel, in ns, per round.
fn costs(rows: &Rows, subject: Subject) -> Vec<f64> {
    rounds(rows, subject).filter_map(cost).collect()
}

#[expect(clippy::cast_precision_loss, reason = "some millions of packets")]
fn cost(round: &Round) -> Option<f64> {
    round.program.map(|program| program.nanoseconds as f64 / program.runs.max(1) as f64)
}

/// The cost of a counted packet, in ns.
struct Cost {
    /// In user space.
    process: f64,
    /// In the kernel: by the kernel's statistics of the program, minus the cost of collecting them. Without a
    /// counting program, the additional time that sending takes, because the kernel's part runs on the sender's CPU.
    kernel: f64,
}

#[expect(clippy::cast_precision_loss, reason = "some millions of packets")]
fn spent(rows: &Rows, subject: Subject) -> Vec<Cost> {
    let sending = |round: &Round| round.sent.elapsed.as_nanos() as f64 / round.sent.frames as f64;
    let of = |(round, idle): (&Round, &Round)| {
        let process = round.usage?.cpu.as_nanos() as f64 / round.counted.max(1) as f64;
        let kernel = match (cost(round), cost(idle)) {
            (Some(counting), Some(measuring)) => counting - measuring,
            _ => sending(round) - sending(idle),
        };
        Some(Cost { process, kernel })
    };
    rounds(rows, subject).zip(rounds(rows, Subject::Idle(Hook::Xdp))).filter_map(of).collect()
}

fn lost(rows: &Rows, subject: Subject) -> i128 {
    rounds(rows, subject).map(|round| i128::from(round.arrived) - i128::from(round.counted)).sum()
}

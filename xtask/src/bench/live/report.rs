//! Writes down what counting on an interface costs.

use std::fmt::Write as _;

use gomon_xdpgen::{Order, Traffic};

use super::{
    HOSTS,
    subject::{Gomon, Round, Subject},
};
use crate::bench::report::spread;

/// What the figures of all tables depend on.
pub(super) fn setting() -> String {
    format!(
        "
packets are made inside the kernel (live XDP frames) and redirected over a pair of virtual interfaces;
the sender's processor also runs the receiver's program; frames that find the queue between the
interfaces full reach nobody; lost is what arrived and was not counted; gomon's windows are of 1 s, its
records are read from a pipe; tcpdump writes to /dev/null, filters by the same host, and has an XDP
program before it that does nothing (frames arrive only with one), the one of the first row; bare
counting is an XDP program with one look into a hash of {HOSTS} hosts and one addition; ns a packet are
by the kernel's statistics, and the first row is what these cost themselves; the kernel's part of
processor time is what they say less that, and of tcpdump what sending takes longer than in the first
row; programs are started through `ip netns exec`
",
    )
}

/// A table of all who were measured on one traffic.
pub(super) fn table(traffic: &Traffic, frames: u64, rows: &[(Subject, Vec<Round>)]) -> String {
    let rounds = rows.iter().map(|(_, rounds)| rounds.len()).max().unwrap_or_default();
    let hosts = match traffic.order {
        Order::Random => format!("random ones of {} hosts", traffic.hosts),
        Order::RoundRobin => "a new host each time".to_owned(),
    };
    let length = traffic.length;
    let mut table = format!(
        "
{frames} frames of {length} bytes to {hosts}, {rounds} rounds each in turn: median (min - max)

                           M packets/s offered  queue full      arrived      lost            ns a packet           % of a core  MiB now, peak
"
    );
    for (subject, rounds) in rows {
        // Writing to a string does not fail.
        let _ = if rounds.is_empty() {
            writeln!(table, "{subject:25}  not available")
        } else {
            writeln!(table, "{}", row(*subject, rounds))
        };
    }
    for (subject, rounds) in rows {
        let gomons: Vec<_> = rounds.iter().filter_map(|round| round.gomon.as_ref()).collect();
        let confessed = rounds.iter().filter_map(|round| round.confessed).reduce(|a, b| a + b);
        if let Some(confessed) = confessed {
            let _ = writeln!(table, "{subject}: says that the kernel dropped {confessed}");
        }
        if let Some(first) = gomons.first() {
            let _ = writeln!(table, "{subject}: {}, {}", first.way, times(&gomons));
        }
    }
    table
}

#[expect(clippy::cast_precision_loss, reason = "some millions of packets")]
fn row(subject: Subject, rounds: &[Round]) -> String {
    let rate = |round: &Round| round.sent.frames as f64 / round.sent.elapsed.as_secs_f64() / 1e6;
    let cost = |round: &Round| {
        let program = round.program.filter(|program| program.runs > 0)?;
        Some(program.nanoseconds as f64 / program.runs as f64)
    };
    let share = |round: &Round| {
        let processor = round.taken?.processor.as_secs_f64();
        Some(100.0 * processor / round.sent.elapsed.as_secs_f64())
    };
    let arrived: u64 = rounds.iter().map(|round| round.arrived).sum();
    let dropped: u64 = rounds.iter().map(|round| round.dropped).sum();
    // More than arrived can't be: it would be counted twice, and is shown as such.
    let counted: u64 = rounds.iter().map(|round| round.counted).sum();
    let lost = i128::from(arrived) - i128::from(counted);
    let taken = || rounds.iter().filter_map(|round| round.taken);
    let memory =
        taken().map(|taken| taken.resident_kib).max().zip(taken().map(|t| t.peak_kib).max());
    format!(
        "{subject:25}  {:>19}  {dropped:>10}  {arrived:>11}  {lost:>8}  {:>21}  {:>20}  {:>13}",
        spread(rounds.iter().map(rate), 2),
        spread(rounds.iter().filter_map(cost), 0),
        spread(rounds.iter().filter_map(share), 1),
        memory.map_or_else(|| "-".to_owned(), |(now, peak)| format!("{}, {}", mib(now), mib(peak))),
    )
}

fn mib(kib: u32) -> String {
    format!("{:.1}", f64::from(kib) / 1024.0)
}

fn times(gomons: &[&Gomon]) -> String {
    let ms = |times: Vec<f64>| spread(times.into_iter().map(|seconds| seconds * 1e3), 0);
    let attached = gomons.iter().map(|gomon| gomon.attached.as_secs_f64()).collect();
    let late = gomons.iter().flat_map(|gomon| &gomon.late);
    let late = late.map(std::time::Duration::as_secs_f64).collect();
    let adds_up = if gomons.iter().all(|gomon| gomon.adds_up) {
        "the packets in the records are those in the ledger"
    } else {
        "THE PACKETS IN THE RECORDS ARE NOT THOSE IN THE LEDGER"
    };
    format!(
        "attached {} ms after its start; the last record of a window came {} ms after its end; {adds_up}",
        ms(attached),
        ms(late),
    )
}

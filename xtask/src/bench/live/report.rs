//! The tables of live measurements.

use std::fmt::Write as _;

use gomon_xdpgen::{Order, Traffic};

use super::subject::{GomonResult, HOSTS, Round, Subject};
use crate::bench::report::spread;

/// Returns the method, which all tables share.
pub(super) fn setting() -> String {
    format!(
        "
- Packets are generated in the kernel (live XDP frames) and redirected over a veth pair. The receiver's program
  runs on the sender's CPU.
- queue full: frames dropped by the veth pair, before any program saw them. lost: arrived and not counted.
- gomon has windows of 1 s, and its records are read from a pipe.
- tcpdump writes to /dev/null and filters by the same host. Live XDP frames arrive only at an interface with
  an XDP program, so the program of the first row, which does nothing, is attached with tcpdump and the TC rows.
- minimal counting: an XDP or TC program with one lookup in a hash of {HOSTS} hosts and one addition.
- ns per packet: by the kernel's statistics. The rows without counting are the cost of these statistics.
- The kernel's part of CPU time is the ns per packet minus that cost; for tcpdump, it is the additional time
  that sending takes compared with the first row.
- Programs are started with `ip netns exec`.
",
    )
}

/// Returns the table of all subjects with one traffic.
pub(super) fn table(traffic: &Traffic, frames: u64, rows: &[(Subject, Vec<Round>)]) -> String {
    let rounds = rows.iter().map(|(_, rounds)| rounds.len()).max().unwrap_or_default();
    let hosts = match traffic.order {
        Order::Random => format!("{} hosts in random order", traffic.hosts),
        Order::RoundRobin => "a new host in each frame".to_owned(),
    };
    let length = traffic.length;
    let mut table = format!(
        "
{frames} frames of {length} bytes to {hosts}, {rounds} rounds each in turn: median (min - max)

                           M packets/s offered  queue full      arrived      lost          ns per packet           % of a core  MiB now, peak
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
        let lost = rounds.iter().filter_map(|round| round.reported_lost).reduce(|a, b| a + b);
        if let Some(lost) = lost {
            let _ = writeln!(table, "{subject}: reports {lost} packets dropped by the kernel");
        }
        if let Some(first) = gomons.first() {
            let _ = writeln!(table, "{subject}: {}, {}", first.mode, times(&gomons));
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
        let cpu = round.usage?.cpu.as_secs_f64();
        Some(100.0 * cpu / round.sent.elapsed.as_secs_f64())
    };
    let arrived: u64 = rounds.iter().map(|round| round.arrived).sum();
    let dropped: u64 = rounds.iter().map(|round| round.dropped).sum();
    // Negative if packets were counted twice.
    let counted: u64 = rounds.iter().map(|round| round.counted).sum();
    let lost = i128::from(arrived) - i128::from(counted);
    let usage = || rounds.iter().filter_map(|round| round.usage);
    let resident = usage().map(|usage| usage.resident_kib).max();
    let memory = resident.zip(usage().map(|usage| usage.peak_kib).max());
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

fn times(gomons: &[&GomonResult]) -> String {
    let ms = |times: Vec<f64>| spread(times.into_iter().map(|seconds| seconds * 1e3), 0);
    let attached = gomons.iter().map(|gomon| gomon.attached.as_secs_f64()).collect();
    let delays = gomons.iter().flat_map(|gomon| &gomon.delays);
    let delays = delays.map(std::time::Duration::as_secs_f64).collect();
    let adds_up = if gomons.iter().all(|gomon| gomon.adds_up) {
        "the records report as many packets as the ledger"
    } else {
        "THE RECORDS DO NOT REPORT AS MANY PACKETS AS THE LEDGER"
    };
    format!(
        "attached {} ms after the start; last record of a window {} ms after its end; {adds_up}",
        ms(attached),
        ms(delays),
    )
}

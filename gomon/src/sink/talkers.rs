//! The list of sources, as a table.

use std::io::{self, Write};

use super::{calendar, console};
use crate::core::{Counts, Talkers, Timestamp};

const HEADINGS: [&str; 7] = ["source", "mac", "packets", "bytes", "destinations", "first", "last"];
/// The columns of numbers, which are right-aligned.
const NUMBERS: std::ops::Range<usize> = 2..5;

/// Writes the table to standard output, and totals to standard error.
///
/// # Errors
///
/// When writing to standard output fails. A closed pipe is not an error.
pub fn show(talkers: &Talkers) -> io::Result<()> {
    let written = table(talkers, &mut io::stdout().lock());
    let ledger = talkers.ledger();
    console::line(format_args!(
        "Frames: {} seen = {} packets + {} not IP + {} malformed",
        ledger.seen(),
        ledger.counted,
        ledger.not_ip,
        ledger.malformed_total()
    ));
    let Counts { packets, bytes } = talkers.unlisted();
    if packets > 0 {
        console::line(format_args!(
            "Not listed: {packets} packets, {bytes} bytes of the least active sources, for which there \
             was no room"
        ));
    }
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

fn table(talkers: &Talkers, out: &mut impl Write) -> io::Result<()> {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    for ((address, mac), talker) in talkers.list() {
        let (destinations, exact) = talker.destinations();
        let time = |time: Option<Timestamp>| {
            let text = |time| calendar(time).strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
            time.map_or_else(|| "-".to_owned(), text)
        };
        rows.push([
            address.to_string(),
            mac.map_or_else(|| "-".to_owned(), |mac| mac.to_string()),
            talker.counts.packets.to_string(),
            talker.counts.bytes.to_string(),
            format!("{}{destinations}", if exact { "" } else { "~" }),
            time(talker.times.map(|(first, _)| first)),
            time(talker.times.map(|(_, last)| last)),
        ]);
    }
    let widths: [usize; HEADINGS.len()] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].len()).max().unwrap_or_default()
    });
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if NUMBERS.contains(&column) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(out, "{}", line.trim_end())?;
    }
    out.flush()
}

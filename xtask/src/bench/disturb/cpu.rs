//! The CPU time of the whole machine.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

/// The unit of times in `/proc`, on every kernel (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);
/// The fields of `/proc/stat` that are idle time: `idle` and `iowait`.
const IDLE: [usize; 2] = [3, 4];
/// The number of fields that add up: the later ones, of guests, are part of the earlier ones.
const FIELDS: usize = 8;

/// Returns the time for which all CPUs were busy so far, with interrupts and stolen time.
pub(super) fn busy() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    parse(&text).context("parse /proc/stat")
}

fn parse(text: &str) -> Option<Duration> {
    let fields = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(FIELDS);
    let ticks = fields.enumerate().filter(|(field, _)| !IDLE.contains(field));
    let ticks = ticks.map(|(_, ticks)| ticks.parse::<u32>().ok()).sum::<Option<u32>>()?;
    Some(TICK * ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_not_busy_time() {
        let text = "cpu  10 1 20 5000 700 3 4 2 0 0\ncpu0 5 0 10 2500 350 1 2 1 0 0\n";
        assert_eq!(parse(text), Some(Duration::from_millis(400)));
        assert_eq!(parse("cpu0 1"), None);
    }
}

//! gomon's records while it counts: when each arrived, and the packets it reports.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Windows, by their start since the epoch.
#[derive(Default)]
pub(super) struct Records(BTreeMap<Duration, Window>);

#[derive(Default)]
struct Window {
    /// Packets of the whole window, if it was a scan or idle.
    whole: Option<u64>,
    /// Packets of its endpoints.
    endpoints: u64,
    /// The arrival time of its last record, since the epoch.
    last: Duration,
    length: Duration,
}

impl Records {
    /// Reads all records.
    pub(super) fn read(records: impl Read) -> Result<Self> {
        let mut all = Self::default();
        for line in BufReader::new(records).lines() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
            let line = line.context("read a record")?;
            all.add(&line, now).with_context(|| format!("parse the record {line}"))?;
        }
        Ok(all)
    }

    fn add(&mut self, line: &str, arrived: Duration) -> Result<()> {
        let record: Value = serde_json::from_str(line)?;
        let gomon = &record["metadata"]["gomon"];
        if gomon["final"] == true {
            return Ok(()); // about the run, not a window
        }
        let text = |value: &'_ Value| value.as_str().map(str::to_owned).context("a text");
        let packets = gomon["packets"].as_u64().context("packets")?;
        let length = gomon["window_s"].as_f64().context("a length")?;
        let start = time(&text(&record["timestamp"])?).context("a timestamp")?;
        let window = self.0.entry(start).or_default();
        (window.last, window.length) = (arrived, Duration::try_from_secs_f64(length)?);
        match text(&gomon["classification"])?.as_str() {
            "scan" | "idle" => window.whole = Some(packets),
            "attack" | "connection" => window.endpoints += packets,
            _ => {} // their packets are in the records of the endpoints, too
        }
        Ok(())
    }

    /// Whether the records report `counted` packets, of which `overflow` were to unlisted endpoints.
    pub(super) fn add_up_to(&self, counted: u64, overflow: u64) -> bool {
        let windows = self.0.values();
        let reported: u64 = windows.map(|window| window.whole.unwrap_or(window.endpoints)).sum();
        // Only a record of a whole window includes the overflow.
        reported == counted
            || (overflow > 0 && reported < counted && reported + overflow >= counted)
    }

    /// Returns the delay of the last record of each window after the end of the window. Omits the last window, which
    /// was ended early.
    pub(super) fn delays(&self) -> Vec<Duration> {
        let whole = self.0.len().saturating_sub(1);
        let delay = |(start, window): (&Duration, &Window)| {
            window.last.saturating_sub(*start + window.length)
        };
        self.0.iter().take(whole).map(delay).collect()
    }
}

/// Parses a record's timestamp, as time since the epoch.
pub(in crate::bench) fn time(text: &str) -> Option<Duration> {
    let (date, time) = text.strip_suffix("+0000")?.split_once('T')?;
    let mut date = date.split('-').map(str::parse::<u64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (time, microseconds) = time.split_once('.')?;
    let mut time = time.split(':').map(str::parse::<u64>);
    let (hour, minute, second) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
    let seconds = ((days(year, month, day)? * 24 + hour) * 60 + minute) * 60 + second;
    Some(Duration::from_secs(seconds) + Duration::from_micros(microseconds.parse().ok()?))
}

/// Returns the days from the epoch to a later date.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    // Years start in March, so that the leap day is the last day. Five months from March on have 153 days.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    (year * 365 + leaps + (month * 153 + 2) / 5 + day).checked_sub(719_469)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_parsed() {
        let at = |text| time(text).map(|time| time.as_micros());
        assert_eq!(at("1970-01-01T00:00:00.000000+0000"), Some(0));
        assert_eq!(at("2026-01-29T10:00:00.250000+0000"), Some(1_769_680_800_250_000));
        assert_eq!(at("2028-02-29T23:59:59.000001+0000"), Some(1_835_481_599_000_001));
        assert_eq!(at("yesterday"), None);
    }

    fn record(second: u32, class: &str, packets: u64) -> String {
        format!(
            r#"{{"timestamp":"2026-01-29T10:00:{second:02}.000000+0000","metadata":{{"gomon":
            {{"classification":"{class}","packets":{packets},"window_s":1.0}}}}}}"#
        )
    }

    #[test]
    fn packets_add_up_and_delays_are_measured() {
        let start = Duration::from_secs(1_769_680_800);
        let mut records = Records::default();
        for (second, class, packets, arrived) in [
            (0, "attack", 5, 1010),
            (0, "attack", 6, 1030),
            (1, "connection", 1, 2005),
            (1, "vertical_scan", 1, 2006),
            (1, "scan", 9, 2007),
            (2, "attack", 4, 2500),
        ] {
            let arrived = start + Duration::from_millis(arrived);
            records.add(&record(second, class, packets), arrived).unwrap();
        }
        assert!(records.add_up_to(24, 0) && !records.add_up_to(25, 0));
        assert!(records.add_up_to(25, 1) && !records.add_up_to(26, 1) && !records.add_up_to(23, 9));
        assert_eq!(records.delays(), [30, 7].map(Duration::from_millis));
    }
}

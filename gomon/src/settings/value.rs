//! Durations, thresholds and counts, as they are written on the command line.

use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};

const SHORTEST_WINDOW: Duration = Duration::from_millis(1);
const LONGEST_WINDOW: Duration = Duration::from_secs(366 * 24 * 3600);

/// The maximum number of digits in a duration. It suffices for every duration in range, to the nanosecond, and prevents
/// an overflow on which `humantime` panics.
const MAX_DIGITS: usize = 18;

/// A value and its text, which later errors quote: those that depend on other settings, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<T> {
    /// The text as it was given.
    pub text: String,
    /// The parsed value.
    pub value: T,
}

/// Returns a parser that also returns the text.
pub(super) fn parsed<T>(
    parse: impl Fn(&str) -> Result<T> + Clone,
) -> impl Fn(&str) -> Result<Parsed<T>> + Clone {
    move |text| Ok(Parsed { value: parse(text)?, text: text.to_owned() })
}

/// Parses a duration. A number without a unit is in seconds. A duration that is not a whole number of nanoseconds is
/// rejected.
pub(super) fn duration(text: &str) -> Result<Duration> {
    let text = text.trim();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_bare = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    // `humantime` rejects a number that starts with a point, and one without a unit.
    let whole = if text.starts_with('.') { "0" } else { "" };
    let unit = if is_bare { "s" } else { "" };
    let duration = match digits {
        0 => None,
        1..=MAX_DIGITS => match humantime::parse_duration(&format!("{whole}{text}{unit}")) {
            Ok(duration) => Some(duration),
            Err(humantime::DurationError::NumberOverflow) => Some(Duration::ZERO),
            Err(_) => None,
        },
        _ => Some(Duration::ZERO),
    };
    let Some(duration) = duration else {
        bail!("not a length of time: give seconds (30, 0.5), or 500ms, 1.5s, 2m");
    };
    ensure!(
        (SHORTEST_WINDOW..=LONGEST_WINDOW).contains(&duration),
        "out of range: give 1ms to 366days, to the nanosecond"
    );
    Ok(duration)
}

/// The unit of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdUnit {
    /// `/s`.
    PerSecond,
    /// `/window`.
    PerWindow,
}

/// A threshold and its unit, if one was given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    number: f64,
    unit: Option<ThresholdUnit>,
}

impl Threshold {
    /// Parses a number with an optional unit, `/s` or `/window`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let (number, unit) = match text.split_once('/') {
            None => (text, None),
            Some((number, "s")) => (number, Some(ThresholdUnit::PerSecond)),
            Some((number, "window")) => (number, Some(ThresholdUnit::PerWindow)),
            Some((_, unit)) => {
                bail!("unknown unit {unit:?}: give a number, or one with /s or /window")
            }
        };
        let Ok(number) = number.trim().parse() else {
            bail!("not a number: give one like 5, 0.5, 10/s or 150/window");
        };
        Ok(Self { number, unit })
    }

    /// Converts the threshold to `target`, which is also the unit of a number without one.
    pub(super) fn convert(self, target: ThresholdUnit, window: Duration) -> Result<f64> {
        let Self { number, unit } = self;
        let seconds = window.as_secs_f64();
        let value = match (unit.unwrap_or(target), target) {
            (ThresholdUnit::PerSecond, ThresholdUnit::PerWindow) => number * seconds,
            (ThresholdUnit::PerWindow, ThresholdUnit::PerSecond) => number / seconds,
            _ => number,
        };
        // 4.35/s in a window of 100 s is 435, but slightly less in floating point.
        let whole = value.round();
        let value = if (value - whole).abs() < 1e-9 * whole.abs() { whole } else { value };
        ensure!(
            value.is_finite() && !number.is_nan(),
            "not a finite number: give one like 5 or 0.5"
        );
        Ok(value)
    }
}

/// Checks that a threshold is more than zero.
pub(super) fn positive(value: f64) -> Result<f64> {
    ensure!(value > 0.0, "not more than 0: give a positive number");
    Ok(value)
}

/// Parses a whole number from `MIN` to `MAX`.
pub(super) fn count<const MIN: usize, const MAX: usize>(text: &str) -> Result<usize> {
    let number = text.trim().parse().ok().filter(|number| (MIN..=MAX).contains(number));
    number.ok_or_else(|| anyhow!("not a number from {MIN} to {MAX}: give one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    #[test]
    fn bare_numbers_are_seconds_and_units_are_parsed() {
        assert_eq!(duration("30").unwrap(), WINDOW);
        assert_eq!(duration("30s").unwrap(), WINDOW);
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration(" 2m ").unwrap(), Duration::from_secs(120));
        for wrong in ["", "0", "-1", "abc", "1us", "99999999999999999999", "1e3", "400days"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn thresholds_convert_between_their_units() {
        let threshold =
            |text: &str, unit, window| Threshold::parse(text).and_then(|t| t.convert(unit, window));
        let per_second = |text| threshold(text, ThresholdUnit::PerSecond, WINDOW);
        assert!((per_second("5").unwrap() - 5.0).abs() < 1e-12);
        assert!((per_second("150/window").unwrap() - 5.0).abs() < 1e-12);
        let per_window = |text| threshold(text, ThresholdUnit::PerWindow, WINDOW);
        assert!((per_window("10").unwrap() - 10.0).abs() < 1e-12);
        assert!((per_window("10/s").unwrap() - 300.0).abs() < 1e-12);
        let hundred = Duration::from_secs(100);
        let exact = threshold("4.35/s", ThresholdUnit::PerWindow, hundred).unwrap();
        assert!(exact >= 435.0, "{exact}");
        for wrong in ["", "x", "NaN", "inf", "-inf", "5/hour", "5/", "/s", "1e308/s", "1e999"] {
            assert!(per_window(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn counts_have_bounds() {
        assert_eq!(count::<1, 10>(" 10 ").unwrap(), 10);
        for wrong in ["", "0", "11", "-1", "1e1", "1.0"] {
            assert!(count::<1, 10>(wrong).is_err(), "{wrong:?}");
        }
    }
}

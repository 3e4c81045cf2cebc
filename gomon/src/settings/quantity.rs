//! Times, rates and numbers as people type them.

use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};

const SHORTEST_WINDOW: Duration = Duration::from_millis(1);
const LONGEST_WINDOW: Duration = Duration::from_secs(366 * 24 * 3600);

/// The most digits that a length of time may have: enough for every one in range to the nanosecond,
/// and too few for a sum that `humantime` can't hold, on which it panics.
const MOST_DIGITS: usize = 18;

/// A length of time: a bare number is seconds. To the nanosecond, or refused.
pub(super) fn time(text: &str) -> Result<Duration> {
    let text = text.trim();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_bare = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    // `humantime` reads no number that starts with its point, or has no unit.
    let whole = if text.starts_with('.') { "0" } else { "" };
    let unit = if is_bare { "s" } else { "" };
    let time = match digits {
        0 => None,
        1..=MOST_DIGITS => match humantime::parse_duration(&format!("{whole}{text}{unit}")) {
            Ok(time) => Some(time),
            Err(humantime::DurationError::NumberOverflow) => Some(Duration::ZERO),
            Err(_) => None,
        },
        _ => Some(Duration::ZERO),
    };
    let Some(time) = time else {
        bail!("not a length of time: give seconds (30, 0.5), or 500ms, 1.5s, 2m");
    };
    ensure!(
        (SHORTEST_WINDOW..=LONGEST_WINDOW).contains(&time),
        "out of range: give 1ms to 366days, to the nanosecond"
    );
    Ok(time)
}

/// The two units of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Per {
    Second,
    Window,
}

/// A threshold: a number, `/s` or `/window` after it. Returned in `wanted`; `bare` is the unit of a
/// number alone.
pub(super) fn threshold(text: &str, bare: Per, wanted: Per, window: Duration) -> Result<f64> {
    let text = text.trim();
    let (number, unit) = match text.split_once('/') {
        None => (text, bare),
        Some((number, "s")) => (number, Per::Second),
        Some((number, "window")) => (number, Per::Window),
        Some((_, unit)) => bail!("unknown unit {unit:?}: give a number, or one with /s or /window"),
    };
    let Ok(number) = number.trim().parse::<f64>() else {
        bail!("not a number: give one like 5, 0.5, 10/s or 150/window");
    };
    let seconds = window.as_secs_f64();
    let value = match (unit, wanted) {
        (Per::Second, Per::Window) => number * seconds,
        (Per::Window, Per::Second) => number / seconds,
        _ => number,
    };
    // 4.35 a second for 100 s are 435, and not a little less, as binary fractions would have it.
    let whole = value.round();
    let value = if (value - whole).abs() < 1e-9 * whole.abs() { whole } else { value };
    ensure!(value.is_finite() && !number.is_nan(), "not a finite number: give one like 5 or 0.5");
    Ok(value)
}

/// A threshold that must be more than zero.
pub(super) fn positive(value: f64) -> Result<f64> {
    ensure!(value > 0.0, "not more than 0: give a positive number");
    Ok(value)
}

/// A whole number from `least` to `most`.
pub(super) fn number(text: &str, least: usize, most: usize) -> Result<usize> {
    let text = text.trim();
    let in_range = text.parse().ok().filter(|number| (least..=most).contains(number));
    in_range.ok_or_else(|| anyhow!("not a number from {least} to {most}: give one"))
}

/// One word out of a few. Of several words for one value, the first is the one that is offered.
pub(super) fn word<T: Copy + PartialEq>(text: &str, words: &[(&str, T)]) -> Result<T> {
    let text = text.trim().to_ascii_lowercase();
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let is_first = |(n, (_, value)): &(usize, &(&str, T))| {
            words[..*n].iter().all(|(_, earlier)| earlier != value)
        };
        let words = words.iter().enumerate().filter(is_first);
        let words: Vec<_> = words.map(|(_, (word, _))| *word).collect();
        anyhow!("unknown: give one of {}", words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    #[test]
    fn bare_numbers_are_seconds_and_units_are_read() {
        assert_eq!(time("30").unwrap(), WINDOW);
        assert_eq!(time("30s").unwrap(), WINDOW);
        assert_eq!(time("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(time(" 2m ").unwrap(), Duration::from_secs(120));
        for wrong in ["", "0", "-1", "abc", "1us", "99999999999999999999", "1e3", "400days"] {
            assert!(time(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn thresholds_convert_between_their_units() {
        let per_second = |text| threshold(text, Per::Second, Per::Second, WINDOW);
        assert!((per_second("5").unwrap() - 5.0).abs() < 1e-12);
        assert!((per_second("150/window").unwrap() - 5.0).abs() < 1e-12);
        let per_window = |text| threshold(text, Per::Window, Per::Window, WINDOW);
        assert!((per_window("10").unwrap() - 10.0).abs() < 1e-12);
        assert!((per_window("10/s").unwrap() - 300.0).abs() < 1e-12);
        let hundred = Duration::from_secs(100);
        let exact = threshold("4.35/s", Per::Window, Per::Window, hundred).unwrap();
        assert!(exact >= 435.0, "{exact}");
        for wrong in ["", "x", "NaN", "inf", "-inf", "5/hour", "5/", "/s", "1e308/s", "1e999"] {
            assert!(per_window(wrong).is_err(), "{wrong:?}");
        }
    }
}

//! Output of the core's reports: records, artifacts, and the terminal.

pub mod artifacts;
pub mod calibration;
pub mod console;
pub mod eve;
mod largest;
mod observed;
mod proto;
mod subjects;
pub mod summary;
pub mod talkers;
mod words;

use crate::core::Timestamp;

/// Converts a time to a calendar time in UTC.
pub(crate) fn calendar(time: Timestamp) -> jiff::Timestamp {
    // Never out of range: the calendar's range includes that of the core's timestamps.
    jiff::Timestamp::from_nanosecond(time.nanoseconds().into()).unwrap_or_default()
}

/// Escapes the control characters in `text`, so that it fits on one line and can't control a terminal.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

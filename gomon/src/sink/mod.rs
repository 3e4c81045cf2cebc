//! Where reports go: records, artifacts, the terminal. Sinks perform what the core decided.

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

/// A point in time for a calendar to show, in UTC.
fn calendar(time: Timestamp) -> jiff::Timestamp {
    // The range of the core's timestamps lies within the calendar's.
    jiff::Timestamp::from_nanosecond(time.nanoseconds().into()).unwrap_or_default()
}

/// `text` on one line: what would end the line or steer a terminal is escaped.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

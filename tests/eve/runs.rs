//! Runs gomon on generated traffic in the default and the strict form, and checks every record.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::support::capture::{self, Captured, PLAIN, SECOND};
use crate::support::program::{Scratch, gomon};
use crate::{rules, schemas};

/// The bot's address.
pub(crate) const BOT: &str = "10.0.0.5";
/// The bot's IPv6 address.
pub(crate) const BOT6: &str = "2001:db8::5";
/// A millisecond, in nanoseconds.
const MS: u64 = SECOND / 1000;

/// Traffic under construction. Times are milliseconds since its start.
#[derive(Clone, Default)]
pub(crate) struct Traffic(Vec<Captured>);

impl Traffic {
    /// Adds one frame.
    pub(crate) fn one(mut self, at: u64, frame: Vec<u8>) -> Self {
        self.0.push(capture::at(at * MS, frame));
        self
    }

    /// Adds a frame so many times at the same time.
    pub(crate) fn times(self, number: usize, at: u64, frame: &[u8]) -> Self {
        (0..number).fold(self, |traffic, _| traffic.one(at, frame.to_vec()))
    }

    /// Adds frames, all at the same time.
    pub(crate) fn all(self, at: u64, frames: impl IntoIterator<Item = Vec<u8>>) -> Self {
        frames.into_iter().fold(self, |traffic, frame| traffic.one(at, frame))
    }

    /// Merges both.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Writes it as a capture into a directory.
    pub(crate) fn capture(mut self, directory: &Scratch) -> PathBuf {
        self.0.sort_by_key(|frame| frame.time);
        // At least two timestamps differ, because no rates are judged if all frames have the same one.
        if let [first, .., last] = self.0.as_mut_slice() {
            last.time = last.time.max(first.time + 1);
        }
        directory.file("bot.pcap", &capture::pcap(PLAIN, &self.0))
    }

    /// Runs gomon on it and returns the records.
    #[track_caller]
    pub(crate) fn judged(self, source: &str, flags: &[&str]) -> Vec<Value> {
        let scratch = Scratch::new();
        let judged = judged(&self.capture(&scratch), source, flags);
        assert_eq!(judged.status, Some(0), "{}", judged.stderr);
        judged.records
    }
}

/// The outcome of a run on a capture.
pub(crate) struct Judged {
    pub(crate) status: Option<i32>,
    pub(crate) stderr: String,
    /// All records but the last one.
    pub(crate) records: Vec<Value>,
    /// The last record, if the run was started.
    pub(crate) closing: Option<Value>,
}

/// Runs gomon on a capture in the default and in the strict form, and checks every record of both, and that
/// both agree. Returns the outcome in the default form.
#[track_caller]
pub(crate) fn judged(capture: &Path, source: &str, flags: &[&str]) -> Judged {
    let run = |more: &[&str]| {
        let flags = flags.iter().chain(more).chain(&["--quiet"]).map(OsStr::new);
        gomon([capture.as_os_str(), OsStr::new(source)].into_iter().chain(flags))
    };
    let default = run(&[]);
    let mut records = sound(&default.stdout);
    for record in &records {
        schemas::check(record, false);
    }
    if default.status == Some(2) {
        assert!(records.is_empty(), "a run that was not started has no records");
        return Judged { status: default.status, stderr: default.stderr, records, closing: None };
    }
    rules::check_closing_record(&records);
    let closing = records.pop();
    rules::check_records(&records);

    let mut strict = sound(&run(&["--eve-strict"]).stdout);
    schemas::check(strict.last().expect("a closing record"), true);
    assert_eq!(strict.pop(), closing.as_ref().map(as_strict));
    assert_eq!(strict.len(), records.len(), "strict records are as many");
    for (strict, default) in strict.into_iter().zip(&records) {
        schemas::check(&strict, true);
        assert_eq!(without_name_of_artifact(strict), as_strict(default));
    }
    Judged { status: default.status, stderr: default.stderr, records, closing }
}

/// Converts a record from the default form to the strict one.
pub(crate) fn as_strict(record: &Value) -> Value {
    let mut record = without_name_of_artifact(record.clone());
    let metadata = record.as_object_mut().and_then(|record| record.remove("metadata"));
    if let Some(alert) = record.get_mut("alert") {
        alert["metadata"] = metadata.expect("gomon's own object");
    }
    record
}

/// Removes the name of the artifact, which differs because a second run does not overwrite the first one's.
fn without_name_of_artifact(mut record: Value) -> Value {
    if let Some(path) = record.get_mut("capture_file") {
        *path = Value::Bool(true);
    }
    record
}

/// Parses the records of an output: one JSON object per line, no duplicate keys, no null.
#[track_caller]
pub(crate) fn sound(output: &str) -> Vec<Value> {
    assert!(output.is_empty() || output.ends_with('\n'), "the last line is whole");
    let records = output.lines().map(|line| {
        let sound = serde_json::from_str::<Sound>(line);
        assert!(line.starts_with('{') && sound.is_ok(), "{:?}: {line}", sound.err());
        serde_json::from_str(line).expect("an object")
    });
    records.collect()
}

/// Accepts any JSON without null and without duplicate keys in an object.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Sound {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything but null")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some((key, _)) = fields.next_entry::<String, Self>()? {
            if let Some(twice) = keys.replace(key) {
                return Err(A::Error::custom(format!("duplicate key {twice:?}")));
            }
        }
        Ok(self)
    }
}

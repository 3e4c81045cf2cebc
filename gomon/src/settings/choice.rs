//! Settings with a fixed set of values, each with the word that selects it.

use anyhow::{Result, anyhow};
use clap::ValueEnum;
use clap::builder::PossibleValue;
use log::LevelFilter;

use crate::core::ScanMode;

/// How an ordinary destination is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Connections {
    /// As Suricata's flow event.
    Flow,
    /// As an alert.
    Alert,
    /// Not at all.
    Off,
}

/// The requested attach mode: a single one, or the first that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum AttachChoice {
    Auto,
    Xdp,
    XdpGeneric,
    Tc,
    Pcap,
}

/// A feature that is turned on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Switch {
    On,
    Off,
}

/// The lowest level to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum LogLevel {
    Debug,
    Info,
    #[value(alias = "warning")]
    Warn,
    #[value(alias = "err")]
    Error,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Self::Debug,
            LogLevel::Info => Self::Info,
            LogLevel::Warn => Self::Warn,
            LogLevel::Error => Self::Error,
        }
    }
}

impl ValueEnum for ScanMode {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

/// Parses the word for a value, ignoring case. The error lists the words, without aliases.
pub(super) fn choice<T: ValueEnum>(text: &str) -> Result<T> {
    let text = text.trim();
    let is_match =
        |value: &&T| value.to_possible_value().is_some_and(|value| value.matches(text, true));
    let values = T::value_variants();
    values.iter().find(is_match).cloned().ok_or_else(|| {
        let words: Vec<_> = values.iter().map(word).collect();
        anyhow!("unknown: give one of {}", words.join(", "))
    })
}

/// Returns the word that selects a value.
pub(super) fn word<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parsed_in_any_case_and_errors_list_no_aliases() {
        let level = |text: &str| choice::<LogLevel>(text);
        assert_eq!(level(" INFO ").unwrap(), LogLevel::Info);
        assert_eq!(level("warning").unwrap(), LogLevel::Warn);
        assert_eq!(level("err").unwrap(), LogLevel::Error);
        let error = level("trace").unwrap_err().to_string();
        assert_eq!(error, "unknown: give one of debug, info, warn, error");
    }

    #[test]
    fn words_are_those_of_the_command_line() {
        let words: Vec<_> = AttachChoice::value_variants().iter().map(word).collect();
        assert_eq!(words, ["auto", "xdp", "xdp-generic", "tc", "pcap"]);
        assert_eq!(word(&ScanMode::NewHostRate), "new-host-rate");
    }
}

//! A case that a virtual machine counts, and its report, as both cross the console.

use std::{fmt, str::FromStr};

use anyhow::{Result, bail};
use serde_json::{Value, json};

/// Starts a report on the console.
const MARK: &str = "gomon-guest: report ";

/// An attach mode, on interfaces of an MTU, with the frames `frames/MTU.pcap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) mode: String,
    pub(crate) mtu: u32,
    /// The number of frames sent.
    pub(crate) frames: u64,
}

impl FromStr for Case {
    type Err = anyhow::Error;

    /// Parses `MODE,MTU,FRAMES`.
    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<_> = text.split(',').collect();
        let &[mode, mtu, frames] = &words[..] else { bail!("expected MODE,MTU,FRAMES") };
        Ok(Self { mode: mode.to_owned(), mtu: mtu.parse()?, frames: frames.parse()? })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{},{},{}", self.mode, self.mtu, self.frames)
    }
}

/// gomon's result in one case.
#[derive(Clone, Debug, Default)]
pub(crate) struct CaseReport {
    pub(crate) success: bool,
    /// The records of its windows.
    pub(crate) records: Vec<Value>,
    /// The lines on standard error.
    pub(crate) stderr: Vec<String>,
}

impl CaseReport {
    /// Parses a line of the console. Returns `None` when it is not a report.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let report: Value = serde_json::from_str(line.strip_prefix(MARK)?).ok()?;
        let lines = report["stderr"].as_array()?.iter().filter_map(Value::as_str);
        Some(Self {
            success: report["success"].as_bool()?,
            records: report["records"].as_array()?.clone(),
            stderr: lines.map(str::to_owned).collect(),
        })
    }

    /// The report as a line of the console.
    pub(crate) fn line(&self) -> String {
        let Self { success, records, stderr } = self;
        format!("{MARK}{}", json!({ "success": success, "records": records, "stderr": stderr }))
    }

    /// The number of frames in the ledgers of its windows.
    pub(crate) fn frames(&self) -> u64 {
        let frames = |record: &Value| record["metadata"]["gomon"]["ledger"]["frames"].as_u64();
        self.records.iter().filter_map(frames).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_and_reports_survive_the_console() {
        let case = Case { mode: "xdp".into(), mtu: 1500, frames: 12 };
        assert_eq!(case.to_string().parse::<Case>().unwrap(), case);
        let record = json!({ "metadata": { "gomon": { "ledger": { "frames": 12 } } } });
        let report =
            CaseReport { success: true, records: vec![record], stderr: vec!["a\nb".into()] };
        let parsed = CaseReport::parse(&report.line()).unwrap();
        assert_eq!((parsed.success, parsed.frames(), parsed.stderr), (true, 12, report.stderr));
        assert!(CaseReport::parse("READY").is_none());
    }
}

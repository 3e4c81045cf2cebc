//! `cargo xtask run`: shows what gomon finds in the capture of a synthetic bot.

mod scenario;
mod table;

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{frames::BOT, pcap, prerequisites, workspace};

/// Builds gomon, replays the demo capture, and prints the records as a table.
pub(crate) fn show() -> Result<()> {
    prerequisites::for_building()?;
    let gomon = workspace::build_gomon()?;
    let files = Files::create()?;
    files.write_capture()?;

    let mut replay = files.replay(&gomon);
    eprintln!("xtask: {}", workspace::describe(&replay));
    workspace::run(&mut replay)?;

    let records = files.records()?;
    let mut out = io::stdout().lock();
    writeln!(out, "\nWhat the bot did (UTC, windows of 30 s):\n")?;
    write!(out, "{}", table::render(&records))?;
    write!(out, "{}", files.closing_text(&gomon, records.len()))?;
    Ok(())
}

/// Makes the absolute path of an artifact relative to `here`, for display.
fn shorten(record: &mut Value, here: &Path) {
    if let Some(Value::String(path)) = record.get_mut("capture_file")
        && let Ok(below) = Path::new(path.as_str()).strip_prefix(here)
    {
        *path = below.display().to_string();
    }
}

/// The files that a demo writes.
struct Files {
    capture: PathBuf,
    eve: PathBuf,
    artifacts: PathBuf,
}

impl Files {
    /// Removes the files of an earlier demo, because gomon appends to its log and never overwrites an artifact.
    fn create() -> Result<Self> {
        let directory = workspace::target()?.join("demo");
        if directory.exists() {
            fs::remove_dir_all(&directory)
                .with_context(|| format!("remove the previous demo {}", directory.display()))?;
        }
        Ok(Self {
            capture: directory.join("bot.pcap"),
            eve: directory.join("eve.json"),
            artifacts: directory.join("captures"),
        })
    }

    fn write_capture(&self) -> Result<()> {
        let frames = scenario::frames()?;
        pcap::create(&self.capture, |writer| {
            frames.iter().try_for_each(|frame| writer.write(frame.at, &frame.bytes))
        })
    }

    fn replay(&self, gomon: &Path) -> Command {
        let mut command = Command::new(gomon);
        command.arg(&self.capture).arg(BOT.to_string());
        command.args(["--sample-id", "demo", "--show-idle"]);
        command.args(["--save-packets", "20"]);
        command.arg("--capture-dir").arg(&self.artifacts);
        command.arg("--eve-log-path").arg(&self.eve);
        command
    }

    fn records(&self) -> Result<Vec<Value>> {
        let attempt = || format!("read the records {}", self.eve.display());
        let text = fs::read_to_string(&self.eve).with_context(attempt)?;
        let records: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
        let mut records = records.with_context(attempt)?;
        // The table shows windows; the closing record is about the run.
        records.retain(|record| record["metadata"]["gomon"]["final"] != true);
        let here = env::current_dir().context("find the current directory")?;
        for record in &mut records {
            shorten(record, &here);
        }
        Ok(records)
    }

    fn closing_text(&self, gomon: &Path, records: usize) -> String {
        let [capture, eve, artifacts] =
            [&self.capture, &self.eve, &self.artifacts].map(|path| path.display().to_string());
        let width = artifacts.len();
        format!(
            "
Files:
  {capture:width$}  the traffic on the bot's interface
  {eve:width$}  {records} records, Suricata EVE JSON
  {artifacts:width$}  the packets around each alert

A capture of your own:
  {} CAPTURE.pcap BOT_ADDRESS
",
            gomon.display()
        )
    }
}

//! gomon at work: on one end of a pair of interfaces, while frames are sent from the other.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read},
    process::{Command, Stdio},
    str::FromStr,
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{FRAMES, PATIENCE, ip, say, until_up};

/// In front of a report on the console.
const MARK: &str = "gomon-guest: report ";

/// Windows short enough for what was counted to be told soon, and thresholds that nothing passes: every
/// destination has a record of its own, and every window one of its ledger.
const ARGS: &str = "--window 500ms --show-idle --quiet --packet-threshold 1000000000 \
     --destination-threshold 1000000 --port-threshold 0";

/// A way of attaching, on interfaces of an MTU, with the frames `frames/MTU.pcap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) mode: String,
    pub(crate) mtu: u32,
    /// So many frames are sent.
    pub(crate) frames: u64,
}

impl FromStr for Case {
    type Err = anyhow::Error;

    /// `MODE,MTU,FRAMES`
    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<_> = text.split(',').collect();
        let &[mode, mtu, frames] = &words[..] else { anyhow::bail!("want MODE,MTU,FRAMES") };
        Ok(Self { mode: mode.to_owned(), mtu: mtu.parse()?, frames: frames.parse()? })
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{},{},{}", self.mode, self.mtu, self.frames)
    }
}

/// What gomon came to in one case.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) success: bool,
    /// Its records.
    pub(crate) records: Vec<Value>,
    /// The lines on standard error.
    pub(crate) said: Vec<String>,
}

impl Report {
    /// A report, if a line of the console is one.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let report: Value = serde_json::from_str(line.strip_prefix(MARK)?).ok()?;
        let lines = report["said"].as_array()?.iter().filter_map(Value::as_str);
        Some(Self {
            success: report["success"].as_bool()?,
            records: report["records"].as_array()?.clone(),
            said: lines.map(str::to_owned).collect(),
        })
    }

    fn line(&self) -> String {
        let Self { success, records, said } = self;
        format!("{MARK}{}", json!({ "success": success, "records": records, "said": said }))
    }

    fn frames(&self) -> u64 {
        let frames = |record: &Value| record["metadata"]["gomon"]["ledger"]["frames"].as_u64();
        self.records.iter().filter_map(frames).sum()
    }

    fn hear(&mut self, line: Line) {
        match line {
            Line::Record(text) => {
                let record = serde_json::from_str(&text).ok();
                // The last record is about the run, and its ledger holds what those of windows do.
                let is_of_window = |record: &Value| record["metadata"]["gomon"]["final"] != true;
                self.records.extend(record.filter(is_of_window));
            }
            Line::Said(text) => self.said.push(text),
        }
    }
}

/// Reports on every case.
pub(super) fn each(source: &str, cases: &[Case]) -> Result<()> {
    for case in cases {
        ip(&format!("link add vnet0 mtu {0} type veth peer name bot0 mtu {0}", case.mtu))?;
        for interface in ["vnet0", "bot0"] {
            ip(&format!("link set {interface} up"))?;
        }
        until_up("vnet0")?;
        let report = count(source, case).with_context(|| format!("count as {case}"))?;
        say(&report.line())?;
        ip("link del vnet0")?;
    }
    Ok(())
}

/// Runs gomon until it has told of all frames, or of no more for a while.
fn count(source: &str, case: &Case) -> Result<Report> {
    let mut gomon = Command::new("/bin/gomon")
        .args(["vnet0", source, "--attach", &case.mode])
        .args(ARGS.split_whitespace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start gomon")?;
    let (sender, lines) = mpsc::channel();
    forward(gomon.stdout.take(), sender.clone(), Line::Record);
    forward(gomon.stderr.take(), sender, Line::Said);

    let mut report = Report { success: false, records: Vec::new(), said: Vec::new() };
    let attached = |report: &Report| report.said.iter().any(|line| line.contains(" attached by "));
    listen(&lines, &mut report, attached);
    if attached(&report) {
        send(case)?;
        listen(&lines, &mut report, |report| report.frames() >= case.frames);
    }
    let id = Pid::from_child(&gomon);
    // Where it could not attach it has ended.
    if gomon.try_wait()?.is_none() {
        kill_process(id, Signal::INT).context("stop gomon")?;
    }
    listen(&lines, &mut report, |_| false);
    report.success = gomon.wait()?.success();
    Ok(report)
}

fn send(case: &Case) -> Result<()> {
    let frames = format!("/{FRAMES}/{}.pcap", case.mtu);
    let errors = "/tcpreplay.errors";
    let sent = Command::new("/bin/tcpreplay")
        .args(["--quiet", "--topspeed", "--preload-pcap", "--intf1=bot0", &frames])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(errors)?)
        .status()
        .context("run tcpreplay")?;
    ensure!(sent.success(), "run tcpreplay: {sent}: {}", fs::read_to_string(errors)?.trim());
    Ok(())
}

enum Line {
    Record(String),
    Said(String),
}

fn forward(
    from: Option<impl Read + Send + 'static>,
    to: Sender<Line>,
    kind: impl Fn(String) -> Line + Send + 'static,
) {
    thread::spawn(move || {
        for line in BufReader::new(from?).lines().map_while(Result::ok) {
            to.send(kind(line)).ok()?;
        }
        Some(())
    });
}

/// Listens until enough was heard, to the end, or until patience is.
fn listen(lines: &Receiver<Line>, report: &mut Report, enough: impl Fn(&Report) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !enough(report) {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => report.hear(line),
            Err(_) => return,
        }
    }
}

//! Runs gomon on one end of a veth pair while frames are sent from the other.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read},
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::super::case::{Case, CaseReport};
use super::super::layout::FRAMES;
use super::system::{TIMEOUT, ip, wait_until_up, write_line};

/// Short windows, so that counts are reported soon, and thresholds that nothing exceeds: every destination has a
/// record, and every window a record with its ledger.
const ARGS: &str = "--window 500ms --show-idle --quiet --packet-threshold 1000000000 \
     --destination-threshold 1000000 --port-threshold 0";

/// Runs every case, and writes its report to the console.
pub(super) fn each(source: &str, cases: &[Case]) -> Result<()> {
    for case in cases {
        ip(&format!("link add vnet0 mtu {0} type veth peer name bot0 mtu {0}", case.mtu))?;
        for interface in ["vnet0", "bot0"] {
            ip(&format!("link set {interface} up"))?;
        }
        wait_until_up("vnet0")?;
        let report = count(source, case).with_context(|| format!("count as {case}"))?;
        write_line(&report.line())?;
        ip("link del vnet0")?;
    }
    Ok(())
}

/// Runs gomon until it has reported all frames, or until [`TIMEOUT`].
fn count(source: &str, case: &Case) -> Result<CaseReport> {
    let mut gomon = Command::new("/bin/gomon")
        .args(["vnet0", source, "--attach", &case.mode])
        .args(ARGS.split_whitespace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start gomon")?;
    let (sender, lines) = mpsc::channel();
    forward(gomon.stdout.take(), sender.clone(), OutputLine::Record);
    forward(gomon.stderr.take(), sender, OutputLine::Stderr);

    let mut report = CaseReport::default();
    let is_attached =
        |report: &CaseReport| report.stderr.iter().any(|line| line.contains(" attached by "));
    collect(&lines, &mut report, is_attached);
    if is_attached(&report) {
        send(case)?;
        collect(&lines, &mut report, |report| report.frames() >= case.frames);
    }
    let id = Pid::from_child(&gomon);
    // gomon has already exited when it could not attach.
    if gomon.try_wait()?.is_none() {
        kill_process(id, Signal::INT).context("stop gomon")?;
    }
    collect(&lines, &mut report, |_| false);
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

/// A line that gomon writes.
enum OutputLine {
    Record(String),
    Stderr(String),
}

fn forward(
    from: Option<impl Read + Send + 'static>,
    to: Sender<OutputLine>,
    kind: impl Fn(String) -> OutputLine + Send + 'static,
) {
    thread::spawn(move || {
        for line in BufReader::new(from?).lines().map_while(Result::ok) {
            to.send(kind(line)).ok()?;
        }
        Some(())
    });
}

/// Adds lines to a report until it is complete, the output ends, or [`TIMEOUT`] has passed.
fn collect(
    lines: &Receiver<OutputLine>,
    report: &mut CaseReport,
    is_complete: impl Fn(&CaseReport) -> bool,
) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_complete(report) {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => add(report, line),
            Err(_) => return,
        }
    }
}

fn add(report: &mut CaseReport, line: OutputLine) {
    match line {
        OutputLine::Record(text) => {
            let record = serde_json::from_str(&text).ok();
            // The closing record has the ledger of the run, which repeats those of the windows.
            let is_of_window = |record: &Value| record["metadata"]["gomon"]["final"] != true;
            report.records.extend(record.filter(is_of_window));
        }
        OutputLine::Stderr(text) => report.stderr.push(text),
    }
}

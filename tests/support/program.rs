//! Runs the program under test as its users do.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::tools::checked;

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Returns the records on standard output, without the closing record.
    #[track_caller]
    pub fn records(&self) -> Vec<Value> {
        records(&self.stdout)
    }

    /// Returns the closing record.
    #[track_caller]
    pub fn closing(&self) -> Value {
        let last = self.stdout.lines().last().expect("a record");
        let last = serde_json::from_str(last).expect("a JSON object");
        assert!(is_closing(&last), "{last:#}");
        last
    }

    /// Returns the error lines, without the log and the summary.
    pub fn errors(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| line.starts_with("gomon: ")).collect()
    }

    /// Returns the line on standard error that starts with `start`.
    #[track_caller]
    pub fn line(&self, start: &str) -> &str {
        let mut lines = self.stderr.lines();
        lines.find(|line| line.starts_with(start)).unwrap_or_else(|| {
            panic!("no line {start:?} in:\n{}", self.stderr);
        })
    }
}

/// Parses records, one per line, without closing records.
#[track_caller]
pub fn records(text: &str) -> Vec<Value> {
    let records =
        text.lines().map(|line| serde_json::from_str(line).expect("one JSON object per line"));
    records.filter(|record| !is_closing(record)).collect()
}

/// Whether a record is the closing record of a run.
pub fn is_closing(record: &Value) -> bool {
    record["metadata"]["gomon"]["final"] == true
}

/// Returns a command for the program, without arguments.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gomon"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program until it exits.
pub fn gomon<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Outcome {
    run(command().args(args))
}

/// Runs the program with `input` on standard input, in pieces of `piece` bytes.
pub fn gomon_with_input<A: AsRef<OsStr>>(
    args: impl IntoIterator<Item = A>,
    input: &[u8],
    piece: usize,
) -> Outcome {
    let mut child = command().args(args).stdin(Stdio::piped()).spawn().expect("gomon starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = thread::spawn(move || {
        for piece in input.chunks(piece.max(1)) {
            // The program closes its input when it stops early.
            if stdin.write_all(piece).is_err() {
                break;
            }
        }
    });
    let outcome = finish(child);
    writer.join().expect("the input is written");
    outcome
}

/// Runs a command until it exits. It must come from [`command`], or have piped output.
pub fn run(command: &mut Command) -> Outcome {
    finish(command.spawn().expect("gomon starts"))
}

/// Waits until the program exits, and returns the result.
pub fn finish(child: Child) -> Outcome {
    let watchdog = Watchdog::start(&child);
    let output = child.wait_with_output().expect("gomon exits");
    watchdog.dismiss();
    outcome(&output)
}

/// Converts the output of a finished process.
pub fn outcome(output: &std::process::Output) -> Outcome {
    Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout.clone()).expect("UTF-8 on standard output"),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Kills a program that hangs, so that its test fails instead of hanging.
pub struct Watchdog {
    done: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watchdog {
    /// Longer than any run takes on a slow machine.
    const TIMEOUT: Duration = Duration::from_secs(120);

    pub fn start(child: &Child) -> Self {
        let (done, exited) = mpsc::channel();
        let id = child.id();
        let thread = thread::spawn(move || {
            let hangs = exited.recv_timeout(Self::TIMEOUT) == Err(RecvTimeoutError::Timeout);
            if hangs {
                signal(id, "KILL");
            }
            hangs
        });
        Self { done, thread }
    }

    /// Stops watching. Fails if the program was killed.
    #[track_caller]
    pub fn dismiss(self) {
        drop(self.done);
        assert!(!self.thread.join().expect("the watchdog ends"), "gomon hung and was killed");
    }
}

/// Sends a signal, with its name for kill(1).
pub fn signal(process: u32, name: &str) {
    checked(Command::new("sh").args(["-c", &format!("kill -{name} {process}")]));
}

/// A temporary directory of a test, removed when this is dropped.
pub struct Scratch(TempDir);

impl Scratch {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("a file is written");
        path
    }

    /// Returns the sorted names in a subdirectory.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path().join(directory)).expect("a directory");
        let mut names: Vec<_> = entries
            .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

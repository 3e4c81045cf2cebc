//! The program under test, run as its users run it.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::tools::done;

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The records on standard output, without the one that closes the run.
    #[track_caller]
    pub fn records(&self) -> Vec<Value> {
        records(&self.stdout)
    }

    /// The record that closes the run.
    #[track_caller]
    pub fn closing(&self) -> Value {
        let last = self.stdout.lines().last().expect("a record");
        let last = serde_json::from_str(last).expect("a JSON object");
        assert!(is_closing(&last), "{last:#}");
        last
    }

    /// The error lines, without what the log and the summary say.
    pub fn errors(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| line.starts_with("gomon: ")).collect()
    }

    /// The line of standard error that starts with `start`.
    #[track_caller]
    pub fn line(&self, start: &str) -> &str {
        let mut lines = self.stderr.lines();
        lines.find(|line| line.starts_with(start)).unwrap_or_else(|| {
            panic!("no line {start:?} in:\n{}", self.stderr);
        })
    }
}

/// Records, one a line, without those that close a run.
#[track_caller]
pub fn records(text: &str) -> Vec<Value> {
    let records =
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line"));
    records.filter(|record| !is_closing(record)).collect()
}

/// Whether a record is the last of a run.
pub fn is_closing(record: &Value) -> bool {
    record["metadata"]["gomon"]["final"] == true
}

/// The program, ready for arguments.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gomon"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
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
            // A program that has seen enough closes its input.
            if stdin.write_all(piece).is_err() {
                break;
            }
        }
    });
    let outcome = finish(child);
    writer.join().expect("the input is written");
    outcome
}

/// Runs a command, made of [`command`] or with its output piped, to its end.
pub fn run(command: &mut Command) -> Outcome {
    finish(command.spawn().expect("gomon starts"))
}

/// What the program came to, once it ends.
pub fn finish(child: Child) -> Outcome {
    let watchdog = Watchdog::over(&child);
    let output = child.wait_with_output().expect("gomon ends");
    watchdog.dismiss();
    outcome(&output)
}

/// What a finished process printed.
pub fn outcome(output: &std::process::Output) -> Outcome {
    Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout.clone()).expect("UTF-8 on standard output"),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Ends a program that hangs, so that its test fails instead of hanging with it.
pub struct Watchdog {
    done: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watchdog {
    /// Longer than any run here takes on a slow machine.
    const PATIENCE: Duration = Duration::from_secs(120);

    pub fn over(child: &Child) -> Self {
        let (done, over) = mpsc::channel();
        let id = child.id();
        let thread = thread::spawn(move || {
            let hangs = over.recv_timeout(Self::PATIENCE) == Err(RecvTimeoutError::Timeout);
            if hangs {
                signal(id, "KILL");
            }
            hangs
        });
        Self { done, thread }
    }

    /// The program has ended.
    #[track_caller]
    pub fn dismiss(self) {
        drop(self.done);
        assert!(!self.thread.join().expect("the watchdog ends"), "gomon hung and was killed");
    }
}

/// Sends a signal, named as kill(1) names it.
pub fn signal(process: u32, name: &str) {
    done(Command::new("sh").args(["-c", &format!("kill -{name} {process}")]));
}

/// A directory of a test's own, gone when the test is over.
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

    /// The names in a directory below, sorted.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path().join(directory)).expect("a directory");
        let mut names: Vec<_> = entries
            .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

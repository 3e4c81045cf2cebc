//! The running program: its input, output and signals, step by step.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::program::{Outcome, Watchdog, signal};

/// A running process. Its standard input stays open until [`Running::close_input`].
pub struct Running {
    child: Child,
    watchdog: Option<Watchdog>,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: BufReader<ChildStderr>,
    /// What was read from standard error so far.
    log: String,
}

impl Running {
    /// Starts the program.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("gomon starts");
        Self {
            watchdog: Some(Watchdog::start(&child)),
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(BufReader::new),
            stderr: BufReader::new(child.stderr.take().expect("a pipe")),
            log: String::new(),
            child,
        }
    }

    /// Returns the process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to standard input.
    #[track_caller]
    pub fn feed(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin.write_all(bytes).expect("gomon reads its input");
    }

    /// Closes standard input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for a record on standard output.
    #[track_caller]
    pub fn record(&mut self) -> Value {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().expect("standard output is open");
        stdout.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).expect("a record")
    }

    /// Closes standard output.
    pub fn close_output(&mut self) {
        self.stdout = None;
    }

    /// Waits for a line on standard error that starts with `start`.
    #[track_caller]
    pub fn wait_for(&mut self, start: &str) {
        loop {
            let before = self.log.len();
            let read = self.stderr.read_line(&mut self.log).expect("a line");
            assert!(read > 0, "no line {start:?} in:\n{}", self.log);
            if self.log[before..].starts_with(start) {
                return;
            }
        }
    }

    /// Waits for a line on standard error that contains `part`, and returns it.
    #[track_caller]
    pub fn wait_for_part(&mut self, part: &str) -> String {
        loop {
            let before = self.log.len();
            let read = self.stderr.read_line(&mut self.log).expect("a line");
            assert!(read > 0, "no line with {part:?} in:\n{}", self.log);
            if self.log[before..].contains(part) {
                return self.log[before..].to_owned();
            }
        }
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Reads standard output to its end and waits until the process exits. The outcome has the output that was not read
    /// before.
    #[track_caller]
    pub fn finish(mut self) -> Outcome {
        let mut rest = String::new();
        if let Some(mut stdout) = self.stdout.take() {
            stdout.read_to_string(&mut rest).expect("UTF-8 on standard output");
        }
        Outcome { stdout: rest, ..self.end() }
    }

    /// Waits until the process exits, without reading standard output.
    #[track_caller]
    pub fn end(mut self) -> Outcome {
        self.stderr.read_to_string(&mut self.log).expect("UTF-8 on standard error");
        let status = self.child.wait().expect("gomon exits").code();
        self.watchdog.take().expect("a watchdog").dismiss();
        Outcome { status, stdout: String::new(), stderr: std::mem::take(&mut self.log) }
    }
}

impl Drop for Running {
    /// Kills the process when a test fails.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The program while it runs: fed, read from and signalled step by step.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::program::{Outcome, Watchdog, signal};

/// A process of the program. Its standard input stays open until [`Running::close_input`].
pub struct Running {
    child: Child,
    watchdog: Option<Watchdog>,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: BufReader<ChildStderr>,
    /// What was read from standard error so far.
    said: String,
}

impl Running {
    /// Starts the program.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("gomon starts");
        Self {
            watchdog: Some(Watchdog::over(&child)),
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(BufReader::new),
            stderr: BufReader::new(child.stderr.take().expect("a pipe")),
            said: String::new(),
            child,
        }
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to standard input.
    #[track_caller]
    pub fn feed(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin.write_all(bytes).expect("gomon reads its input");
    }

    /// Ends standard input.
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

    /// Stops reading standard output for good.
    pub fn close_output(&mut self) {
        self.stdout = None;
    }

    /// Waits for a line on standard error that starts with `start`.
    #[track_caller]
    pub fn wait_for(&mut self, start: &str) {
        loop {
            let before = self.said.len();
            let read = self.stderr.read_line(&mut self.said).expect("a line");
            assert!(read > 0, "no line {start:?} in:\n{}", self.said);
            if self.said[before..].starts_with(start) {
                return;
            }
        }
    }

    /// Waits for a line on standard error with `part` in it, and returns the line.
    #[track_caller]
    pub fn wait_for_part(&mut self, part: &str) -> String {
        loop {
            let before = self.said.len();
            let read = self.stderr.read_line(&mut self.said).expect("a line");
            assert!(read > 0, "no line with {part:?} in:\n{}", self.said);
            if self.said[before..].contains(part) {
                return self.said[before..].to_owned();
            }
        }
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Reads standard output to its end and waits for the end of the process. The outcome holds what
    /// was not read before.
    #[track_caller]
    pub fn finish(mut self) -> Outcome {
        let mut rest = String::new();
        if let Some(mut stdout) = self.stdout.take() {
            stdout.read_to_string(&mut rest).expect("UTF-8 on standard output");
        }
        Outcome { stdout: rest, ..self.end() }
    }

    /// Waits for the end without reading standard output.
    #[track_caller]
    pub fn end(mut self) -> Outcome {
        self.stderr.read_to_string(&mut self.said).expect("UTF-8 on standard error");
        let status = self.child.wait().expect("gomon ends").code();
        self.watchdog.take().expect("it watches to the end").dismiss();
        Outcome { status, stdout: String::new(), stderr: std::mem::take(&mut self.said) }
    }
}

impl Drop for Running {
    /// Leaves no process behind when a test fails.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

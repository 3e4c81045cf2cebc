//! Programs of this machine that tests work with. When one fails, its test fails with what it said.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::skip::skip;

/// Whether a tool is installed; the test is skipped when it is not.
#[track_caller]
pub fn have(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        skip(format_args!("{tool} is not installed"));
    }
    found
}

/// Runs a command that has to succeed, and returns what it prints.
#[track_caller]
pub fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A tool while it runs. What it says on standard error goes to a file, so that it never waits for a
/// reader.
pub struct Tool {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    command: String,
    said: File,
}

impl Tool {
    /// Starts a tool; its input and output are as the command has them.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let said = tempfile::tempfile().expect("a temporary file");
        command.stderr(Stdio::from(said.try_clone().expect("a second descriptor")));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Self { child, stdin, stdout, command: format!("{command:?}"), said }
    }

    /// Its process.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Its standard input, which was piped.
    pub fn input(&mut self) -> &mut ChildStdin {
        self.stdin.as_mut().expect("a pipe")
    }

    /// Reads a line of its standard output, which was piped.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stdout.as_mut().expect("a pipe").read_line(&mut line).expect("a line");
        (read > 0).then_some(line)
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_some()
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        let length = self.said.metadata().expect("a file").len();
        let mut said = vec![0; usize::try_from(length).expect("a length")];
        // The tool writes on where it was.
        self.said.read_exact_at(&mut said, 0).expect("what it said");
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Waits for its end, which has to be a success.
    #[track_caller]
    pub fn finish(mut self) {
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{}: {status}: {}", self.command, self.said());
    }
}

impl Drop for Tool {
    /// Leaves no process behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

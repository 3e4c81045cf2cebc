//! Programs that tests run. When one fails, the test fails with its error output.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::skip::skip;

/// Whether a tool is installed. Skips the test if it is not.
#[track_caller]
pub fn have(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        skip(format_args!("{tool} is not installed"));
    }
    found
}

/// Runs a command that must succeed, and returns its output.
#[track_caller]
pub fn checked(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A running tool. Its standard error is a file, so that it never blocks on a reader.
pub struct Tool {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    command: String,
    stderr: File,
}

impl Tool {
    /// Starts a tool, with the input and output of the command.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let stderr = tempfile::tempfile().expect("a temporary file");
        command.stderr(Stdio::from(stderr.try_clone().expect("a second descriptor")));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Self { child, stdin, stdout, command: format!("{command:?}"), stderr }
    }

    /// Returns its process.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Returns its standard input, which must be piped.
    pub fn input(&mut self) -> &mut ChildStdin {
        self.stdin.as_mut().expect("a pipe")
    }

    /// Reads a line of its standard output, which must be piped.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stdout.as_mut().expect("a pipe").read_line(&mut line).expect("a line");
        (read > 0).then_some(line)
    }

    /// Whether it has exited.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_some()
    }

    /// Returns its standard error so far.
    pub fn stderr(&self) -> String {
        let length = self.stderr.metadata().expect("a file").len();
        let mut text = vec![0; usize::try_from(length).expect("a length")];
        // Does not move the offset, which the tool shares.
        self.stderr.read_exact_at(&mut text, 0).expect("its output");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits until it exits. It must succeed.
    #[track_caller]
    pub fn finish(mut self) {
        let status = self.child.wait().expect("it exits");
        assert!(status.success(), "{}: {status}: {}", self.command, self.stderr());
    }
}

impl Drop for Tool {
    /// Kills the process when a test fails.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

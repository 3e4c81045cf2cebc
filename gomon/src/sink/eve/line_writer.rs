//! Writes complete lines: a partial line that a failed write leaves is removed if possible.

use std::fs::File;
use std::io::{self, Seek, Write};

use memchr::{memchr, memrchr};

/// The maximum number of bytes written to a pipe or socket at once: `PIPE_BUF` on Linux. POSIX makes writes to a
/// pipe up to this size atomic, so that the lines of two writers do not interleave.
const PIPE_BUF: usize = 4096;

/// An output that lines are written to.
pub(super) trait LineSink: Write {
    /// Removes the last `bytes` that were written, and returns whether that was possible.
    fn remove_last(&mut self, bytes: u64) -> io::Result<bool>;
}

impl LineSink for File {
    fn remove_last(&mut self, bytes: u64) -> io::Result<bool> {
        let (end, metadata) = (self.stream_position()?, self.metadata()?);
        // Another writer has appended to the file.
        if !metadata.is_file() || metadata.len() != end {
            return Ok(false);
        }
        self.set_len(end.saturating_sub(bytes))?;
        self.seek(io::SeekFrom::End(0))?;
        Ok(true)
    }
}

/// Writes complete lines, and removes the partial line of a failed write if possible.
pub(super) struct LineWriter<W> {
    pub(super) sink: W,
    /// The maximum number of bytes to write at once.
    max_write: usize,
    /// Whether the output ends with a partial line.
    ends_mid_line: bool,
}

impl LineWriter<File> {
    /// Creates a writer to a regular file, a pipe or a socket.
    pub(super) fn of_file(file: File) -> Self {
        let is_regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        Self::new(file, if is_regular { usize::MAX } else { PIPE_BUF })
    }
}

impl<W: LineSink> LineWriter<W> {
    fn new(sink: W, max_write: usize) -> Self {
        Self { sink, max_write, ends_mid_line: false }
    }

    /// Writes lines, each of which ends with a line feed. Returns the number of bytes in lines that were written
    /// completely, and the error if these are not all lines.
    pub(super) fn write(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        let mut whole = 0;
        while whole < lines.len() {
            let piece = first_lines(&lines[whole..], self.max_write);
            let (written, result) = self.write_piece(piece);
            whole += written;
            if result.is_err() {
                return (whole, result);
            }
        }
        (whole, Ok(()))
    }

    fn write_piece(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        if self.ends_mid_line {
            // Ends the partial line that could not be removed, so that the next record starts a line.
            if let Err(error) = self.sink.write_all(b"\n") {
                return (0, Err(error));
            }
            self.ends_mid_line = false;
        }
        let mut written = 0;
        let error = loop {
            if written == lines.len() {
                return (written, Ok(()));
            }
            match self.sink.write(&lines[written..]) {
                Ok(0) => break io::ErrorKind::WriteZero.into(),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        let whole = memrchr(b'\n', &lines[..written]).map_or(0, |at| at + 1);
        let part = (written - whole) as u64;
        self.ends_mid_line = part > 0 && !self.sink.remove_last(part).unwrap_or(false);
        (whole, Err(error))
    }
}

/// Returns the first lines that fit into `bytes` bytes, or the first line if it is longer.
fn first_lines(lines: &[u8], bytes: usize) -> &[u8] {
    if lines.len() <= bytes {
        return lines;
    }
    let (fitting, rest) = lines.split_at(bytes);
    let end = memrchr(b'\n', fitting)
        .unwrap_or_else(|| bytes + memchr(b'\n', rest).unwrap_or(rest.len() - 1));
    &lines[..=end]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use memchr::memchr_iter;
    use proptest::prelude::*;

    use super::*;

    fn appending(path: &Path) -> File {
        File::options().append(true).open(path).unwrap()
    }

    /// Accepts the scripted numbers of bytes, or fails, and accepts everything once the script is over.
    struct FlakySink {
        script: Vec<Option<usize>>,
        written: Vec<u8>,
        can_remove: bool,
    }

    impl Write for FlakySink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let accepted = self.script.pop().unwrap_or(Some(usize::MAX));
            let accepted = accepted.ok_or(io::Error::other("no space"))?.min(bytes.len());
            self.written.extend(&bytes[..accepted]);
            Ok(accepted)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl LineSink for FlakySink {
        fn remove_last(&mut self, bytes: u64) -> io::Result<bool> {
            if self.can_remove {
                self.written.truncate(self.written.len() - usize::try_from(bytes).unwrap());
            }
            Ok(self.can_remove)
        }
    }

    proptest! {
        #[test]
        fn lines_reported_as_written_are_complete_and_written_once(
            lengths in prop::collection::vec(0usize..30, 0..40),
            script in prop::collection::vec(prop::option::weighted(0.7, 1usize..50), 0..60),
            max_write in prop_oneof![1usize..60, Just(usize::MAX)],
            can_remove: bool,
        ) {
            let sink = FlakySink { script, written: Vec::new(), can_remove };
            let mut writer = LineWriter::new(sink, max_write);
            let lines: Vec<String> =
                lengths.iter().enumerate().map(|(n, length)| format!("{n}{}.\n", "x".repeat(*length))).collect();
            let mut reported = String::new();
            for lines in lines.chunks(7) {
                let text = lines.concat();
                let mut rest = text.as_str();
                while !rest.is_empty() {
                    let (whole, result) = writer.write(rest.as_bytes());
                    reported.push_str(&rest[..whole]);
                    rest = &rest[whole..];
                    // The line that failed is dropped.
                    if result.is_err() {
                        rest = &rest[rest.find('\n').unwrap() + 1..];
                    }
                }
            }
            let written = String::from_utf8(writer.sink.written).unwrap();
            let is_whole = |line: &&str| line.ends_with('.');
            if can_remove {
                prop_assert_eq!(&written, &reported);
            }
            // A line that lacks only its line feed is complete, and not reported as written.
            let expected: Vec<_> = reported.lines().collect();
            let found: Vec<_> = written.lines().filter(is_whole).collect();
            prop_assert!(expected.iter().all(|line| found.contains(line)), "{}", written);
            prop_assert!(written.lines().all(|line| line.matches('.').count() <= 1), "{}", written);
        }

        #[test]
        fn pieces_end_at_line_ends(
            lengths in prop::collection::vec(0usize..30, 1..20),
            bytes in 1usize..60,
        ) {
            let lines: String = lengths.iter().map(|length| "x".repeat(*length) + "\n").collect();
            let mut rest = lines.as_bytes();
            while !rest.is_empty() {
                let piece = first_lines(rest, bytes);
                prop_assert!(piece.ends_with(b"\n"));
                prop_assert!(piece.len() <= bytes || memchr_iter(b'\n', piece).count() == 1);
                rest = &rest[piece.len()..];
            }
        }
    }

    #[test]
    fn removed_bytes_leave_no_trace() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut ours = appending(file.path());
        ours.write_all(b"one\ntwo\nthr").unwrap();
        assert!(ours.remove_last(3).unwrap());
        ours.write_all(b"four\n").unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "one\ntwo\nfour\n");
        // Another writer has appended in between.
        ours.write_all(b"fiv").unwrap();
        appending(file.path()).write_all(b"theirs\n").unwrap();
        assert!(!ours.remove_last(3).unwrap());
    }
}

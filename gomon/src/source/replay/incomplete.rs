//! Why a replay did not get through all of its capture. The exit status depends on it.

use std::fmt;
use std::io;

use anyhow::Error;

/// Why a replay is not complete. All that could be read was counted and handed on.
#[derive(Debug)]
pub enum Incomplete {
    /// The capture is damaged, or ends in the middle of a record.
    Damaged(Error),
    /// What the capture holds could not be read, or not be looked into.
    Missing(Error),
}

impl Incomplete {
    /// What an error of a reader means. What a reader, or a decompressor, objects to is damage; what
    /// fails on the way to the bytes is none. (Of a file that libpcap reads by itself, both are damage: it
    /// tells them apart in words alone.)
    pub(in crate::source) fn of_reading(error: Error) -> Self {
        match error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()) {
            Some(failed) if !Corrupt::is_marked(failed) => Self::Missing(error),
            _ => Self::Damaged(error),
        }
    }
}

/// Marks what a decompressor objects to in its input, among the failures of the input itself.
#[derive(Debug)]
pub(super) struct Corrupt(io::Error);

impl Corrupt {
    /// Marks an error of a decompressor, unless it hands on one of the system.
    pub(super) fn mark(error: io::Error) -> io::Error {
        match error.raw_os_error() {
            Some(_) => error,
            None => io::Error::new(error.kind(), Self(error)),
        }
    }

    fn is_marked(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.downcast_ref::<Self>().is_some())
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Corrupt {}

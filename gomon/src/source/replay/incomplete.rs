//! Why a replay is incomplete, which determines the exit status.

use std::fmt;
use std::io;

use anyhow::Error;

/// Why a replay is incomplete. Everything that could be read was counted and passed on.
#[derive(Debug)]
pub enum Incomplete {
    /// The capture is damaged, or ends in the middle of a record.
    Damaged(Error),
    /// A part of the capture could not be read, or not be parsed.
    Missing(Error),
}

impl Incomplete {
    /// Classifies an error of a reader. Bytes that a reader or a decompressor rejects are damage; a failure to
    /// get the bytes is not. (libpcap distinguishes the two in the text of its errors only, so for a file that
    /// libpcap reads itself both are damage.)
    pub(in crate::source) fn from_read_error(error: Error) -> Self {
        match error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()) {
            Some(failed) if !CorruptInput::is_cause_of(failed) => Self::Missing(error),
            _ => Self::Damaged(error),
        }
    }
}

/// The input of a decompressor is corrupt, as opposed to a failure to read it.
#[derive(Debug)]
pub(super) struct CorruptInput(io::Error);

impl CorruptInput {
    /// Wraps an error of a decompressor, unless the decompressor passes on an operating system error.
    pub(super) fn wrap(error: io::Error) -> io::Error {
        match error.raw_os_error() {
            Some(_) => error,
            None => io::Error::new(error.kind(), Self(error)),
        }
    }

    fn is_cause_of(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.downcast_ref::<Self>().is_some())
    }
}

impl fmt::Display for CorruptInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for CorruptInput {}

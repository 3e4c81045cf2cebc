//! An open input. Opening does not wait for the first bytes of a stream.

use anyhow::Result;

use super::input::with_advice;
use crate::source::live::AttachMode;
use crate::source::replay::{Input, Reader};

/// An open input.
pub(super) enum OpenSource {
    /// A plain file, of which the format is known.
    Reader(Box<Reader>),
    /// A FIFO or standard input, the first bytes of which may take long to arrive.
    Stream(Input),
    /// An interface, and the modes of attaching to it, in order of preference.
    Interface(String, Vec<AttachMode>),
}

impl OpenSource {
    /// Returns the source for an open capture. The format of a file is read.
    pub(super) fn of_capture(input: Input) -> Result<Self> {
        if input.size().is_none() {
            return Ok(Self::Stream(input));
        }
        Ok(Self::Reader(Box::new(Reader::new(input).map_err(with_advice)?)))
    }
}

//! Opens the input: a capture, or an interface.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Context, Error, Result, anyhow, bail};

use super::failure::opening;
use crate::source::Stop;
use crate::source::live::interface;
use crate::source::replay::{Input, Reader};

/// An open input.
pub(super) enum OpenInput {
    /// A regular file, whose format is known.
    File {
        /// The reader of the capture.
        reader: Box<Reader>,
        /// The size of the file in bytes.
        size: u64,
    },
    /// A FIFO or standard input. Its format is read later, because opening must not wait for the first bytes.
    Stream(Input),
    /// A network interface, by its name.
    Interface(String),
}

impl OpenInput {
    /// Opens the input that `path` names: a path that exists is a capture, any other name an interface.
    ///
    /// # Errors
    ///
    /// When there is no such input, or it can't be opened.
    pub(super) fn open(path: &Path, stop: Stop) -> Result<Self> {
        Self::find(path, stop).with_context(|| opening(path))
    }

    fn find(path: &Path, stop: Stop) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Self::capture(Input::open(path, stop)?);
        }
        match fs::metadata(path) {
            // No file has this name, or none can have it.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename
                ) => {}
            _ => return Self::capture(Input::open(path, stop).map_err(with_advice)?),
        }
        let interfaces = interface::names();
        let name = path.display().to_string();
        if interfaces.contains(&name) {
            return Ok(Self::Interface(name));
        }
        bail!(
            "there is neither a file nor an interface of that name: name a capture file, or one of the \
             interfaces {}",
            interfaces.join(", ")
        );
    }

    /// Reads the format of a regular file.
    fn capture(input: Input) -> Result<Self> {
        let Some(size) = input.size() else { return Ok(Self::Stream(input)) };
        let reader = Reader::new(input).map_err(with_advice)?;
        Ok(Self::File { reader: Box::new(reader), size })
    }

    /// Returns the size in bytes, if it is known.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::File { size, .. } => Some(*size),
            Self::Stream(_) | Self::Interface(_) => None,
        }
    }
}

/// Adds advice to the error of an input that exists and can't be read.
fn with_advice(error: Error) -> Error {
    match error.downcast_ref::<io::Error>() {
        Some(_) => anyhow!("{error:#}: make it readable, or name another capture"),
        None => error,
    }
}

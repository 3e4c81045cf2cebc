//! Resolves the INPUT argument to a capture or an interface.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Error, Result, anyhow, bail};

use crate::source::Stop;
use crate::source::live::interface;
use crate::source::replay::Input;

/// An input, found by its name.
pub(super) enum NamedInput {
    /// A file, a FIFO, or standard input, opened.
    Capture(Input),
    /// A network interface.
    Interface(String),
}

/// Finds what `path` names: a path that exists is a capture, any other name an interface.
pub(super) fn find(path: &Path, stop: Stop) -> Result<NamedInput> {
    if path.as_os_str() == "-" {
        return Input::open(path, stop).map(NamedInput::Capture);
    }
    match fs::metadata(path) {
        // There is no file of this name, or there can't be one.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename
            ) => {}
        _ => return Input::open(path, stop).map(NamedInput::Capture).map_err(with_advice),
    }
    let interfaces = interface::names();
    let name = path.display().to_string();
    if interfaces.contains(&name) {
        return Ok(NamedInput::Interface(name));
    }
    bail!(
        "there is neither a file nor an interface of that name: name a capture file, or one of the \
         interfaces {}",
        interfaces.join(", ")
    );
}

/// Adds what to do about an input that exists and can't be opened.
pub(super) fn with_advice(error: Error) -> Error {
    match error.downcast_ref::<io::Error>() {
        Some(_) => anyhow!("{error:#}: make it readable, or name another capture"),
        None => error,
    }
}

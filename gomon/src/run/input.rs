//! What the first argument names: a capture, or an interface.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Error, Result, anyhow, bail};

use crate::source::Stop;
use crate::source::live::interface;
use crate::source::replay::Input;

/// What a name stands for.
pub(super) enum Named {
    /// A file, a FIFO, or standard input: open.
    Capture(Input),
    /// A network interface.
    Interface(String),
}

/// Finds what `path` names. A path that exists is a capture, and everything else an interface.
pub(super) fn find(path: &Path, stop: Stop) -> Result<Named> {
    if path.as_os_str() == "-" {
        return Input::open(path, stop).map(Named::Capture);
    }
    match fs::metadata(path) {
        // No file can have such a name, or none has.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename
            ) => {}
        _ => return Input::open(path, stop).map(Named::Capture).map_err(hint),
    }
    let interfaces = interface::names();
    let name = path.display().to_string();
    if interfaces.contains(&name) {
        return Ok(Named::Interface(name));
    }
    bail!(
        "there is neither a file nor an interface of that name: name a capture file, or one of the \
         interfaces {}",
        interfaces.join(", ")
    );
}

/// Says what to do about an input that is there and can't be opened.
pub(super) fn hint(error: Error) -> Error {
    match error.downcast_ref::<io::Error>() {
        Some(_) => anyhow!("{error:#}: make it readable, or name another capture"),
        None => error,
    }
}

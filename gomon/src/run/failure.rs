//! Failures of the input, and the context of errors about it.

use std::fmt;
use std::path::Path;

use anyhow::Error;

use crate::source::replay::Incomplete;

/// The failure of a run because its input is damaged. All before the damage was analysed.
#[derive(Debug)]
pub struct Damaged(String);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damaged {}

/// The context of an error of opening the input.
pub(super) fn opening(input: &Path) -> String {
    format!("opening input {:?}", input.display().to_string())
}

/// Returns the failure of an input that was not read completely. `done` is what was done with the rest.
pub(super) fn incomplete_input(input: &Path, incomplete: Incomplete, done: &str) -> Error {
    let input = input.display().to_string();
    let text = |error| format!("reading {input:?}: {error:#}: all that could be read {done}");
    match incomplete {
        Incomplete::Damaged(error) => Damaged(text(error)).into(),
        Incomplete::Missing(error) => Error::msg(text(error)),
    }
}

//! Errors of the input, with their context.

use std::fmt;
use std::path::Path;

use anyhow::Error;

use crate::source::replay::Incomplete;

/// The error of a run whose input is damaged. Everything before the damage was analysed.
#[derive(Debug)]
pub struct Damaged(String);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damaged {}

/// Returns the context of an error when opening the input.
pub(super) fn opening(input: &Path) -> String {
    format!("opening input {:?}", input.display().to_string())
}

/// Returns the error of an input that was not read completely. `outcome` states what was done with the part that was
/// read.
pub(super) fn incomplete_input(input: &Path, incomplete: Incomplete, outcome: &str) -> Error {
    let input = input.display().to_string();
    let text = |error| format!("reading {input:?}: {error:#}: all that could be read {outcome}");
    match incomplete {
        Incomplete::Damaged(error) => Damaged(text(error)).into(),
        Incomplete::Missing(error) => Error::msg(text(error)),
    }
}

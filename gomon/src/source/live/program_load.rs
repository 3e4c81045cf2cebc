//! Loading of eBPF programs, which the verifier checks.

use std::io::ErrorKind;

use anyhow::{Error, Result};
use aya::programs::ProgramError;

/// The maximum number of attempts to load a program that signals interrupt.
const LOAD_ATTEMPTS: usize = 100;

/// Loads a program by calling `attempt`, and retries if a signal interrupts the verifier, which then
/// fails with `EAGAIN` (`bpf_check` in the kernel's `verifier.c`). libbpf retries too.
///
/// # Errors
///
/// The error of the last attempt.
pub fn load_with_retry(
    mut attempt: impl FnMut() -> Result<(), ProgramError>,
) -> Result<(), ProgramError> {
    let is_interrupted = |result: &Result<(), ProgramError>| {
        matches!(result, Err(ProgramError::LoadError { io_error, .. })
            if io_error.kind() == ErrorKind::WouldBlock)
    };
    let mut result = attempt();
    for _ in 1..LOAD_ATTEMPTS {
        if !is_interrupted(&result) {
            break;
        }
        result = attempt();
    }
    result
}

/// Converts the result of loading a program. A program that was already loaded for an earlier mode is
/// usable.
pub(super) fn check_load(result: Result<(), ProgramError>) -> Result<()> {
    match result {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(ProgramError::LoadError { io_error, verifier_log }) => {
            log::debug!("verifier log: {verifier_log}");
            Err(Error::from(io_error).context("loading the program"))
        }
        Err(error) => Err(error.into()),
    }
}

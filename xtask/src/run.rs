//! `cargo xtask run ARGS`: gomon as it is released, as if it had been typed.

use std::{ffi::OsString, os::unix::process::CommandExt as _, path::Path, process::Command};

use anyhow::{Context as _, Result};

use crate::{prerequisites, workspace};

/// Becomes gomon, so that signals, streams and the exit status are its own. Returns only when that
/// fails.
pub(crate) fn gomon(args: &[OsString], called_from: &Path) -> Result<()> {
    prerequisites::for_building()?;
    let gomon = workspace::root().join(workspace::build_gomon()?);
    let error = Command::new(&gomon)
        .args(args)
        .current_dir(called_from) // paths among the arguments are the caller's
        .exec();
    Err(error).with_context(|| format!("start {}", gomon.display()))
}

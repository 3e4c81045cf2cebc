//! Runs the fuzz targets for a short time. cargo-fuzz is made for nightly Rust, but without a sanitizer it needs
//! only the coverage flags, which stable accepts with `RUSTC_BOOTSTRAP`. The code under test is safe Rust, so
//! fuzzing looks for panics.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

use crate::workspace::{cargo, describe, run, target, text};

const CARGO_FUZZ_VERSION: &str = "0.13.2";
const DIRECTORY: &str = "tests/fuzz";

/// Returns a command for each fuzz target. `seconds` is divided among them.
pub(crate) fn targets(seconds: u32) -> Result<Vec<Command>> {
    let cargo_fuzz = install()?;
    let mut list = Command::new(&cargo_fuzz);
    list.args(["fuzz", "list", "--fuzz-dir", DIRECTORY]);
    let names = text(&mut list)?;
    ensure!(!names.is_empty(), "list the fuzz targets with `{}`: there are none", describe(&list));
    let each = seconds / u32::try_from(names.lines().count())?;
    let command = |name| command(&cargo_fuzz, name, each.max(1));
    Ok(names.lines().map(command).collect())
}

fn command(cargo_fuzz: &Path, name: &str, seconds: u32) -> Command {
    let mut command = Command::new(cargo_fuzz);
    command.args(["fuzz", "run", "--fuzz-dir", DIRECTORY, "--sanitizer", "none", name, "--"]);
    command.arg(format!("-max_total_time={seconds}"));
    command.env("RUSTC_BOOTSTRAP", "1");
    command
}

/// Installs the pinned version of cargo-fuzz into the target directory, and returns its path.
fn install() -> Result<PathBuf> {
    let root = target()?.join("tools");
    let cargo_fuzz = root.join("bin/cargo-fuzz");
    let installed = Command::new(&cargo_fuzz).arg("--version").output();
    let expected = format!("cargo-fuzz {CARGO_FUZZ_VERSION}");
    if !installed.is_ok_and(|output| output.stdout.trim_ascii() == expected.as_bytes()) {
        eprintln!("xtask: installing {expected} into {}", root.display());
        let install = ["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ_VERSION];
        run(cargo().args(install).arg("--root").arg(&root))?;
    }
    Ok(cargo_fuzz)
}

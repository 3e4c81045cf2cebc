//! Runs the fuzz targets for a short while. cargo-fuzz is meant for nightly Rust, of which it needs
//! no more than the coverage flags: stable takes those with `RUSTC_BOOTSTRAP`, as long as no
//! sanitizer is wanted. The code under test is safe Rust, where a panic is what there is to find.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

use crate::workspace::{cargo, describe, run, target, text};

const CARGO_FUZZ_VERSION: &str = "0.13.2";
const DIRECTORY: &str = "tests/fuzz";

/// A command for each fuzz target, `seconds` shared out among them.
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

/// Puts the pinned cargo-fuzz where it touches nothing of the user's, and says where it is.
fn install() -> Result<PathBuf> {
    let root = target()?.join("tools");
    let cargo_fuzz = root.join("bin/cargo-fuzz");
    let installed = Command::new(&cargo_fuzz).arg("--version").output();
    let wanted = format!("cargo-fuzz {CARGO_FUZZ_VERSION}");
    if !installed.is_ok_and(|output| output.stdout.trim_ascii() == wanted.as_bytes()) {
        eprintln!("xtask: installing {wanted} into {}", root.display());
        let install = ["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ_VERSION];
        run(cargo().args(install).arg("--root").arg(&root))?;
    }
    Ok(cargo_fuzz)
}

//! `cargo xtask ebpf`: the kernel program, whose object file is checked in because the compiler it
//! takes is not on most machines.
//!
//! The same sources and compiler make the same bytes, in whatever directory they lie.

pub(crate) mod rustc;
mod sources;
mod toolchain;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::workspace::{self, run, target};
use toolchain::Toolchain;

/// What gomon is built with.
const OBJECT: &str = "gomon/ebpf/gomon.o";
/// The hash of the sources that the object was built from.
const RECORD: &str = "gomon/ebpf/gomon.o.sources";

#[derive(Args)]
pub(crate) struct Options {
    /// Build nothing: fail when the object is older than its sources
    #[arg(long)]
    check: bool,
}

pub(crate) fn execute(options: &Options) -> Result<()> {
    if options.check { check() } else { build() }
}

/// Whether `build` finds all it needs.
pub(crate) fn can_build() -> Result<bool> {
    Ok(Toolchain::find()?.is_some())
}

/// Has all there that `build` needs, and installs what is not.
pub(crate) fn prepare() -> Result<()> {
    Toolchain::find_or_install()?.cargo().map(drop)
}

/// Fails when the sources are no longer those the object was built from.
pub(crate) fn check() -> Result<()> {
    let recorded = fs::read_to_string(RECORD).unwrap_or_default();
    if recorded.trim() != sources::hash(workspace::root())? {
        bail!("{OBJECT} was not built from the sources as they are: run cargo xtask ebpf");
    }
    Ok(())
}

/// Builds the object and puts it in its place, where it is touched only when it differs.
pub(crate) fn build() -> Result<()> {
    let toolchain = Toolchain::find_or_install()?;
    // Before the build: what is edited meanwhile then counts as newer than the object.
    let sources = sources::hash(workspace::root())?;

    let directory = workspace::root().join(target()?).join("ebpf");
    let mut cargo = toolchain.cargo()?;
    cargo.args(["build", "--release", "--locked"]);
    cargo.current_dir("gomon-ebpf").env("CARGO_TARGET_DIR", &directory);
    rustc::wrap(&mut cargo)?;
    eprintln!("xtask: ebpf: building with {}", toolchain.name());
    run(&mut cargo)?;

    let linked = directory.join("bpfel-unknown-none/release/gomon");
    let stripped = directory.join("gomon.o");
    // Leaves BTF, which the kernel reads.
    let mut objcopy = toolchain.objcopy()?;
    run(objcopy.arg("--strip-debug").arg(&linked).arg(&stripped))?;

    let object = fs::read(&stripped).with_context(|| format!("read {}", stripped.display()))?;
    if put(OBJECT, &object)? {
        eprintln!("xtask: ebpf: {OBJECT} was another one: the one just built is in its place");
    } else {
        eprintln!("xtask: ebpf: {OBJECT} is what was just built");
    }
    put(RECORD, format!("{sources}\n").as_bytes())?;
    Ok(())
}

/// Gives a file these contents, whole or not at all, and says whether it had others.
fn put(path: &str, contents: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|there| there == contents) {
        return Ok(false);
    }
    let unfinished = PathBuf::from(format!("{path}.part"));
    let attempt = || -> Result<()> {
        if let Some(directory) = Path::new(path).parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&unfinished, contents)?;
        Ok(fs::rename(&unfinished, path)?)
    };
    attempt().with_context(|| format!("write {path}"))?;
    Ok(true)
}

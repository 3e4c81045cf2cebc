//! `cargo xtask ebpf`: builds the kernel program. Its object file is checked in, because most machines lack the
//! compiler for it.
//!
//! The build is reproducible: the same sources and compiler make the same bytes in any directory.

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

/// The object that gomon is built with.
const OBJECT: &str = "gomon/ebpf/gomon.o";
/// The hash of the sources that the object was built from.
const RECORD: &str = "gomon/ebpf/gomon.o.sources";

#[derive(Args)]
pub(crate) struct EbpfArgs {
    /// Build nothing; fail if the object was built from other sources
    #[arg(long)]
    check: bool,
}

pub(crate) fn execute(args: &EbpfArgs) -> Result<()> {
    if args.check { check() } else { build() }
}

/// Whether everything that [`build`] needs is installed.
pub(crate) fn can_build() -> Result<bool> {
    Ok(Toolchain::find()?.is_some())
}

/// Installs what [`build`] needs and is missing.
pub(crate) fn prepare() -> Result<()> {
    Toolchain::find_or_install()?.cargo().map(drop)
}

/// Fails when the sources differ from those that the object was built from.
pub(crate) fn check() -> Result<()> {
    let recorded = fs::read_to_string(RECORD).unwrap_or_default();
    if recorded.trim() != sources::hash(workspace::root())? {
        bail!("{OBJECT} was built from other sources: run cargo xtask ebpf");
    }
    Ok(())
}

/// Builds the object. The file is written only when its contents change.
pub(crate) fn build() -> Result<()> {
    let toolchain = Toolchain::find_or_install()?;
    // Hashed before the build, so that an edit during the build makes the object outdated.
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
    // Keeps BTF, which the kernel reads.
    let mut objcopy = toolchain.objcopy()?;
    run(objcopy.arg("--strip-debug").arg(&linked).arg(&stripped))?;

    let object = fs::read(&stripped).with_context(|| format!("read {}", stripped.display()))?;
    if write_if_changed(OBJECT, &object)? {
        eprintln!("xtask: ebpf: {OBJECT} has changed");
    } else {
        eprintln!("xtask: ebpf: {OBJECT} is unchanged");
    }
    write_if_changed(RECORD, format!("{sources}\n").as_bytes())?;
    Ok(())
}

/// Writes a file atomically, unless it has these contents already. Returns whether it was written.
fn write_if_changed(path: &str, contents: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|current| current == contents) {
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

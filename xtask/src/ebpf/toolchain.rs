//! The compiler for the kernel program: rustup's nightly, or Debian's with nightly features enabled
//! (`RUSTC_BOOTSTRAP`). Each includes the sources of `core`, which is not distributed for BPF targets.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    prerequisites,
    workspace::{self, cargo, run, target},
};

/// Its LLVM must be no older than the compiler's.
const BPF_LINKER_VERSION: &str = "0.13.0";
const LLVM: &str = "/usr/lib/llvm-22";

/// Variables that the calling cargo sets, or that configure it. They must not reach another cargo.
const NOT_INHERITED: &[&str] = &[
    "CARGO",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];
const NOT_INHERITED_FROM: &[&str] =
    &["CARGO_BUILD_", "CARGO_ENCODED_", "CARGO_PROFILE_", "CARGO_TARGET_", "CARGO_UNSTABLE_"];

pub(super) enum Toolchain {
    /// rustup's nightly with the component rust-src.
    Nightly {
        sysroot: PathBuf,
    },
    Debian,
}

impl Toolchain {
    /// Returns the compiler on this machine. bpf-linker for Debian's is built on first use.
    pub(super) fn find() -> Result<Option<Self>> {
        let linker = bpf_linker()?.exists() || prerequisites::has_program("bpf-linker");
        Ok(match nightly_with_sources() {
            Some(sysroot) if linker => Some(Self::Nightly { sysroot }),
            _ => prerequisites::has_ebpf().then_some(Self::Debian),
        })
    }

    pub(super) fn find_or_install() -> Result<Self> {
        if let Some(found) = Self::find()? {
            return Ok(found);
        }
        prerequisites::for_ebpf()?;
        Ok(Self::Debian)
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Nightly { .. } => "rustup's nightly",
            Self::Debian => "Debian's rustc",
        }
    }

    /// Returns a command for its cargo, with the environment for a build.
    pub(super) fn cargo(&self) -> Result<Command> {
        let mut command = match self {
            Self::Nightly { .. } => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", "cargo"]);
                scrub(&mut command);
                command
            }
            Self::Debian => {
                install_bpf_linker()?;
                let mut command = Command::new("/usr/bin/cargo");
                scrub(&mut command);
                command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
                command
            }
        };
        let tools = bpf_linker()?.parent().map(Path::to_path_buf);
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(tools.into_iter().chain(env::split_paths(&path)))
            .context("add bpf-linker to PATH")?;
        command.env("PATH", path);
        // Fixed, so that builds are the same on every machine. The program does not depend on it.
        command.env("AYA_BPF_TARGET_ARCH", "x86_64");
        Ok(command)
    }

    /// Returns a program that removes debug sections from object files.
    pub(super) fn objcopy(&self) -> Result<Command> {
        if let Self::Nightly { sysroot } = self {
            let host = format!("{}-unknown-linux-gnu", env::consts::ARCH);
            let own = sysroot.join("lib/rustlib").join(host).join("bin/rust-objcopy");
            if own.exists() {
                let mut command = Command::new(own);
                command.env("LD_LIBRARY_PATH", sysroot.join("lib")); // it has no RPATH to its libraries
                return Ok(command);
            }
        }
        let mut candidates = vec![Path::new(LLVM).join("bin/llvm-objcopy")];
        let path = env::var_os("PATH").unwrap_or_default();
        candidates.extend(env::split_paths(&path).map(|directory| directory.join("llvm-objcopy")));
        candidates
            .into_iter()
            .find(|program| program.exists())
            .map(Command::new)
            .context("find llvm-objcopy: not found: install the Debian package llvm")
    }
}

/// Returns the sysroot of rustup's nightly, if it has the sources of `core`.
fn nightly_with_sources() -> Option<PathBuf> {
    let mut rustc = Command::new("rustup");
    rustc.args(["run", "nightly", "rustc", "--print", "sysroot"]);
    scrub(&mut rustc);
    let output = rustc.output().ok().filter(|output| output.status.success())?;
    let sysroot = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    sysroot.join("lib/rustlib/src/rust/library").exists().then_some(sysroot)
}

/// The path to which [`install_bpf_linker`] installs it.
fn bpf_linker() -> Result<PathBuf> {
    Ok(workspace::root().join(target()?).join("tools/bin/bpf-linker"))
}

fn install_bpf_linker() -> Result<()> {
    let installed = Command::new(bpf_linker()?).arg("--version").output();
    let expected = format!("bpf-linker {BPF_LINKER_VERSION}");
    if installed.is_ok_and(|output| output.stdout.trim_ascii() == expected.as_bytes()) {
        return Ok(());
    }
    let root = target()?.join("tools");
    eprintln!("xtask: installing {expected} into {}: takes minutes", root.display());
    let mut install = cargo();
    install.args(["install", "bpf-linker", "--locked", "--version", BPF_LINKER_VERSION]);
    install.args(["--no-default-features", "--features", "llvm-22"]);
    install.arg("--root").arg(&root);
    run(install.env("LLVM_PREFIX", LLVM).env("LLVM_SYS_221_PREFIX", LLVM))
}

fn scrub(command: &mut Command) {
    let variables = env::vars_os().map(|(name, _)| name);
    for name in variables.filter(|name| name.to_str().is_some_and(is_not_inherited)) {
        command.env_remove(name);
    }
}

fn is_not_inherited(name: &str) -> bool {
    NOT_INHERITED.contains(&name)
        || NOT_INHERITED_FROM.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_calling_cargo_are_removed_and_its_network_settings_kept() {
        for name in ["RUSTUP_TOOLCHAIN", "CARGO", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
            assert!(is_not_inherited(name), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_HTTP_PROXY", "CARGO_NET_OFFLINE", "PATH"] {
            assert!(!is_not_inherited(name), "{name}");
        }
    }
}

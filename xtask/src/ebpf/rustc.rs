//! This program between cargo and rustc.
//!
//! Cargo tells crates apart by a hash, which for a crate outside the workspace, as gomon-common is
//! for gomon-ebpf, covers the directory it lies in. rustc puts that hash into the name of every
//! function, and so it would get into the object. Here the crates' names take its place.

use std::{env, ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

/// In the environment when this program is started in rustc's place.
const VARIABLE: &str = "GOMON_XTASK_WRAPS_RUSTC";
const CRATES: [&str; 2] = ["gomon", "gomon_common"];

/// Makes cargo start this program for every rustc.
pub(super) fn wrap(cargo: &mut Command) -> Result<()> {
    let this = env::current_exe().context("find this program")?;
    cargo.env("RUSTC_WRAPPER", this).env(VARIABLE, "1");
    Ok(())
}

/// Becomes rustc when that is what cargo wants; returns when it is not, or with what went wrong.
pub(crate) fn become_if_asked() -> Result<()> {
    if env::var_os(VARIABLE).is_none() {
        return Ok(());
    }
    let mut words = env::args_os().skip(1);
    let rustc = words.next().context("wrap rustc: cargo did not name it")?;
    let error = Command::new(&rustc).args(named(words.collect())).exec();
    Err(error).with_context(|| format!("start {}", rustc.display()))
}

/// The arguments, with a hash that is the same everywhere.
fn named(mut args: Vec<OsString>) -> Vec<OsString> {
    let name = args.iter().skip_while(|arg| *arg != "--crate-name").nth(1);
    let Some(name) = CRATES.into_iter().find(|ours| name.is_some_and(|name| name == ours)) else {
        return args;
    };
    for arg in &mut args {
        if arg.as_encoded_bytes().starts_with(b"metadata=") {
            *arg = format!("metadata={name}").into();
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named_words(line: &str) -> String {
        let args = named(line.split(' ').map(OsString::from).collect());
        args.join(" ".as_ref()).into_string().unwrap()
    }

    #[test]
    fn our_crates_are_known_by_name() {
        let line = "--crate-name gomon_common -C metadata=9a5e -C extra-filename=-9a5e";
        let wanted = "--crate-name gomon_common -C metadata=gomon_common -C extra-filename=-9a5e";
        assert_eq!(named_words(line), wanted);
    }

    #[test]
    fn what_is_not_ours_stays() {
        for line in ["--crate-name aya_ebpf -C metadata=9a5e", "-vV", "--crate-name"] {
            assert_eq!(named_words(line), line);
        }
    }
}

//! This program as a wrapper of rustc.
//!
//! Cargo distinguishes crates by a hash. For a crate outside the workspace, as gomon-common is for gomon-ebpf, the
//! hash covers the crate's directory. rustc mangles it into the name of every function, so the object would
//! depend on the directory. The wrapper replaces the hash with the crate's name.

use std::{env, ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

/// Set in the environment when this program is started instead of rustc.
const VARIABLE: &str = "GOMON_XTASK_WRAPS_RUSTC";
const CRATES: [&str; 2] = ["gomon", "gomon_common"];

/// Makes cargo start this program instead of rustc.
pub(super) fn wrap(cargo: &mut Command) -> Result<()> {
    let this = env::current_exe().context("find this program")?;
    cargo.env("RUSTC_WRAPPER", this).env(VARIABLE, "1");
    Ok(())
}

/// Executes rustc when cargo started this program as its wrapper. Returns otherwise, or with an error.
pub(crate) fn exec_if_requested() -> Result<()> {
    if env::var_os(VARIABLE).is_none() {
        return Ok(());
    }
    let mut words = env::args_os().skip(1);
    let rustc = words.next().context("wrap rustc: cargo did not name it")?;
    let error = Command::new(&rustc).args(with_fixed_metadata(words.collect())).exec();
    Err(error).with_context(|| format!("start {}", rustc.display()))
}

/// Replaces the hash in the arguments with one that is the same in every directory.
fn with_fixed_metadata(mut args: Vec<OsString>) -> Vec<OsString> {
    let name = args.iter().skip_while(|arg| *arg != "--crate-name").nth(1);
    let Some(name) = CRATES.into_iter().find(|own| name.is_some_and(|name| name == own)) else {
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

    fn fixed(line: &str) -> String {
        let args = with_fixed_metadata(line.split(' ').map(OsString::from).collect());
        args.join(" ".as_ref()).into_string().unwrap()
    }

    #[test]
    fn the_metadata_of_the_projects_crates_is_their_name() {
        let line = "--crate-name gomon_common -C metadata=9a5e -C extra-filename=-9a5e";
        let expected = "--crate-name gomon_common -C metadata=gomon_common -C extra-filename=-9a5e";
        assert_eq!(fixed(line), expected);
    }

    #[test]
    fn other_crates_are_unchanged() {
        for line in ["--crate-name aya_ebpf -C metadata=9a5e", "-vV", "--crate-name"] {
            assert_eq!(fixed(line), line);
        }
    }
}

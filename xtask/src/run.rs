//! `cargo xtask run ARGS`: gomon as it is released, as if it had been typed, and with the rights it
//! needs to count on an interface.

use std::{
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{prerequisites, workspace};

/// What a process without root's rights counts with.
const CAPABILITIES: &str = "cap_bpf,cap_net_admin,cap_perfmon,cap_net_raw=ep";

/// Becomes gomon, so that signals, streams and the exit status are its own. Returns only when that
/// fails.
pub(crate) fn gomon(args: &[OsString], called_from: &Path) -> Result<()> {
    prerequisites::for_building()?;
    let gomon = workspace::root().join(workspace::build_gomon()?);
    let root = rustix::process::geteuid().is_root();
    let interface = Path::new("/sys/class/net");
    let live = names_an_interface(args, |name| {
        !called_from.join(name).exists() && interface.join(name).exists()
    });
    let mut command = Command::new(&gomon);
    if live && !root && prerequisites::has_program("sudo") {
        command = Command::new("sudo");
        command.arg(&gomon);
    } else if live && !root {
        // With capabilities of its own the program is not refused.
        eprintln!(
            "xtask: not root, and no sudo: if gomon is refused, have root type: setcap \
             {CAPABILITIES} {}",
            gomon.display()
        );
    }
    let error = command
        .args(args)
        .current_dir(called_from) // paths among the arguments are the caller's
        .exec();
    Err(error).with_context(|| format!("start {}", command.get_program().display()))
}

/// Whether gomon is to count on an interface. Which argument is the input only gomon can tell; an
/// interface that is the value of a flag costs a password at worst.
fn names_an_interface(args: &[OsString], is_interface: impl Fn(&OsStr) -> bool) -> bool {
    args.iter().any(|arg| !arg.as_encoded_bytes().starts_with(b"-") && is_interface(arg))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_asked_for_where_an_interface_is_named() {
        let live = |line: &str| {
            let args: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
            names_an_interface(&args, |name| name == "vnet0")
        };
        assert!(live("vnet0 10.10.0.20") && live("--window 1 vnet0 10.10.0.20"));
        assert!(!live("vnet0.pcap 10.10.0.20 --quiet") && !live("- any") && !live("--help"));
    }
}

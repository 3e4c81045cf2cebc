//! `cargo xtask run ARGS`: runs gomon's release build, with the capabilities it needs to count on an interface.

use std::{
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{prerequisites, workspace};

/// The capabilities with which a process that is not root can count.
const CAPABILITIES: &str = "cap_bpf,cap_net_admin,cap_perfmon,cap_net_raw=ep";

/// Replaces this process by gomon, so that signals, streams and the exit status are gomon's. Returns only on
/// failure.
pub(crate) fn gomon(args: &[OsString], called_from: &Path) -> Result<()> {
    prerequisites::for_building()?;
    let gomon = workspace::root().join(workspace::build_gomon()?);
    let root = rustix::process::geteuid().is_root();
    let interface = Path::new("/sys/class/net");
    let live = names_interface(args, |name| {
        !called_from.join(name).exists() && interface.join(name).exists()
    });
    let mut command = Command::new(&gomon);
    if live && !root && prerequisites::has_program("sudo") {
        command = Command::new("sudo");
        command.arg(&gomon);
    } else if live && !root {
        // gomon can work if its file has capabilities.
        eprintln!(
            "xtask: not root, and no sudo: if gomon lacks capabilities, type as root: setcap \
             {CAPABILITIES} {}",
            gomon.display()
        );
    }
    let error = command
        .args(args)
        .current_dir(called_from) // paths in the arguments are relative to it
        .exec();
    Err(error).with_context(|| format!("start {}", command.get_program().display()))
}

/// Whether an argument is the name of an interface. Only gomon knows which argument is the input. If a flag's value
/// is an interface, sudo is used needlessly.
fn names_interface(args: &[OsString], is_interface: impl Fn(&OsStr) -> bool) -> bool {
    args.iter().any(|arg| !arg.as_encoded_bytes().starts_with(b"-") && is_interface(arg))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_among_the_arguments_is_found() {
        let live = |line: &str| {
            let args: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
            names_interface(&args, |name| name == "vnet0")
        };
        assert!(live("vnet0 10.10.0.20") && live("--window 1 vnet0 10.10.0.20"));
        assert!(!live("vnet0.pcap 10.10.0.20 --quiet") && !live("- any") && !live("--help"));
    }
}

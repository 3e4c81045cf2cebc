//! What must be on the machine besides Rust: installs what is missing where it may, and otherwise
//! says in one line what to type.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    vm::debian::KEYRING,
    workspace::{describe, output},
};

/// Something to be found on the machine, and the Debian package it comes with.
#[derive(Clone, Copy)]
struct Need {
    file: File,
    package: &'static str,
}

#[derive(Clone, Copy)]
enum File {
    /// A program, looked for in `PATH`.
    Program(&'static str),
    /// A C header, looked for where compilers do.
    Header(&'static str),
    /// Something that lies in one place only.
    At(&'static str),
}

/// The packages are named in `.cargo/cc` too, which runs before this.
const BUILD: &[Need] = &[
    need(File::Program("cc"), "gcc"),
    need(File::Header("stdio.h"), "libc6-dev"),
    need(File::Header("pcap/pcap.h"), "libpcap-dev"),
];
/// Artifacts are read back with both readers, libFuzzer is C++, live tests make networks of their own and
/// send real frames in them, and instructions are counted.
const TESTS: &[Need] = &[
    need(File::Program("tcpdump"), "tcpdump"),
    need(File::Program("tshark"), "tshark"),
    need(File::Program("c++"), "g++"),
    need(File::Program("ip"), "iproute2"),
    need(File::Program("tcpreplay"), "tcpreplay"),
    need(File::Program("ethtool"), "ethtool"),
    need(File::Program("valgrind"), "valgrind"),
];
const BENCH: &[Need] = &[
    need(File::Program("tcpdump"), "tcpdump"),
    need(File::Program("time"), "time"),
    need(File::Program("zstd"), "zstd"),
    need(File::Program("gzip"), "gzip"),
];
const BENCH_LIVE: &[Need] =
    &[need(File::Program("tcpdump"), "tcpdump"), need(File::Program("ip"), "iproute2")];
/// Virtual machines, and what their kernels are fetched and unpacked with.
const MACHINES: &[Need] = &[
    need(File::Program("qemu-system-x86_64"), "qemu-system-x86"),
    need(File::At(KEYRING), "debian-archive-keyring"),
    need(File::Program("dpkg"), "dpkg"),
    need(File::Program("strip"), "binutils"),
    need(File::Program("xz"), "xz-utils"),
];
/// What is packed into them.
const PACKED: &[Need] =
    &[need(File::Program("ip"), "iproute2"), need(File::Program("tcpreplay"), "tcpreplay")];
/// Debian's compiler for the kernel's side, and what its linker is built with.
const EBPF: &[Need] = &[
    need(File::At("/usr/bin/rustc"), "rustc-web"),
    need(File::At("/usr/bin/cargo"), "cargo-web"),
    need(File::At("/usr/lib/rustlib/src/rust/library/core/Cargo.toml"), "rust-web-src"),
    need(File::At("/usr/lib/llvm-22/include/llvm/Config/llvm-config.h"), "llvm-22-dev"),
    need(File::At("/usr/lib/llvm-22/lib/libPolly.a"), "libpolly-22-dev"),
    need(File::Header("zstd.h"), "libzstd-dev"),
    need(File::Header("zlib.h"), "zlib1g-dev"),
];

const fn need(file: File, package: &'static str) -> Need {
    Need { file, package }
}

pub(crate) fn for_building() -> Result<()> {
    install(BUILD)
}

/// Tests that find a tool missing skip themselves, so its absence is no reason to stop. In CI it
/// is: a skipped test there is one that nobody runs.
pub(crate) fn for_testing() -> Result<()> {
    match install(&[BUILD, TESTS, MACHINES].concat()) {
        Err(error) if missing(BUILD, Path::exists).is_empty() && !in_ci() => {
            eprintln!("xtask: {error:#}");
            eprintln!("xtask: going on without: tests that want more are SKIPPED");
            Ok(())
        }
        outcome => outcome,
    }
}

pub(crate) fn for_kernels() -> Result<()> {
    install(&[BUILD, MACHINES, PACKED].concat())
}

/// Whether virtual machines can be made here.
pub(crate) fn has_machines() -> bool {
    missing(&[MACHINES, PACKED].concat(), Path::exists).is_empty()
}

pub(crate) fn for_measuring() -> Result<()> {
    install(&[BUILD, BENCH].concat())
}

pub(crate) fn for_measuring_live() -> Result<()> {
    install(&[BUILD, BENCH_LIVE].concat())
}

pub(crate) fn for_ebpf() -> Result<()> {
    install(&[BUILD, EBPF].concat())
}

/// Fails where this machine's distribution has not got what `for_ebpf` installs.
pub(crate) fn offers_ebpf() -> Result<()> {
    let mut lacking = missing(EBPF, Path::exists);
    if has_program("apt-get") {
        apt_get(&["update"])?;
        lacking
            .retain(|need| output(Command::new("apt-cache").args(["show", need.package])).is_err());
    }
    let lacking: Vec<_> = lacking.iter().map(|need| need.package).collect();
    ensure!(lacking.is_empty(), "this distribution has no {}", lacking.join(", no "));
    Ok(())
}

/// Whether `for_ebpf` has nothing to add for the kernel's side.
pub(crate) fn has_ebpf() -> bool {
    missing(EBPF, Path::exists).is_empty()
}

pub(crate) fn has_program(name: &'static str) -> bool {
    File::Program(name).places().iter().any(|place| place.exists())
}

/// Whether this is a CI run, by the variable CI services set.
pub(crate) fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "false" | "0"))
}

fn install(needs: &[Need]) -> Result<()> {
    let missing = missing(needs, Path::exists);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|need| need.file.name()).collect();
    let attempt = format!("look for {}: not found", names.join(", "));
    let packages: Vec<_> = missing.iter().map(|need| need.package).collect();
    let listed = packages.join(" ");
    if !has_program("apt-get") {
        bail!("{attempt}: install what Debian has in: {listed}");
    }
    if !rustix::process::geteuid().is_root() {
        let install = format!("apt-get install -y {listed}");
        if has_program("sudo") {
            bail!("{attempt}: type: sudo apt-get update && sudo {install}");
        }
        bail!("{attempt}: as root, type: apt-get update && {install}");
    }
    eprintln!("xtask: installing {listed}");
    apt_get(&["update"])?;
    apt_get(&[&["install", "-y", "--no-install-recommends"], &packages[..]].concat())
}

/// What apt-get says is of interest only when it fails.
fn apt_get(args: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    let attempt = format!("run `{}`", describe(&command));
    let output = command.output().with_context(|| attempt.clone())?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        bail!("{attempt}: {}: its output is above", output.status);
    }
    Ok(())
}

fn missing(needs: &[Need], exists: impl Fn(&Path) -> bool) -> Vec<Need> {
    let found = |need: &Need| need.file.places().iter().any(|place| exists(place));
    needs.iter().copied().filter(|need| !found(need)).collect()
}

impl File {
    fn name(self) -> &'static str {
        match self {
            Self::Program(name) | Self::Header(name) | Self::At(name) => name,
        }
    }

    /// Where it would lie.
    fn places(self) -> Vec<PathBuf> {
        let directories: Vec<PathBuf> = match self {
            Self::Program(_) => {
                let path = env::var_os("PATH").unwrap_or_default();
                // Where Debian has ethtool, and which is not in the PATH of a plain user there.
                env::split_paths(&path).chain(["/usr/sbin".into()]).collect()
            }
            Self::Header(_) => vec![
                "/usr/include".into(),
                format!("/usr/include/{}-linux-gnu", env::consts::ARCH).into(),
                "/usr/local/include".into(),
            ],
            Self::At(path) => return vec![path.into()],
        };
        directories.iter().map(|directory| directory.join(self.name())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages_when_present(needs: &[Need], present: &[&str]) -> Vec<&'static str> {
        missing(needs, |path| present.iter().any(|file| path.ends_with(file)))
            .iter()
            .map(|need| need.package)
            .collect()
    }

    #[test]
    fn a_bare_machine_gets_everything() {
        assert_eq!(packages_when_present(BUILD, &[]), ["gcc", "libc6-dev", "libpcap-dev"]);
        assert_eq!(
            packages_when_present(TESTS, &[]),
            ["tcpdump", "tshark", "g++", "iproute2", "tcpreplay", "ethtool", "valgrind"]
        );
        let ebpf =
            "rustc-web cargo-web rust-web-src llvm-22-dev libpolly-22-dev libzstd-dev zlib1g-dev";
        assert_eq!(packages_when_present(EBPF, &[]).join(" "), ebpf);
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let present = ["bin/cc", "/usr/include/stdio.h", "/usr/include/pcap/pcap.h"];
        assert_eq!(packages_when_present(BUILD, &present[..2]), ["libpcap-dev"]);
        assert!(packages_when_present(BUILD, &present).is_empty());
    }

    #[test]
    fn headers_of_the_machines_own_architecture_count() {
        let header = format!("/usr/include/{}-linux-gnu/pcap/pcap.h", env::consts::ARCH);
        assert_eq!(packages_when_present(BUILD, &[&header]), ["gcc", "libc6-dev"]);
    }

    #[test]
    fn the_linker_installs_what_builds_need() {
        let linker = include_str!("../../.cargo/cc");
        let packages = packages_when_present(BUILD, &[]).join(" ");
        assert!(linker.contains(&format!("\npackages=\"{packages}\" ")), "{packages}");
    }
}

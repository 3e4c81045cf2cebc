//! The programs and libraries that a command needs in addition to Rust. Root installs missing ones; otherwise the
//! command to type is printed on one line.

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

/// A required file, and the Debian package that contains it.
#[derive(Clone, Copy)]
struct Requirement {
    file: File,
    package: &'static str,
}

#[derive(Clone, Copy)]
enum File {
    /// A program in `PATH`.
    Program(&'static str),
    /// A C header in the search path of compilers.
    Header(&'static str),
    /// A file with a fixed path.
    At(&'static str),
}

/// `.cargo/cc` names the same packages: it runs before this program is built.
const BUILD: &[Requirement] = &[
    need(File::Program("cc"), "gcc"),
    need(File::Header("stdio.h"), "libc6-dev"),
    need(File::Header("pcap/pcap.h"), "libpcap-dev"),
];
/// tcpdump and tshark read artifacts, libFuzzer needs C++, live tests create network namespaces and send frames in
/// them, and valgrind counts instructions.
const TESTS: &[Requirement] = &[
    need(File::Program("tcpdump"), "tcpdump"),
    need(File::Program("tshark"), "tshark"),
    need(File::Program("c++"), "g++"),
    need(File::Program("ip"), "iproute2"),
    need(File::Program("tcpreplay"), "tcpreplay"),
    need(File::Program("ethtool"), "ethtool"),
    need(File::Program("valgrind"), "valgrind"),
];
const BENCH: &[Requirement] = &[
    need(File::Program("tcpdump"), "tcpdump"),
    need(File::Program("time"), "time"),
    need(File::Program("zstd"), "zstd"),
    need(File::Program("gzip"), "gzip"),
];
const BENCH_LIVE: &[Requirement] =
    &[need(File::Program("tcpdump"), "tcpdump"), need(File::Program("ip"), "iproute2")];
/// For running virtual machines, and for fetching and unpacking their kernels.
const MACHINES: &[Requirement] = &[
    need(File::Program("qemu-system-x86_64"), "qemu-system-x86"),
    need(File::At(KEYRING), "debian-archive-keyring"),
    need(File::Program("dpkg"), "dpkg"),
    need(File::Program("strip"), "binutils"),
    need(File::Program("xz"), "xz-utils"),
];
/// Programs that are packed into the virtual machines.
const PACKED: &[Requirement] =
    &[need(File::Program("ip"), "iproute2"), need(File::Program("tcpreplay"), "tcpreplay")];
/// Debian's compiler for the kernel program, and what bpf-linker is built with.
const EBPF: &[Requirement] = &[
    need(File::At("/usr/bin/rustc"), "rustc-web"),
    need(File::At("/usr/bin/cargo"), "cargo-web"),
    need(File::At("/usr/lib/rustlib/src/rust/library/core/Cargo.toml"), "rust-web-src"),
    need(File::At("/usr/lib/llvm-22/include/llvm/Config/llvm-config.h"), "llvm-22-dev"),
    need(File::At("/usr/lib/llvm-22/lib/libPolly.a"), "libpolly-22-dev"),
    need(File::Header("zstd.h"), "libzstd-dev"),
    need(File::Header("zlib.h"), "zlib1g-dev"),
];

const fn need(file: File, package: &'static str) -> Requirement {
    Requirement { file, package }
}

pub(crate) fn for_building() -> Result<()> {
    install(BUILD)
}

/// A missing tool does not prevent testing, because the tests that need it are skipped. In CI it is an error: a
/// test that is skipped there is never run.
pub(crate) fn for_testing() -> Result<()> {
    match install(&[BUILD, TESTS, MACHINES].concat()) {
        Err(error) if missing(BUILD, Path::exists).is_empty() && !in_ci() => {
            eprintln!("xtask: {error:#}");
            eprintln!("xtask: continuing: tests that need the missing packages are SKIPPED");
            Ok(())
        }
        outcome => outcome,
    }
}

pub(crate) fn for_kernels() -> Result<()> {
    install(&[BUILD, MACHINES, PACKED].concat())
}

/// Whether everything for virtual machines is installed.
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

/// Fails when this machine's distribution lacks a package that [`for_ebpf`] installs.
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

/// Whether everything that [`for_ebpf`] installs for the kernel program is installed.
pub(crate) fn has_ebpf() -> bool {
    missing(EBPF, Path::exists).is_empty()
}

pub(crate) fn has_program(name: &'static str) -> bool {
    File::Program(name).candidates().iter().any(|path| path.exists())
}

/// Whether this is a CI run, by the variable that CI services set.
pub(crate) fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "false" | "0"))
}

fn install(needs: &[Requirement]) -> Result<()> {
    let missing = missing(needs, Path::exists);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|need| need.file.name()).collect();
    let attempt = format!("find {}: not found", names.join(", "));
    let packages: Vec<_> = missing.iter().map(|need| need.package).collect();
    let listed = packages.join(" ");
    if !has_program("apt-get") {
        bail!("{attempt}: install the Debian packages {listed}");
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

/// Runs apt-get. Its output is printed only when it fails.
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

fn missing(needs: &[Requirement], exists: impl Fn(&Path) -> bool) -> Vec<Requirement> {
    let found = |need: &Requirement| need.file.candidates().iter().any(|path| exists(path));
    needs.iter().copied().filter(|need| !found(need)).collect()
}

impl File {
    fn name(self) -> &'static str {
        match self {
            Self::Program(name) | Self::Header(name) | Self::At(name) => name,
        }
    }

    /// The paths at which it can be.
    fn candidates(self) -> Vec<PathBuf> {
        let directories: Vec<PathBuf> = match self {
            Self::Program(_) => {
                let path = env::var_os("PATH").unwrap_or_default();
                // Debian has ethtool there, and the directory is not in the PATH of an ordinary user.
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

    fn packages_when_present(needs: &[Requirement], present: &[&str]) -> Vec<&'static str> {
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
    fn installed_packages_are_not_installed_again() {
        let present = ["bin/cc", "/usr/include/stdio.h", "/usr/include/pcap/pcap.h"];
        assert_eq!(packages_when_present(BUILD, &present[..2]), ["libpcap-dev"]);
        assert!(packages_when_present(BUILD, &present).is_empty());
    }

    #[test]
    fn headers_of_the_machines_architecture_are_found() {
        let header = format!("/usr/include/{}-linux-gnu/pcap/pcap.h", env::consts::ARCH);
        assert_eq!(packages_when_present(BUILD, &[&header]), ["gcc", "libc6-dev"]);
    }

    #[test]
    fn the_linker_script_names_the_packages_for_building() {
        let linker = include_str!("../../.cargo/cc");
        let packages = packages_when_present(BUILD, &[]).join(" ");
        assert!(linker.contains(&format!("\npackages=\"{packages}\" ")), "{packages}");
    }
}

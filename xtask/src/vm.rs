//! Virtual machines of real Debian kernels: a kernel fetched, a root file system of a few programs
//! packed, qemu started.
//!
//! Inside the machine this very program is the first process ([`inside`]).

pub(crate) mod debian;
mod initramfs;
pub(crate) mod inside;
mod qemu;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::workspace::{run, target};
use debian::Kernel;
pub(crate) use initramfs::Initramfs;
pub(crate) use qemu::Machine;

/// Drivers of a network card between the machine and its host.
pub(crate) const CARD: &[&str] = &["virtio_pci", "virtio_net"];

/// What the test with a bot in a virtual machine boots: `vmlinuz` and `initramfs` in `target/guest`.
pub(crate) fn prepare_guest() -> Result<()> {
    let kernel = debian::fetch(&debian::GUEST)?;
    let directory = target()?.join("guest");
    fs::create_dir_all(&directory)
        .with_context(|| format!("make the directory {}", directory.display()))?;
    let image = directory.join("vmlinuz");
    fs::copy(&kernel.image, &image).with_context(|| format!("write {}", image.display()))?;
    base(&kernel, CARD)?.write(&directory.join("initramfs"))
}

/// A root file system with this program as its first process, ip(8), and kernel modules.
pub(crate) fn base(kernel: &Kernel, modules: &[&str]) -> Result<Initramfs> {
    ensure!(
        env::consts::ARCH == "x86_64",
        "pack a virtual machine: it is an x86-64 one and this machine is not: skip it"
    );
    let mut initramfs = Initramfs::default();
    initramfs.program(&stripped()?, inside::INIT)?;
    initramfs.program(&find("ip")?, "bin/ip")?;
    initramfs.modules(kernel, modules)?;
    Ok(initramfs)
}

/// This program without what only a debugger reads, which is most of it.
fn stripped() -> Result<PathBuf> {
    let this = env::current_exe().context("find this program")?;
    let stripped = target()?.join("guest-init");
    run(Command::new("strip").arg("-o").arg(&stripped).arg(&this))?;
    Ok(stripped)
}

/// A program of this machine.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|place| Path::is_file(place));
    found.with_context(|| format!("look for {name}: not found in PATH: install it"))
}

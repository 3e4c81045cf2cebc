//! Virtual machines with Debian kernels: fetches a kernel, packs a root file system of a few programs, and starts
//! qemu.
//!
//! This program is the first process of the machine ([`guest`]).

pub(crate) mod case;
pub(crate) mod debian;
pub(crate) mod guest;
pub(crate) mod initramfs;
pub(crate) mod layout;
pub(crate) mod qemu;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::workspace::{run, target};
use debian::Kernel;
use initramfs::Initramfs;

/// Drivers of a network card between the machine and its host.
pub(crate) const CARD: &[&str] = &["virtio_pci", "virtio_net"];

/// Writes what the test with a bot in a virtual machine boots: `vmlinuz` and `initramfs` in `target/guest`.
pub(crate) fn prepare_guest() -> Result<()> {
    let kernel = debian::fetch(&debian::GUEST)?;
    let directory = target()?.join("guest");
    fs::create_dir_all(&directory)
        .with_context(|| format!("create the directory {}", directory.display()))?;
    let image = directory.join("vmlinuz");
    fs::copy(&kernel.image, &image).with_context(|| format!("write {}", image.display()))?;
    base(&kernel, CARD)?.write(&directory.join("initramfs"))
}

/// Returns a root file system with this program as its first process, ip(8), and kernel modules.
pub(crate) fn base(kernel: &Kernel, modules: &[&str]) -> Result<Initramfs> {
    ensure!(
        env::consts::ARCH == "x86_64",
        "pack a virtual machine: it needs an x86-64 host: skip it"
    );
    let mut initramfs = Initramfs::default();
    initramfs.program(&stripped()?, layout::INIT)?;
    initramfs.program(&find("ip")?, "bin/ip")?;
    initramfs.modules(kernel, modules)?;
    Ok(initramfs)
}

/// Writes a copy of this program without debug information, which is most of it.
fn stripped() -> Result<PathBuf> {
    let this = env::current_exe().context("find this program")?;
    let stripped = target()?.join("guest-init");
    run(Command::new("strip").arg("-o").arg(&stripped).arg(&this))?;
    Ok(stripped)
}

/// Finds a program of this machine.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|path| Path::is_file(path));
    found.with_context(|| format!("look for {name}: not found in PATH: install it"))
}

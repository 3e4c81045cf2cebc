//! The root file system of a virtual machine, as a cpio archive that the kernel unpacks into memory.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::debian::Kernel;
use super::layout::MODULES;
use crate::workspace::{output, text};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// Files by path, without a leading slash.
#[derive(Default)]
pub(crate) struct Initramfs(BTreeMap<String, Vec<u8>>);

impl Initramfs {
    pub(crate) fn file(&mut self, path: &str, contents: Vec<u8>) {
        self.0.insert(path.to_owned(), contents);
    }

    /// Adds a program of this machine, with its shared libraries and the dynamic loader.
    pub(crate) fn program(&mut self, program: &Path, path: &str) -> Result<()> {
        self.file(path, read(program)?);
        let listed = text(Command::new("ldd").arg(program))?;
        for library in libraries(&listed) {
            self.file(library.trim_start_matches('/'), read(Path::new(library))?);
        }
        Ok(())
    }

    /// Adds modules of a kernel, in load order: after the modules on which they depend. A module that the kernel has
    /// built in is skipped.
    pub(crate) fn modules(&mut self, kernel: &Kernel, names: &[&str]) -> Result<()> {
        let files = modules_below(&kernel.modules)
            .with_context(|| format!("list the modules in {}", kernel.modules.display()))?;
        let mut ordered = Vec::new();
        for name in names {
            with_dependencies(name, &files, &mut ordered)?;
        }
        for (position, (name, module)) in ordered.into_iter().enumerate() {
            self.file(&format!("{MODULES}/{position:02}-{name}.ko"), module);
        }
        Ok(())
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, self.archive()?).with_context(|| format!("write {}", path.display()))
    }

    /// Returns the archive in cpio's newc format, each directory before its contents.
    fn archive(&self) -> Result<Vec<u8>> {
        let mut entries: BTreeMap<&str, (u32, &[u8])> = BTreeMap::new();
        for (path, contents) in &self.0 {
            for (slash, _) in path.match_indices('/') {
                entries.insert(&path[..slash], (DIRECTORY, &[]));
            }
            entries.insert(path, (PROGRAM, contents));
        }
        let mut archive = Vec::new();
        for (path, (mode, contents)) in entries {
            append(&mut archive, path, mode, contents)?;
        }
        append(&mut archive, "TRAILER!!!", 0, &[])?;
        Ok(archive)
    }
}

fn append(archive: &mut Vec<u8>, path: &str, mode: u32, contents: &[u8]) -> Result<()> {
    let size = u32::try_from(contents.len()).with_context(|| format!("pack {path}"))?;
    let name = u32::try_from(path.len() + 1).with_context(|| format!("pack {path}"))?;
    // Inode, mode, user, group, links, time, size, four device numbers, length of the name, checksum.
    let fields = [0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name, 0];
    archive.extend(b"070701");
    for field in fields {
        archive.extend(format!("{field:08x}").bytes());
    }
    archive.extend(path.bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(contents);
    archive.resize(archive.len().next_multiple_of(4), 0);
    Ok(())
}

/// Returns the paths in the output of ldd(1).
fn libraries(output: &str) -> impl Iterator<Item = &str> {
    output.split_whitespace().filter(|word| word.starts_with('/'))
}

/// Returns every module below a folder, by its name as the kernel spells it.
fn modules_below(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if let Some((name, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
                found.insert(name.replace('-', "_"), entry.path());
            }
        }
    }
    Ok(found)
}

/// Appends a module after those on which it depends.
fn with_dependencies(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    ordered: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    let Some(path) = files.get(&name.replace('-', "_")) else { return Ok(()) };
    if ordered.iter().any(|(added, _)| added == name) {
        return Ok(());
    }
    let module = match path.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => read(path)?,
        Some("xz") => decompressed(path)?,
        _ => bail!("read the module {}: unsupported compression", path.display()),
    };
    for dependency in depends(&module) {
        with_dependencies(&dependency, files, ordered)?;
    }
    ordered.push((name.to_owned(), module));
    Ok(())
}

/// Returns the modules on which a module depends, by its own `depends` field.
fn depends(module: &[u8]) -> Vec<String> {
    const FIELD: &[u8] = b"\0depends=";
    let Some(at) = module.windows(FIELD.len()).position(|window| window == FIELD) else {
        return Vec::new();
    };
    let list = module[at + FIELD.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let list = String::from_utf8_lossy(list);
    list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn decompressed(path: &Path) -> Result<Vec<u8>> {
    output(Command::new("xz").args(["--decompress", "--stdout"]).arg(path))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_folders_before_files_and_everything_aligned_to_four_bytes() {
        let mut initramfs = Initramfs::default();
        initramfs.file("a/b/c", b"12345".to_vec());
        initramfs.file("init", vec![]);
        let archive = initramfs.archive().unwrap();
        assert_eq!(archive.len() % 4, 0);
        let text = String::from_utf8(archive).unwrap();
        let headers: Vec<_> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert!(headers.iter().all(|at| at % 4 == 0));
        let names: Vec<_> =
            headers.iter().map(|at| text[at + 110..].split('\0').next().unwrap()).collect();
        assert_eq!(names, ["a", "a/b", "a/b/c", "init", "TRAILER!!!"]);
        assert!(text[headers[2]..].starts_with(&format!("070701{:08x}{PROGRAM:08x}", 0)));
        assert!(text[headers[2] + 110..headers[3]].starts_with("a/b/c\0"), "{text:?}");
        assert!(text[..headers[3]].ends_with("12345\0\0\0"), "{text:?}");
    }

    #[test]
    fn the_dependencies_of_a_module_are_parsed() {
        let module = b"license=GPL\0depends=net_failover,failover\0name=x";
        assert_eq!(depends(module), ["net_failover", "failover"]);
        assert!(depends(b"\0depends=\0").is_empty());
    }

    #[test]
    fn libraries_are_listed_with_the_dynamic_loader() {
        let listed = "\tlinux-vdso.so.1 (0x7ffd)\n\tlibc.so.6 => /lib/libc.so.6 (0x7f)\n\t/lib64/ld.so.2 (0x7f)\n";
        assert_eq!(libraries(listed).collect::<Vec<_>>(), ["/lib/libc.so.6", "/lib64/ld.so.2"]);
    }
}

//! Debian's kernels for virtual machines, fetched from the mirror that this machine uses, with a private apt
//! configuration: nothing is installed, and the system's apt is unaffected.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::workspace::{target, text};

/// The mirror for a machine whose sources name none.
const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Depends on the newest kernel of a suite, with drivers for virtual machines only.
const META_PACKAGE: &str = "linux-image-cloud-amd64";
/// Prefixes of the packages that contain the kernel itself.
const PARTS: [&str; 3] = ["linux-image-", "linux-binary-", "linux-modules-"];

/// A release of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    /// The start of its kernel's release, or `newest`.
    pub(crate) series: &'static str,
}

pub(crate) const SUITES: [Suite; 4] = [
    Suite { name: "bullseye", series: "5.10" },
    Suite { name: "bookworm", series: "6.1" },
    Suite { name: "trixie", series: "6.12" },
    Suite { name: "forky", series: "newest" },
];

/// The suite whose kernel runs the bot in tests.
pub(crate) const GUEST: Suite = SUITES[1];

/// An unpacked kernel.
pub(crate) struct Kernel {
    /// As `uname -r` prints it.
    pub(crate) release: String,
    pub(crate) image: PathBuf,
    /// The directory of its modules.
    pub(crate) modules: PathBuf,
}

/// Returns the newest kernel of a suite. One that was fetched before is used until `target/kernels` is deleted.
pub(crate) fn fetch(suite: &Suite) -> Result<Kernel> {
    let directory = env::current_dir()?.join(target()?).join("kernels").join(suite.name);
    let root = directory.join("root");
    if !root.exists() {
        eprintln!("xtask: fetching the kernel of Debian {}", suite.name);
        let attempt = || -> Result<()> {
            let unfinished = directory.join("root.part");
            if directory.exists() {
                fs::remove_dir_all(&directory)?; // of an interrupted attempt
            }
            for folder in ["lists/partial", "cache/archives/partial", "packages", "root.part"] {
                fs::create_dir_all(directory.join(folder))?;
            }
            let apt = Apt::configure(&directory, suite)?;
            apt.run("apt-get", &["update"])?;
            let packages = apt.parts_of_kernel()?;
            let packages: Vec<_> = packages.iter().map(String::as_str).collect();
            apt.run("apt-get", &[&["download"], &packages[..]].concat())?;
            for package in fs::read_dir(directory.join("packages"))? {
                let mut unpack = Command::new("dpkg");
                text(unpack.arg("--extract").arg(package?.path()).arg(&unfinished))?;
            }
            Ok(fs::rename(&unfinished, &root)?)
        };
        attempt().with_context(|| format!("fetch the kernel of Debian {}", suite.name))?;
    }
    unpacked(&root)
}

/// An apt configuration with one suite of Debian and a directory of its own.
struct Apt {
    configuration: PathBuf,
    packages: PathBuf,
}

impl Apt {
    fn configure(directory: &Path, suite: &Suite) -> Result<Self> {
        let path = directory.display();
        let sources = format!("deb [signed-by={KEYRING}] {} {} main\n", mirror(), suite.name);
        fs::write(directory.join("sources.list"), sources)?;
        let configuration = directory.join("apt.conf");
        let settings = format!(
            r#"Dir::Etc::SourceList "{path}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "{path}/lists";
Dir::State::Status "/dev/null";
Dir::Cache "{path}/cache";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
"#
        );
        fs::write(&configuration, settings)?;
        Ok(Self { configuration, packages: directory.join("packages") })
    }

    /// Runs one of apt's programs, and returns its output.
    fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command.arg("--config-file").arg(&self.configuration).args(args);
        // `download` writes packages to the current directory.
        text(command.current_dir(&self.packages))
    }

    /// Returns the packages that contain the newest kernel, found from the meta package.
    fn parts_of_kernel(&self) -> Result<BTreeSet<String>> {
        let mut parts = BTreeSet::new();
        let mut next = vec![META_PACKAGE.to_owned()];
        while let Some(package) = next.pop() {
            for part in kernel_parts(&self.run("apt-cache", &["depends", &package])?) {
                if parts.insert(part.clone()) {
                    next.push(part);
                }
            }
        }
        ensure!(
            !parts.is_empty(),
            "find the packages on which {META_PACKAGE} depends: there are none"
        );
        Ok(parts)
    }
}

/// Returns the packages of a kernel in the output of `apt-cache depends`.
fn kernel_parts(depends: &str) -> Vec<String> {
    let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let parts = names.filter(|name| PARTS.iter().any(|part| name.starts_with(part)));
    parts.map(str::to_owned).collect()
}

/// Returns the mirror of Debian that this machine uses.
fn mirror() -> String {
    let lists = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let mut files: Vec<_> = lists.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "list" || kind == "sources"));
    files.push("/etc/apt/sources.list".into());
    files.sort();
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    let mirrors = texts.filter_map(|text| mirror_in(&text).map(str::to_owned));
    mirrors.into_iter().next().unwrap_or_else(|| DEFAULT_MIRROR.to_owned())
}

/// Returns the first address in a sources file that ends in `/debian`, as mirrors of Debian itself do.
fn mirror_in(sources: &str) -> Option<&str> {
    let lines = sources.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut addresses = lines.flat_map(str::split_whitespace).filter(|word| word.contains("://"));
    addresses.find(|address| address.trim_end_matches('/').ends_with("/debian"))
}

/// Returns the kernel in a directory into which its packages were unpacked.
fn unpacked(root: &Path) -> Result<Kernel> {
    let find = || {
        // Since Debian 13 modules are in `usr/lib`.
        let folders = ["lib/modules", "usr/lib/modules"].map(|folder| root.join(folder));
        let folders = folders.iter().filter_map(|folder| fs::read_dir(folder).ok());
        let modules = folders.flatten().flatten().next()?.path();
        let release = modules.file_name()?.to_str()?.to_owned();
        let images = [root.join(format!("boot/vmlinuz-{release}")), modules.join("vmlinuz")];
        let image = images.into_iter().find(|image| image.exists())?;
        Some(Kernel { release, image, modules })
    };
    find().with_context(|| {
        format!("find a kernel: there is none in {}: delete that directory", root.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_mirror_is_found_in_both_kinds_of_files() {
        let sources =
            "Types: deb\n# http://old.example/debian\nURIs: http://mirror.example/debian\n";
        assert_eq!(mirror_in(sources), Some("http://mirror.example/debian"));
        let list = "deb http://mirror.example/debian-security x main\n\
                    deb [arch=amd64] https://mirror.example/pub/debian/ x main\n";
        assert_eq!(mirror_in(list), Some("https://mirror.example/pub/debian/"));
        assert_eq!(mirror_in("deb http://archive.example/ubuntu noble main\n"), None);
    }

    #[test]
    fn only_the_parts_of_a_kernel_are_taken_from_its_dependencies() {
        let depends = "linux-image-7.2-amd64\n  Depends: linux-binary-7.2-amd64\n |Depends: dracut\n  \
                       Depends: linux-base\n  Suggests: linux-image-doc\n";
        assert_eq!(kernel_parts(depends), ["linux-binary-7.2-amd64"]);
    }
}

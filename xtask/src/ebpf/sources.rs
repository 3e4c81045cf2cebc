//! The hash of the sources of the object.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// Files, and directories with everything below them.
const SOURCES: &[&str] = &[
    "gomon-ebpf/Cargo.toml",
    "gomon-ebpf/Cargo.lock",
    "gomon-ebpf/.cargo/config.toml",
    "gomon-ebpf/src",
    "gomon-common/Cargo.toml",
    "gomon-common/src",
];

/// Returns the hash of all sources below the project's directory, in hexadecimal.
pub(super) fn hash(root: &Path) -> Result<String> {
    let mut files = BTreeMap::new();
    for source in SOURCES {
        collect(root, Path::new(source), &mut files)?;
    }
    Ok(digest(&files))
}

fn collect(root: &Path, source: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    let path = root.join(source);
    let attempt = || format!("read the source {}", source.display());
    if path.is_dir() {
        for entry in fs::read_dir(&path).with_context(attempt)? {
            collect(root, &source.join(entry.with_context(attempt)?.file_name()), files)?;
        }
    } else {
        files.insert(source.to_path_buf(), fs::read(&path).with_context(attempt)?);
    }
    Ok(())
}

/// Lengths are hashed too, so that a byte that moves from one file to the next changes the hash.
fn digest(files: &BTreeMap<PathBuf, Vec<u8>>) -> String {
    let mut hasher = Sha256::new();
    for (path, contents) in files {
        for part in [path.as_os_str().as_encoded_bytes(), contents] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hasher.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // writing to a string does not fail
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(files: &[(&str, &str)]) -> String {
        digest(&files.iter().map(|&(path, text)| (path.into(), text.into())).collect())
    }

    #[test]
    fn contents_paths_and_their_boundaries_change_the_hash() {
        let base = digest_of(&[("a", "one"), ("b", "two")]);
        assert_eq!(base.len(), 64);
        for other in [
            &[("a", "One"), ("b", "two")][..],
            &[("a", "one"), ("c", "two")],
            &[("a", "two"), ("b", "one")],
            &[("a", "onet"), ("b", "wo")],
            &[("a", "one")],
            &[("a", "one"), ("b", "two"), ("c", "")],
        ] {
            assert_ne!(base, digest_of(other), "{other:?}");
        }
    }

    #[test]
    fn order_does_not_change_the_hash() {
        assert_eq!(
            digest_of(&[("a", "one"), ("b", "two")]),
            digest_of(&[("b", "two"), ("a", "one")])
        );
    }

    #[test]
    fn the_hash_is_sha_256() {
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest_of(&[]), of_nothing);
    }

    #[test]
    fn every_source_exists() {
        let mut files = BTreeMap::new();
        for source in SOURCES {
            collect(crate::workspace::root(), Path::new(source), &mut files).unwrap();
        }
        for file in ["gomon-ebpf/src/main.rs", "gomon-ebpf/Cargo.lock", "gomon-common/src/lib.rs"] {
            assert!(files.contains_key(Path::new(file)), "{file}");
        }
    }
}

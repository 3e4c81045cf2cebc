//! Who may know whom. The drawing is in `ARCHITECTURE.md`; this holds it.
#![allow(clippy::expect_used, reason = "a test that can't read the sources fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What `core` may name of the standard library: no clock, file, socket, thread, process or
/// environment is among it.
const PURE: [&str; 9] = [
    "std::collections::",
    "std::mem::",
    "std::ops::",
    "std::f64::consts::",
    "std::time::Duration",
    "std::net::IpAddr",
    "std::fmt",
    "std::cmp::",
    "std::iter::",
];
/// What `core` may depend on beside it.
const PURE_CRATES: [&str; 2] = ["gomon_common", "hashbrown"];
/// A file is one subject, and one subject fits this many lines.
const LONGEST_FILE: usize = 450;
/// The files and folders that may contain `unsafe`.
const UNSAFE: [&str; 5] = [
    "gomon/src/source/live/packets.rs",
    "gomon/src/source/replay/libpcap.rs",
    "gomon-ebpf/src/context.rs",
    "gomon-ebpf/src/maps/",
    "tests/xdpgen/src/bpf.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust source below `folder` with its path from the project's root, unit tests cut off.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("below the root");
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((name.display().to_string(), text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// The lines of a file that the compiler sees outside its unit tests.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default())
}

/// The places where `code` names something below `prefix`, with what follows it.
fn named<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(prefix).filter_map(move |(at, _)| {
        let before = line[..at].chars().next_back();
        let starts = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        starts.then_some(&line[at..])
    })
}

/// The crates that gomon depends on, as they are named in code.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("gomon/Cargo.toml")).expect("a manifest");
    let start = manifest.find("[dependencies]").expect("dependencies");
    let section = manifest[start..].lines().skip(1).take_while(|line| !line.starts_with('['));
    let names = section.filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim());
    names.map(|name| name.replace('-', "_")).collect()
}

#[test]
fn core_is_pure() {
    let forbidden: Vec<_> =
        dependencies().into_iter().filter(|name| !PURE_CRATES.contains(&name.as_str())).collect();
    assert!(forbidden.iter().any(|name| name == "pcap"), "the manifest is read: {forbidden:?}");
    let mut wrong = Vec::new();
    for (name, text) in sources("gomon/src/core") {
        for line in code(&text) {
            let std =
                named(line, "std::").filter(|path| !PURE.iter().any(|ok| path.starts_with(ok)));
            let rooms = named(line, "crate::").filter(|path| !path.starts_with("crate::core"));
            let crates = forbidden.iter().filter(|dependency| {
                named(line, dependency).any(|path| path[dependency.len()..].starts_with("::"))
            });
            let words =
                ["println!", "eprintln!", "unsafe ", "extern ", "async ", "SystemTime", "Instant"];
            let words = words.iter().filter(|word| named(line, word).next().is_some());
            let found = std.count() + rooms.count() + crates.count() + words.count();
            if found > 0 {
                wrong.push(format!("{name}: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "core must take values and return values:\n{}", wrong.join("\n"));
}

#[test]
fn rooms_know_only_whom_they_may() {
    // Room, and the rooms it may name.
    let rules = [
        ("gomon/src/source", &["core", "frame", "source"][..]),
        ("gomon/src/sink", &["core", "frame", "settings", "sink", "VERSION"]),
        ("gomon/src/settings", &["core", "settings", "VERSION"]),
    ];
    let mut wrong = Vec::new();
    for (room, allowed) in rules {
        for (name, text) in sources(room) {
            for line in code(&text) {
                for path in named(line, "crate::") {
                    let room = path.trim_start_matches("crate::");
                    let room: String =
                        room.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if !allowed.contains(&room.as_str()) {
                        wrong.push(format!("{name}: {}", line.trim()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "a room names one it may not know:\n{}", wrong.join("\n"));
}

#[test]
fn the_shared_crate_stands_alone() {
    let manifest = fs::read_to_string(root().join("gomon-common/Cargo.toml")).expect("a manifest");
    assert!(!manifest.contains("[dependencies]"), "gomon-common has no dependencies");
    let library = fs::read_to_string(root().join("gomon-common/src/lib.rs")).expect("a library");
    assert!(library.contains("no_std") && library.contains("#![forbid(unsafe_code)]"));
}

#[test]
fn unsafe_lives_in_named_files_and_says_why() {
    for folder in ["gomon/src", "gomon-ebpf/src", "tests/xdpgen/src", "xtask/src"] {
        for (name, text) in sources(folder) {
            let blocks = code(&text).filter(|line| line.contains("unsafe {")).count();
            let named = UNSAFE.iter().any(|place| name.starts_with(place));
            assert!(blocks == 0 || named, "unsafe in {name}");
            assert_eq!(blocks, text.matches("// SAFETY:").count(), "each block says why: {name}");
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    for folder in ["gomon", "gomon-common", "gomon-ebpf", "xtask", "tests"] {
        for (name, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= LONGEST_FILE, "{name} has {lines} lines: split it by subject");
            assert!(text.starts_with("//!"), "{name} does not open with what it is for");
        }
    }
    let main = fs::read_to_string(root().join("gomon/src/main.rs")).expect("main.rs");
    assert!(main.lines().count() < 60);
}

//! The rules of the architecture, as `ARCHITECTURE.md` describes them: which module may depend on which, that no
//! files depend on each other, and where `unsafe` is allowed. The paths and links in the documents must exist.
#![allow(clippy::expect_used, reason = "tests panic if the sources can't be read")]

#[path = "architecture/documents.rs"]
mod documents;
#[path = "architecture/hash_maps.rs"]
mod hash_maps;
#[path = "architecture/items.rs"]
mod items;
#[path = "architecture/module_graph.rs"]
mod module_graph;
#[path = "architecture/tokens.rs"]
mod tokens;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use module_graph::Crate;
use tokens::without_tests;

/// What `core` may use of the standard library: nothing that reads a clock, a file, a socket or the environment, or
/// starts a thread or a process.
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
/// The crates that `core` may use in addition to the standard library.
const PURE_CRATES: [&str; 2] = ["gomon_common", "hashbrown"];
/// The maximum number of lines of a file, so that it stays about one subject.
const MAX_LINES: usize = 450;
/// The folders with source files.
const SOURCES: [&str; 5] = ["gomon", "gomon-common", "gomon-ebpf", "xtask", "tests"];
/// The files and folders that may contain `unsafe`.
const UNSAFE: [&str; 8] = [
    "gomon/src/source/live/batch.rs",
    "gomon/src/source/live/packets.rs",
    "gomon/src/source/replay/libpcap.rs",
    "gomon-ebpf/src/context.rs",
    "gomon-ebpf/src/count.rs",
    "gomon-ebpf/src/maps/",
    "tests/xdpgen/src/bpf.rs",
    "tests/xdpgen/src/tap.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads all Rust sources below `folder`, and returns their paths from the project's root and their text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
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

/// The lines of a file without line comments and unit tests.
fn code(text: &str) -> impl Iterator<Item = &str> {
    without_tests(text).lines().map(|line| line.split("//").next().unwrap_or_default())
}

/// Finds paths that start with `prefix` in a line, each with the rest of the line.
fn named<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(prefix).filter_map(move |(at, _)| {
        let before = line[..at].chars().next_back();
        let starts = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        starts.then_some(&line[at..])
    })
}

/// The names of the crates that gomon depends on, as they are used in code.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("gomon/Cargo.toml")).expect("a manifest");
    let start = manifest.find("[dependencies]").expect("dependencies");
    let section = manifest[start..].lines().skip(1).take_while(|line| !line.starts_with('['));
    let names = section.filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim());
    names.map(|name| name.replace('-', "_")).collect()
}

#[test]
fn core_does_no_input_or_output() {
    let forbidden: Vec<_> =
        dependencies().into_iter().filter(|name| !PURE_CRATES.contains(&name.as_str())).collect();
    assert!(forbidden.iter().any(|name| name == "pcap"), "misread manifest: {forbidden:?}");
    let mut wrong = Vec::new();
    for (name, text) in sources("gomon/src/core") {
        for line in code(&text) {
            let std =
                named(line, "std::").filter(|path| !PURE.iter().any(|ok| path.starts_with(ok)));
            let modules = named(line, "crate::").filter(|path| !path.starts_with("crate::core"));
            let crates = forbidden.iter().filter(|dependency| {
                named(line, dependency).any(|path| path[dependency.len()..].starts_with("::"))
            });
            let words =
                ["println!", "eprintln!", "unsafe ", "extern ", "async ", "SystemTime", "Instant"];
            let words = words.iter().filter(|word| named(line, word).next().is_some());
            let found = std.count() + modules.count() + crates.count() + words.count();
            if found > 0 {
                wrong.push(format!("{name}: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "core must not use these:\n{}", wrong.join("\n"));
}

#[test]
fn modules_have_only_allowed_dependencies() {
    // A module, and the modules that it may depend on.
    let rules = [
        ("gomon/src/source", &["core", "frame", "source"][..]),
        ("gomon/src/sink", &["core", "frame", "settings", "sink", "VERSION"]),
        ("gomon/src/settings", &["core", "settings", "VERSION"]),
        ("gomon/src/fleet", &["core", "fleet", "run", "settings", "sink", "source", "VERSION"]),
    ];
    let mut wrong = Vec::new();
    for (folder, allowed) in rules {
        for (name, text) in sources(folder) {
            for line in code(&text) {
                for path in named(line, "crate::") {
                    let path = path.trim_start_matches("crate::");
                    let module: String =
                        path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if !allowed.contains(&module.as_str()) {
                        wrong.push(format!("{name}: {}", line.trim()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "forbidden dependencies:\n{}", wrong.join("\n"));
}

#[test]
fn the_shared_crate_has_no_dependencies() {
    let manifest = fs::read_to_string(root().join("gomon-common/Cargo.toml")).expect("a manifest");
    assert!(!manifest.contains("[dependencies]"), "gomon-common has no dependencies");
    let library = fs::read_to_string(root().join("gomon-common/src/lib.rs")).expect("a library");
    assert!(library.contains("no_std") && library.contains("#![forbid(unsafe_code)]"));
}

#[test]
fn unsafe_is_in_listed_files_and_every_block_has_a_safety_comment() {
    for folder in ["gomon/src", "gomon-ebpf/src", "tests/xdpgen/src", "xtask/src"] {
        for (name, text) in sources(folder) {
            let blocks = code(&text).filter(|line| line.contains("unsafe {")).count();
            let is_listed = UNSAFE.iter().any(|path| name.starts_with(path));
            assert!(blocks == 0 || is_listed, "unsafe in {name}");
            assert_eq!(blocks, text.matches("// SAFETY:").count(), "SAFETY comments in {name}");
        }
    }
}

#[test]
fn files_are_short_and_start_with_a_module_comment() {
    for folder in SOURCES {
        for (name, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= MAX_LINES, "{name} has {lines} lines: split it by subject");
            assert!(text.starts_with("//!"), "{name} has no module comment");
        }
    }
    let main = fs::read_to_string(root().join("gomon/src/main.rs")).expect("main.rs");
    assert!(main.lines().count() < 60);
}

/// The crates whose files are checked.
const CRATES: [&str; 4] = ["gomon", "gomon-common", "gomon-ebpf", "xtask"];

/// Parses the sources of a crate.
fn parsed(name: &str) -> Crate {
    let folder = format!("{name}/src");
    let sources = sources(&folder).into_iter().map(|(path, text)| {
        let path = path.strip_prefix(&format!("{folder}/")).expect("below the folder").to_owned();
        (path, text)
    });
    Crate::new(&sources.collect::<Vec<_>>())
}

#[test]
fn no_files_depend_on_each_other() {
    let cycles = CRATES.iter().flat_map(|name| {
        let cycles = parsed(name).cycles();
        cycles.into_iter().map(move |cycle| format!("{name}: {cycle}"))
    });
    let cycles: Vec<_> = cycles.collect();
    assert!(cycles.is_empty(), "circular dependencies:\n{}", cycles.join("\n"));
}

#[test]
fn every_type_name_is_defined_once_per_crate() {
    let duplicates = CRATES.iter().flat_map(|name| {
        let duplicates = parsed(name).duplicate_types();
        duplicates.into_iter().map(move |duplicate| format!("{name}: {duplicate}"))
    });
    let duplicates: Vec<_> = duplicates.collect();
    assert!(duplicates.is_empty(), "types of the same name:\n{}", duplicates.join("\n"));
}

#[test]
fn hash_maps_are_not_iterated_implicitly() {
    let mut wrong = Vec::new();
    for (name, text) in sources("gomon/src") {
        let maps = hash_maps::implicit_iterations(&text);
        wrong.extend(maps.iter().map(|map| format!("{name}: {map}")));
    }
    // A method call like `map.iter()` is left to Clippy, which accepts a reason why the order does not matter.
    assert!(wrong.is_empty(), "iterate with a method, and sort:\n{}", wrong.join("\n"));
}

/// Reads the project's Markdown pages, and returns their paths from the root and their text.
fn pages() -> Vec<(PathBuf, String)> {
    let folders = [root(), root().join("docs")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("a folder"));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let pages = paths.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let pages = pages.map(|path| {
        let text = fs::read_to_string(&path).expect("a page");
        (path, text)
    });
    pages.collect()
}

/// Returns the paths of all source files, and of the folders that contain them.
fn source_tree() -> BTreeSet<String> {
    let files = SOURCES.iter().flat_map(|folder| sources(folder)).map(|(name, _)| name);
    let with_folders = files.flat_map(|file| {
        let folders = file.match_indices('/').map(|(at, _)| file[..=at].to_owned());
        folders.chain([file.clone()]).collect::<Vec<_>>()
    });
    with_folders.collect()
}

#[test]
fn paths_in_the_architecture_page_and_in_comments_exist() {
    let tree = source_tree();
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("a page");
    let missing = documents::paths(&page).filter(|path| !documents::exists(&tree, path));
    let missing: Vec<_> = missing.filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names {missing:?}");

    let mut missing = Vec::new();
    for (name, text) in SOURCES.iter().flat_map(|folder| sources(folder)) {
        let comments = text.lines().filter(|line| line.trim_start().starts_with("//"));
        for path in comments.flat_map(documents::paths).filter(|path| documents::is_source(path)) {
            if !documents::exists(&tree, path) {
                missing.push(format!("{name}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "comments name files that do not exist:\n{}", missing.join("\n"));
}

#[test]
fn links_in_the_documents_resolve() {
    let mut broken = Vec::new();
    for (path, text) in pages() {
        for (file, anchor) in documents::links(&text) {
            let target = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let text = fs::read(&target).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let resolves = text.is_ok_and(|text| {
                anchor.is_empty() || documents::anchors(&text).any(|known| known == anchor)
            });
            if !resolves {
                broken.push(format!("{}: {file}#{anchor}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

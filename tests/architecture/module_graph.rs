//! The dependencies between the source files of a crate, and their cycles.
//!
//! A file depends on the file that defines a name it uses. A name that is imported from a module which only
//! re-exports it is a dependency on the defining file, not on the module's. Neither a `mod` declaration nor a
//! re-export is a dependency by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::items::{File, ItemPath};

/// The source files of a crate by module path.
pub(crate) struct Crate {
    files: BTreeMap<ItemPath, (String, File)>,
}

/// What a path refers to.
#[derive(Debug)]
enum Resolution {
    /// A name defined in the file of a module.
    Item {
        /// The module of the file.
        module: ItemPath,
        /// The name.
        name: String,
    },
    /// A module of this crate.
    Module(ItemPath),
    /// Another crate, or a local name.
    External,
    /// Nothing that is known.
    Missing,
}

/// For each file, the files it depends on, with the names it uses from them.
type Dependencies = BTreeMap<ItemPath, BTreeMap<ItemPath, BTreeSet<String>>>;

impl Crate {
    /// Parses the sources of a crate, given with their paths below its `src` folder. The root is `lib.rs`, or
    /// `main.rs` without one.
    pub(crate) fn new(sources: &[(String, String)]) -> Self {
        let has_library = sources.iter().any(|(path, _)| path == "lib.rs");
        let mut files = BTreeMap::new();
        for (path, text) in sources.iter().filter(|(path, _)| !(has_library && path == "main.rs")) {
            let mut module: ItemPath =
                path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            if ["mod", "lib", "main"].contains(&module[module.len() - 1].as_str()) {
                module.pop();
            }
            files.insert(module, (path.clone(), File::parse(text)));
        }
        Self { files }
    }

    /// The types defined in more than one place, with the paths of the files.
    pub(crate) fn duplicate_types(&self) -> Vec<String> {
        let mut definitions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (path, file) in self.files.values() {
            for name in &file.types {
                definitions.entry(name).or_default().push(path);
            }
        }
        definitions.retain(|_, paths| paths.len() > 1);
        definitions.iter().map(|(name, paths)| format!("{name}: {}", paths.join(", "))).collect()
    }

    /// A description of each group of files that depend on each other, and of paths that could not be resolved.
    pub(crate) fn cycles(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let dependencies = self.dependencies(&mut problems);
        let mut reported = BTreeSet::new();
        for module in self.files.keys() {
            let reachable = reachable(&dependencies, module);
            let is_in_cycle_with = |other: &&ItemPath| {
                reachable.contains(*other) && self::reachable(&dependencies, other).contains(module)
            };
            let group: BTreeSet<_> = self.files.keys().filter(is_in_cycle_with).collect();
            if group.is_empty() || !reported.insert(group.clone()) {
                continue;
            }
            let mut lines = vec![format!("{} files depend on each other:", group.len())];
            for from in &group {
                for to in &group {
                    if let Some(names) = dependencies[*from].get(*to) {
                        let names: Vec<_> = names.iter().map(String::as_str).collect();
                        let paths = [from, to].map(|module| self.files[*module].0.as_str());
                        lines.push(format!("  {} -> {}: {}", paths[0], paths[1], names.join(", ")));
                    }
                }
            }
            problems.push(lines.join("\n"));
        }
        problems
    }

    fn dependencies(&self, problems: &mut Vec<String>) -> Dependencies {
        let mut dependencies = Dependencies::new();
        for (module, (path, file)) in &self.files {
            let edges = dependencies.entry(module.clone()).or_default();
            let mut add = |used: &ItemPath| match self.resolve(module, used, 0) {
                Resolution::Item { module: to, name } if to != *module => {
                    edges.entry(to).or_default().insert(name);
                }
                Resolution::Missing => problems.push(format!("{path}: no {}", used.join("::"))),
                Resolution::Item { .. } | Resolution::Module(_) | Resolution::External => {}
            };
            let first_segments = file.paths.iter().map(|path| &path[0]);
            let names: BTreeSet<_> = file.words.iter().chain(first_segments).collect();
            let imports = file.imports.iter();
            let used = imports.filter(|(name, import)| !import.is_public || names.contains(name));
            used.for_each(|(_, import)| add(&import.path));
            file.paths.iter().for_each(&mut add);
            file.globs.iter().for_each(|glob| add(&joined(glob, GLOB)));
        }
        dependencies
    }

    /// Resolves a path that is used in `module`.
    fn resolve(&self, module: &ItemPath, path: &[String], depth: usize) -> Resolution {
        let mut base = module.clone();
        let mut segments = path;
        while let Some((first, rest)) = segments.split_first() {
            match first.as_str() {
                "crate" => base.clear(),
                "super" => drop(base.pop()),
                "self" => {}
                _ => break,
            }
            segments = rest;
        }
        let is_internal = segments.len() < path.len();
        let resolution = self.look_up(base, segments, depth);
        // A path without such a prefix that is not found here starts with a crate, or with a name of the prelude or
        // of a scope within the file.
        if !is_internal && matches!(resolution, Resolution::Missing) {
            return Resolution::External;
        }
        resolution
    }

    /// Resolves a path that is relative to the module `base`.
    fn look_up(&self, base: ItemPath, path: &[String], depth: usize) -> Resolution {
        let Some((first, rest)) = path.split_first() else { return Resolution::Module(base) };
        let Some((_, file)) = self.files.get(&base) else { return Resolution::Missing };
        assert!(depth < 50, "{path:?} in {base:?} is resolved in circles");
        if file.children.contains(first) {
            return self.look_up(joined(&base, first), rest, depth + 1);
        }
        if let Some(import) = file.imports.get(first) {
            // `use name::name`: the first one is a crate, since it is no module here.
            if import.path[0] == *first {
                return Resolution::External;
            }
            return self.resolve(&base, &[&import.path, rest].concat(), depth + 1);
        }
        if first == GLOB || file.items.contains(first) {
            return Resolution::Item { module: base, name: first.clone() };
        }
        for glob in &file.globs {
            if let Resolution::Module(module) = self.resolve(&base, glob, depth + 1)
                && let found @ Resolution::Item { .. } = self.look_up(module, path, depth + 1)
            {
                return found;
            }
        }
        Resolution::Missing
    }
}

/// The last segment of a glob import's path.
const GLOB: &str = "*";

fn joined(module: &[String], name: &str) -> ItemPath {
    [module, &[name.to_owned()]].concat()
}

/// Returns the modules on which `module` depends, directly or not.
fn reachable(dependencies: &Dependencies, module: &ItemPath) -> BTreeSet<ItemPath> {
    let mut reachable = BTreeSet::new();
    let mut rest = vec![module];
    while let Some(module) = rest.pop() {
        rest.extend(dependencies[module].keys().filter(|to| reachable.insert((*to).clone())));
    }
    reachable
}

fn parsed(sources: &[(&str, &str)]) -> Crate {
    let owned = sources.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    Crate::new(&owned.collect::<Vec<_>>())
}

#[test]
fn a_cycle_through_a_re_export_is_found() {
    let mut sources = [
        ("lib.rs", "pub mod shapes; pub const SIDES: u32 = 4;"),
        ("shapes/mod.rs", "mod circle; mod square; pub use circle::Circle; pub use square::*;"),
        ("shapes/circle.rs", "use super::{square as sq}; pub struct Circle(sq::Square);"),
        ("shapes/square.rs", "pub struct Square; fn round() -> super::Circle { crate::SIDES; }"),
    ];
    let cycle = "2 files depend on each other:\n  \
                 shapes/circle.rs -> shapes/square.rs: Square\n  \
                 shapes/square.rs -> shapes/circle.rs: Circle";
    assert_eq!(parsed(&sources).cycles(), [cycle]);
    // A use in unit tests or in a comment is no dependency.
    let text =
        "pub struct Square; // super::Circle\n#[cfg(test)] mod tests { use super::super::Circle; }";
    sources[3].1 = text;
    assert_eq!(parsed(&sources).cycles(), [""; 0]);
}

#[test]
fn a_cycle_with_the_parent_is_found_unless_the_parent_only_re_exports() {
    let child = ("a/b.rs", "use super::LIMIT; pub fn f() {}");
    for (parent, is_cycle) in [
        ("mod b; pub use b::f; pub const LIMIT: u8 = 1;", false),
        ("mod b; pub use b::f; pub const LIMIT: u8 = 1; fn g() { f() }", true),
        ("mod b; use self::b::f; pub const LIMIT: u8 = 1;", true),
        ("mod b; pub const LIMIT: u8 = 1; fn g() { b::f() }", true),
    ] {
        let found = parsed(&[("main.rs", "mod a;"), ("a.rs", parent), child]).cycles();
        assert_eq!(found.len(), usize::from(is_cycle), "{parent}: {found:?}");
    }
}

#[test]
fn paths_that_do_not_resolve_are_reported() {
    let found = parsed(&[("lib.rs", "mod a;"), ("a.rs", "use crate::b::C; use std::fs;")]).cycles();
    assert_eq!(found, ["a.rs: no crate::b::C"]);
}

#[test]
fn a_type_name_is_found_twice() {
    let found = parsed(&[
        ("lib.rs", "mod a; struct S; impl Iterator for S { type Item = u8; }"),
        ("a.rs", "enum S {} impl Iterator for T { type Item = u8; }"),
    ]);
    assert_eq!(found.duplicate_types(), ["S: lib.rs, a.rs"]);
}

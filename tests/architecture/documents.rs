//! The paths and links in the project's documents and comments.

use std::collections::BTreeSet;
use std::path::Path;

/// Returns the words of `text` that look like the path of a Rust source file or of a folder, such as
/// `core/judge.rs` or `sink/eve/`.
pub(crate) fn paths(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    text.split(move |c| !is_part(c)).filter(|word| {
        let is_file = word.len() > 3 && is_source(word);
        let is_folder = word.len() > 1 && word.ends_with('/') && !word.starts_with('.');
        is_file || is_folder
    })
}

/// Whether `path` is that of a Rust source file.
pub(crate) fn is_source(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// Whether `path` is in `tree`, or is the end of a path in it. Documents name a path below the folder that they
/// describe.
pub(crate) fn exists(tree: &BTreeSet<String>, path: &str) -> bool {
    let end = format!("/{path}");
    tree.iter().any(|known| known == path || known.ends_with(&end))
}

/// Returns the relative links of a Markdown page: each as the path of a file, empty for this page, and a heading's
/// anchor, empty for none.
pub(crate) fn links(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let targets = page.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    let relative = targets.filter(|target| !target.contains("://"));
    relative.map(|target| target.split_once('#').unwrap_or((target, "")))
}

/// Returns the anchors of the headings of a Markdown page, as GitHub generates them.
pub(crate) fn anchors(page: &str) -> impl Iterator<Item = String> {
    let mut is_code = false;
    let headings = page.lines().filter(move |line| {
        is_code ^= line.starts_with("```");
        line.starts_with('#') && !is_code
    });
    headings.map(|heading| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[test]
fn paths_links_and_anchors_are_found() {
    let found: Vec<_> =
        paths("`core/judge.rs`, queue.rs: sink/eve/ and/or .rs files in ../x/").collect();
    assert_eq!(found, ["core/judge.rs", "queue.rs", "sink/eve/"]);
    let tree = ["a/core/judge.rs", "a/core/"].map(str::to_owned).into();
    assert!(exists(&tree, "core/judge.rs") && exists(&tree, "a/core/judge.rs"));
    assert!(exists(&tree, "core/") && !exists(&tree, "re/") && !exists(&tree, "e/judge.rs"));
    let page =
        "# A `b_c`: d, e\n```\n# code\n```\n## F\n[x](y.md#z), [w](#f), [v](https://v.example/)";
    assert_eq!(links(page).collect::<Vec<_>>(), [("y.md", "z"), ("", "f")]);
    assert_eq!(anchors(page).collect::<Vec<_>>(), ["a-b_c-d-e", "f"]);
}

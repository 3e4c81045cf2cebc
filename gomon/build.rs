//! Tells the program which version it is: the release, or the commit of a checkout.

use std::process::Command;

fn main() {
    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    let version = match git(&["rev-parse", "--short=12", "HEAD"]) {
        // A source archive has no commit, and a tagged commit is the release.
        None => version,
        Some(_) if git(&["describe", "--exact-match", "--tags"]).as_ref() == Some(&version) => {
            version
        }
        Some(commit) => format!("dev ({commit})"),
    };
    println!("cargo::rustc-env=GOMON_VERSION={version}");
    println!("cargo::rerun-if-changed=build.rs");
    for part in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--path-format=absolute", "--git-path", part]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

/// What git answers about the project's own checkout, if this is one.
fn git(args: &[&str]) -> Option<String> {
    let top = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    // An archive unpacked inside somebody else's checkout has no commit of its own.
    if !std::path::Path::new(top).join(".git").exists() {
        return None;
    }
    let output = Command::new("git").args(["-C", top]).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

//! Real captures: their records conform to the schemas and the rules.

use std::path::Path;

use serde_json::Value;

use crate::runs::judged;
use crate::support::real::capture_files;

/// The sources that the truth files next to a capture are about.
fn sources(capture: &Path) -> Vec<String> {
    let prefix = format!("{}.truth.", capture.display());
    let entries = std::fs::read_dir(capture.parent().expect("a folder")).expect("a folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.to_string_lossy().starts_with(&prefix));
    paths.sort();
    let source = |path| {
        let text = std::fs::read(path).expect("the truth can be read");
        let truth: Value = serde_json::from_slice(&text).expect("a JSON file");
        truth["src"].as_str().expect("an address").to_owned()
    };
    paths.iter().map(source).collect()
}

#[test]
fn records_of_real_captures_conform_to_the_schemas() {
    let mut records = 0;
    for capture in capture_files() {
        let mut sources = sources(&capture);
        if sources.is_empty() {
            sources.push("any".to_owned());
        }
        for source in sources {
            records += judged(&capture, &source, &["--show-idle"]).records.len();
        }
    }
    println!("{records} records");
}

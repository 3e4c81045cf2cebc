//! Real captures with what tshark counts in them, where they lie beside the project.

use std::path::PathBuf;

/// The folder of real captures: `$GOMON_CAPTURES`, or `../shared/captures` beside the project. Tests
/// that use it say so when it is not there.
pub fn captures() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/captures");
    let folder = std::env::var_os("GOMON_CAPTURES").map_or_else(|| beside.into(), PathBuf::from);
    let found = folder.join("MANIFEST.tsv").is_file();
    if !found {
        println!("SKIPPED: no real captures in {}", folder.display());
    }
    found.then_some(folder)
}

/// Every capture in that folder, sorted by name.
pub fn capture_files() -> Vec<PathBuf> {
    let Some(folder) = captures() else { return Vec::new() };
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| {
        path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng")
    });
    files.sort();
    files
}

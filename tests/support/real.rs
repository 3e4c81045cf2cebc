//! Real captures with tshark's counts, if available; and the frames of a capture, read as in a replay.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Result;
use gomon::core::Timestamp;
use gomon::frame::Frame;
use gomon::source::Stop;
use gomon::source::replay::{Input, Reader};

use super::skip::skip_in_ci_too;

/// Returns the directory of real captures: `$GOMON_CAPTURES`, or `../shared/captures` relative to the project. Skips
/// the test if it does not exist.
pub fn captures() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/captures");
    let folder = std::env::var_os("GOMON_CAPTURES").map_or_else(|| default.into(), PathBuf::from);
    let found = folder.join("MANIFEST.tsv").is_file();
    if !found {
        skip_in_ci_too(format_args!("no real captures in {}", folder.display()));
    }
    found.then_some(folder)
}

/// Returns every capture in that directory, sorted by name.
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

/// Frames with their times.
pub type Frames = Vec<(Timestamp, Vec<u8>)>;

/// Returns time and bytes of every frame in a file.
pub fn frames(path: &Path) -> Frames {
    let input = Input::open(path, Stop::default()).expect("the capture opens");
    let reader = Reader::new(input).expect("it is a capture");
    let mut frames = Vec::new();
    every_frame(reader, |frame| {
        frames.push((frame.time.expect("a timestamp"), frame.data.to_vec()));
    })
    .expect("the capture is whole");
    frames
}

/// Calls `each` with every frame of a capture, up to its end or to damage.
pub fn every_frame(mut reader: Reader, mut each: impl FnMut(&Frame<'_>)) -> Result<()> {
    let mut next = |frame: &Frame<'_>, _: u64| {
        each(frame);
        ControlFlow::Continue(())
    };
    while reader.read_batch(&mut next)?.is_continue() {}
    Ok(())
}

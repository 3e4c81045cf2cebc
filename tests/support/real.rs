//! Real captures with what tshark counts in them, where they lie beside the project; and what is in a
//! capture, by the reader of replays.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Result;
use gomon::core::Timestamp;
use gomon::frame::Frame;
use gomon::source::Stop;
use gomon::source::replay::{Input, Reader};

use super::skip::skip_in_ci_too;

/// The folder of real captures: `$GOMON_CAPTURES`, or `../shared/captures` beside the project. Tests
/// that use it are skipped when it is not there.
pub fn captures() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/captures");
    let folder = std::env::var_os("GOMON_CAPTURES").map_or_else(|| beside.into(), PathBuf::from);
    let found = folder.join("MANIFEST.tsv").is_file();
    if !found {
        skip_in_ci_too(format_args!("no real captures in {}", folder.display()));
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

/// Frames with their times.
pub type Frames = Vec<(Timestamp, Vec<u8>)>;

/// Time and bytes of every frame in a file.
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

/// Hands every frame of a capture to `each`, up to its end or to where it is damaged.
pub fn every_frame(mut reader: Reader, mut each: impl FnMut(&Frame<'_>)) -> Result<()> {
    let mut next = |frame: &Frame<'_>, _: u64| {
        each(frame);
        ControlFlow::Continue(())
    };
    while reader.read_batch(&mut next)?.is_continue() {}
    Ok(())
}

//! The reader of plain pcap files against libpcap: the same frames, and errors at the same records.

use std::fs::File;
use std::ops::ControlFlow;

use gomon::frame::{Frame, FrameLink};
use gomon::source::replay::{Pcap, Plain};
use proptest::prelude::*;

use crate::support::program::Scratch;
use crate::support::real;

/// A copy of a frame: time, length on the wire, bytes.
type Read = (i64, u32, Vec<u8>);

fn read(frame: &Frame<'_>) -> Read {
    assert!(matches!(frame.link, FrameLink::Known(_)));
    (frame.time.expect("a timestamp").nanoseconds(), frame.length, frame.data.to_vec())
}

/// Reads every frame up to the end, or up to an error.
fn by_plain(mut plain: Plain) -> (Vec<Read>, bool) {
    let mut frames = Vec::new();
    let mut next = |frame: &Frame<'_>, _: u64| {
        frames.push(read(frame));
        ControlFlow::Continue(())
    };
    loop {
        match plain.read_batch(&mut next) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return (frames, true),
            Err(_) => return (frames, false),
        }
    }
}

/// Does what [`by_plain`] does, with libpcap.
fn by_libpcap(mut pcap: Pcap) -> (Vec<Read>, bool) {
    let mut frames = Vec::new();
    loop {
        match pcap.next_frame() {
            Ok(Some(frame)) => frames.push(read(&frame)),
            Ok(None) => return (frames, true),
            Err(_) => return (frames, false),
        }
    }
}

/// Reads a file with both readers, if it is plain.
fn both(path: &std::path::Path) -> Option<[(Vec<Read>, bool); 2]> {
    let header = std::fs::read(path).expect("the file").into_iter().take(24).collect::<Vec<_>>();
    if header.len() < 24 || !Plain::recognise(&header) {
        return None;
    }
    let open = || File::open(path).expect("the file");
    let plain = Plain::new(open()).expect("a plain file");
    let pcap = Pcap::from_stream(Box::new(open())).expect("libpcap reads every plain file");
    Some([by_plain(plain), by_libpcap(pcap)])
}

/// Generates lengths around all limits.
fn lengths() -> impl Strategy<Value = u32> {
    prop_oneof![
        8 => 0u32..200,
        1 => prop::sample::select(vec![65_534, 65_535, 65_536, 262_143, 262_144, 262_145, u32::MAX]),
        1 => any::<u32>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_what_libpcap_reads(
        big_endian: bool,
        nanoseconds: bool,
        snap_length in lengths(),
        link in prop::sample::select(vec![1u32, 0, 101, 113, 276, 228, 108]),
        records in prop::collection::vec((any::<u32>(), any::<u32>(), lengths(), lengths()), 0..12),
        cut in prop::option::of(0usize..2000),
        damage in prop::option::of((24usize..2000, any::<u8>())),
    ) {
        let u32 = |n: u32| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
        let magic: u32 = if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let version = if big_endian { 0x0002_0004 } else { 0x0004_0002 };
        let mut file: Vec<u8> =
            [magic, version, 0, 0, snap_length, link].into_iter().flat_map(u32).collect();
        for (seconds, fraction, captured, length) in records {
            file.extend([seconds, fraction, captured, length].into_iter().flat_map(u32));
            file.resize(file.len() + (captured as usize).min(300_000), 0x5a);
        }
        if let Some((at, byte)) = damage && at < file.len() {
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(file.len().saturating_sub(cut).max(24));
        }
        let scratch = Scratch::new();
        let path = scratch.file("plain.pcap", &file);
        let [plain, pcap] = both(&path).expect("the file is plain");
        // libpcap reads a fraction of a second with its highest bit set as negative if the byte order is the
        // machine's, and as positive otherwise. Such a fraction is invalid in any case.
        let unit = if nanoseconds { 1 } else { 1000 };
        let modulo = |(frames, whole): (Vec<Read>, bool)| {
            let time = |time: i64| time.rem_euclid((1 << 32) * unit);
            let frames: Vec<_> = frames.into_iter().map(|(t, n, data)| (time(t), n, data)).collect();
            (frames, whole)
        };
        prop_assert_eq!(modulo(plain), modulo(pcap));
    }
}

#[test]
fn reads_real_captures_as_libpcap_does() {
    for capture in real::capture_files() {
        if let Some([plain, pcap]) = both(&capture) {
            assert!(plain == pcap, "{}", capture.display());
        }
    }
}

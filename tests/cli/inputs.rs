//! What INPUT may name, and what is refused.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use liblzma::write::XzEncoder;
use lz4_flex::frame::FrameEncoder;
use serde_json::Value;

use crate::support::program::{Outcome, Scratch, command, gomon, gomon_with_input, run};
use crate::support::running::Running;
use crate::support::tools::have;
use crate::traffic::{BOT, beacon, error, file, refusal};

/// The records of a successful run, without the name of the input.
#[track_caller]
fn records(run: &Outcome) -> Vec<Value> {
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
    let mut records = run.records();
    for record in &mut records {
        record.as_object_mut().unwrap().remove("pcap_filename");
    }
    records
}

/// The records of [`beacon`], whichever way it is read.
fn expected(scratch: &Scratch) -> Vec<Value> {
    let plain = scratch.file("plain.pcap", &file(&beacon(3)));
    let records = records(&gomon([plain.to_str().unwrap(), BOT, "--window", "1"]));
    assert_eq!(records.len(), 3);
    records
}

/// Makes a FIFO.
pub(crate) fn make_fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::from(0o600), 0).expect("a FIFO is made");
}

/// Makes a FIFO and opens it for reading and writing: opening it for writing only would wait for a reader.
pub(crate) fn open_fifo(path: &Path) -> File {
    make_fifo(path);
    File::options().read(true).write(true).open(path).expect("a FIFO is opened")
}

#[test]
fn standard_input_is_read_by_either_name() {
    let scratch = Scratch::new();
    let (expected, capture) = (expected(&scratch), file(&beacon(3)));
    for name in ["-", "/dev/stdin"] {
        for piece in [1, 100, usize::MAX] {
            let run = gomon_with_input([name, BOT, "--window", "1"], &capture, piece);
            assert_eq!(records(&run), expected, "{name} in pieces of {piece}");
            assert_eq!(run.records()[0]["pcap_filename"], name);
        }
        let plain = File::open(scratch.path().join("plain.pcap")).unwrap();
        let mut redirected = command();
        redirected.args([name, BOT, "--window", "1"]).stdin(plain);
        assert_eq!(records(&run(&mut redirected)), expected, "{name} < file");
    }
}

#[test]
fn a_fifo_is_read_until_its_writer_closes_it() {
    let scratch = Scratch::new();
    let fifo = scratch.path().join("fifo");
    let mut writer = open_fifo(&fifo);
    writer.write_all(&file(&beacon(3))).unwrap();
    let mut gomon = Running::start(command().arg(&fifo).args([BOT, "--window", "1"]));
    for second in 0..2 {
        let start = format!("2026-01-29T10:00:0{second}.000000+0000");
        assert_eq!(gomon.record()["timestamp"], start);
    }
    drop(writer);
    assert_eq!(records(&gomon.finish()), expected(&scratch)[2..]);
}

#[test]
fn compression_is_detected_by_content_whatever_the_name() {
    let scratch = Scratch::new();
    let (expected, capture) = (expected(&scratch), file(&beacon(3)));
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(&capture).unwrap();
    let mut xz = XzEncoder::new(Vec::new(), 6);
    xz.write_all(&capture).unwrap();
    let mut lz4 = FrameEncoder::new(Vec::new());
    lz4.write_all(&capture).unwrap();
    for (name, bytes) in [
        ("misnamed.zst", gz.finish().unwrap()),
        ("misnamed.pcap", zstd::encode_all(capture.as_slice(), 0).unwrap()),
        ("misnamed", xz.finish().unwrap()),
        ("misnamed.gz", lz4.finish().unwrap()),
        ("plain.xz", capture),
    ] {
        let path = scratch.file(name, &bytes);
        let run = gomon([path.to_str().unwrap(), BOT, "--window", "1"]);
        assert_eq!(records(&run), expected, "{name}");
        let run = gomon_with_input(["-", BOT, "--window", "1"], &bytes, 7);
        assert_eq!(records(&run), expected, "{name} on standard input");
    }
}

#[test]
fn a_capture_may_have_any_name_even_that_of_an_interface() {
    let scratch = Scratch::new();
    let expected = expected(&scratch);
    for name in ["lo", "no extension", "--", "10.0.0.5", "ünïcode", "two\nlines"].map(OsStr::new)
    {
        fs::copy(scratch.path().join("plain.pcap"), scratch.path().join(name)).unwrap();
        let mut here = command();
        here.current_dir(scratch.path()).args(["--window", "1", "--"]).arg(name).arg(BOT);
        assert_eq!(records(&run(&mut here)), expected, "{name:?}");
    }
    let bytes = scratch.path().join(OsStr::from_bytes(b"not \xff unicode"));
    fs::copy(scratch.path().join("plain.pcap"), &bytes).unwrap();
    let run = run(command().arg(bytes).args([BOT, "--window", "1"]));
    assert_eq!(records(&run), expected);
}

#[test]
fn a_name_of_neither_a_file_nor_an_interface_is_refused_with_the_interfaces_there_are() {
    let scratch = Scratch::new();
    let capture = scratch.file("a.pcap", &file(&beacon(1)));
    let below = capture.join("below").display().to_string();
    for name in ["missing.pcap", "vnet999", "", &below, &"long".repeat(2000)] {
        let run = gomon([name, BOT]);
        let error = refusal(&run);
        assert!(error.starts_with(&format!("opening input {name:?}: ")), "{error}");
        assert!(error.contains("neither a file nor an interface"), "{error}");
        let (_, interfaces) = error.split_once("one of the interfaces ").expect("a list");
        let interfaces: Vec<_> = interfaces.split(", ").collect();
        assert!(interfaces.contains(&"lo"), "{error}");
    }
}

#[test]
fn a_path_that_is_no_capture_is_refused_with_what_it_is() {
    let scratch = Scratch::new();
    let socket = scratch.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let text = scratch.file("text.pcap", b"no capture at all\n");
    let newline = scratch.file("newline.pcap", b"\n\n");
    for (path, why) in [
        (scratch.path(), "it is a directory: name a capture file in it"),
        (&socket, "it is neither a file nor a FIFO: name a capture file"),
        (&text, "it is not a pcap or pcapng capture, compressed or not: name one"),
        (&newline, "it is not a pcap or pcapng capture, compressed or not: name one"),
        (Path::new("/proc/self/mem"), "Input/output error"), // nothing is mapped at its start
    ] {
        let run = gomon([path.to_str().unwrap(), BOT]);
        let error = refusal(&run);
        assert!(error.starts_with(&format!("opening input {path:?}: {why}")), "{error}");
    }
}

#[test]
fn a_stream_that_is_no_capture_fails_when_it_is_read() {
    let run = gomon_with_input(["-", BOT, "--quiet"], b"no capture at all, but long enough", 9);
    assert!(error(&run, 1).starts_with("opening input \"-\": it is not a pcap or pcapng capture"));
    assert!(run.line("Ledger: ").starts_with("Ledger: 0 frames seen "));
}

#[test]
fn an_empty_input_ends_in_the_middle_of_its_header() {
    let scratch = Scratch::new();
    let empty = scratch.file("empty.pcap", b"");
    for path in [empty.to_str().unwrap(), "/dev/null", "-"] {
        let run = gomon([path, BOT]);
        let error = error(&run, 3);
        assert!(
            error.starts_with(&format!("reading {path:?}: the capture ends at byte 0")),
            "{error}"
        );
        assert_eq!(run.records().len(), 0);
    }
}

#[test]
fn a_file_without_read_permission_is_refused() {
    let scratch = Scratch::new();
    let secret = scratch.file("secret.pcap", &file(&beacon(1)));
    fs::set_permissions(&secret, Permissions::from_mode(0o000)).unwrap();
    let mut gomon = command();
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // File modes apply to root, too, without these capabilities.
        if !have("setpriv") {
            return;
        }
        gomon = Command::new("setpriv");
        gomon.arg("--bounding-set=-dac_override,-dac_read_search").arg(command().get_program());
        gomon.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let run = run(gomon.arg(&secret).arg(BOT).stdin(Stdio::null()));
    let expected = format!("opening input {secret:?}: Permission denied");
    assert!(refusal(&run).starts_with(&expected), "{}", run.stderr);
    assert!(run.stderr.contains(": make it readable, or "), "{}", run.stderr);
}

#[test]
fn a_stream_is_analysed_as_it_arrives() {
    let capture = file(&beacon(5));
    let record = (capture.len() - 24) / 5;
    let mut gomon = Running::start(command().args(["-", BOT, "--window", "1"]));
    gomon.feed(&capture[..24 + record]);
    for k in 1..5 {
        gomon.feed(&capture[24 + k * record..24 + (k + 1) * record]);
        // The frame of the next window closes the previous one, the record of which is written at once.
        let start = gomon.record()["timestamp"].to_string();
        assert!(start.contains(&format!("10:00:0{}.", k - 1)), "{start}");
    }
    gomon.close_input();
    let run = gomon.finish();
    assert_eq!((run.status, run.records().len()), (Some(0), 1));
}

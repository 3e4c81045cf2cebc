//! SIGINT and SIGTERM, and the end of the parent process.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::inputs::{make_fifo, open_fifo};
use crate::support::capture::at;
use crate::support::net::until;
use crate::support::program::{Outcome, Scratch, command, run};
use crate::support::running::Running;
use crate::traffic::{BOT, beacon, file, packet};

const SIGNALS: [&str; 2] = ["INT", "TERM"];

/// What a run comes to whose second window, with one packet, was open when the signal came.
#[track_caller]
fn assert_flushed(run: &Outcome, signal: &str) {
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{signal}: {}", run.stderr);
    let records = run.records();
    assert_eq!(records.len(), 1, "{signal}: the window that was open is reported");
    assert_eq!(records[0]["timestamp"], "2026-01-29T10:00:01.000000+0000");
    assert_eq!(records[0]["metadata"]["gomon"]["packets"], 1);
    assert_eq!(run.line("Analysis"), "Analysis complete. Eve log: stdout");
    assert!(run.line("Summary: ").contains(" 2 idle window(s)"), "{}", run.stderr);
    assert!(run.line("Ledger: ").starts_with("Ledger: 2 frames seen = 2 counted "));
}

/// Whether bytes in a FIFO wait to be read.
fn holds_bytes(fifo: &File) -> bool {
    let mut fds = [PollFd::new(fifo, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).unwrap() > 0
}

#[test]
fn a_signal_ends_the_reading_of_standard_input_with_everything_flushed() {
    for name in ["-", "/dev/stdin"] {
        for signal in SIGNALS {
            let mut gomon = Running::start(command().args([name, BOT, "--window", "1"]));
            gomon.feed(&file(&beacon(2)));
            // The first window is closed once the frame of the second was read.
            gomon.record();
            gomon.signal(signal);
            assert_flushed(&gomon.finish(), signal);
        }
    }
}

#[test]
fn a_signal_ends_the_reading_of_a_fifo_with_everything_flushed() {
    for signal in SIGNALS {
        let scratch = Scratch::new();
        let fifo = scratch.path().join("fifo");
        let mut writer = open_fifo(&fifo);
        writer.write_all(&file(&beacon(2))).unwrap();
        let mut gomon = Running::start(command().arg(&fifo).args([BOT, "--window", "1"]));
        gomon.record();
        gomon.signal(signal);
        assert_flushed(&gomon.finish(), signal);
        drop(writer);
    }
}

#[test]
fn a_signal_in_the_middle_of_a_record_is_no_damage() {
    for signal in SIGNALS {
        let mut gomon = Running::start(command().args(["-", BOT, "--window", "1"]));
        let capture = file(&beacon(3));
        gomon.feed(&capture[..capture.len() - 5]);
        gomon.record();
        gomon.signal(signal);
        assert_flushed(&gomon.finish(), signal);
    }
}

#[test]
fn a_signal_ends_the_wait_for_a_first_byte() {
    let scratch = Scratch::new();
    let fifo = scratch.path().join("fifo");
    make_fifo(&fifo);
    let fifo = fifo.to_str().unwrap();
    // Nobody ever opens the FIFO for writing; standard input is open and silent.
    for input in [fifo, "-"] {
        for signal in SIGNALS {
            let mut gomon = Running::start(command().args([input, BOT]));
            // The block is shown when everything is open and signals are listened to.
            gomon.wait_for("  log-level: ");
            gomon.signal(signal);
            let run = gomon.finish();
            assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
            assert_eq!(run.stdout, "");
            assert!(run.line("Ledger: ").starts_with("Ledger: 0 frames seen "), "{}", run.stderr);
        }
    }
}

#[test]
fn a_signal_before_the_first_bytes_tell_a_format_is_no_error() {
    let scratch = Scratch::new();
    let fifo = scratch.path().join("fifo");
    let mut writer = open_fifo(&fifo);
    writer.write_all(&[0x1f]).unwrap(); // gzip, and many other things, may start with it
    let gomon = Running::start(command().arg(&fifo).arg(BOT));
    let deadline = Instant::now() + Duration::from_secs(60);
    while holds_bytes(&writer) {
        assert!(Instant::now() < deadline, "gomon does not read its input");
        thread::yield_now();
    }
    gomon.signal("TERM");
    let run = gomon.finish();
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
}

#[test]
fn a_signal_ends_a_calibration_with_its_recommendation() {
    let mut gomon = Running::start(command().args(["-", BOT, "--window", "1", "--calibrate"]));
    gomon.feed(&file(&beacon(2)));
    gomon.wait_for("20"); // a line of the log, which starts with the year: the first window's
    gomon.signal("INT");
    let run = gomon.finish();
    assert_eq!((run.status, run.stdout.as_str()), (Some(0), ""), "{}", run.stderr);
    assert_eq!(run.line("Calibration summary"), "Calibration summary: 2 window(s) analyzed");
    run.line("Recommended thresholds");
}

#[test]
fn a_second_signal_ends_a_run_that_is_stuck() {
    // One window of more records than a pipe holds, which nobody reads to its end.
    let frames: Vec<_> = (0..1000u16)
        .map(|k| at(u64::from(k), packet(u8::try_from(k % 10).unwrap(), 1000 + k / 10)))
        .collect();
    let scratch = Scratch::new();
    let capture = scratch.file("wide.pcap", &file(&frames));
    let mut gomon = Running::start(command().arg(&capture).args([BOT, "--port-threshold", "0"]));
    gomon.record();
    gomon.signal("INT");
    gomon.signal("TERM");
    let status = gomon.end().status;
    assert_eq!(status, Some(1), "at once, without the rest");
}

/// gomon as the child of a shell that waits for it, reading two windows out of a FIFO: the shell, the
/// other end of the FIFO, and the number of gomon.
fn child_of_a_shell(scratch: &Scratch, flag: &str) -> (Running, File, String) {
    let fifo = scratch.path().join("fifo");
    let mut writer = open_fifo(&fifo);
    writer.write_all(&file(&beacon(2))).unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "\"$@\" & echo \"child $!\" >&2; wait", "sh", env!("CARGO_BIN_EXE_gomon")])
        .arg(fifo);
    shell.args([BOT, "--window", "1"]).args(flag.split_whitespace());
    let mut shell = Running::start(shell.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let child = shell.wait_for_part("child ").trim().rsplit(' ').next().unwrap().to_owned();
    // The first window is closed, and the flag in force.
    shell.record();
    (shell, writer, child)
}

#[test]
fn the_end_of_the_parent_ends_a_run_with_everything_flushed_where_that_is_asked_for() {
    let scratch = Scratch::new();
    let (shell, writer, child) = child_of_a_shell(&scratch, "--die-with-parent");
    shell.signal("KILL");
    // The writer keeps it waiting for more, and whoever adopts it may not bury it.
    let stat = format!("/proc/{child}/stat");
    until("gomon ends", || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z")));
    let mut run = shell.finish();
    assert_eq!(run.status, None, "the shell's");
    run.status = Some(0);
    assert_flushed(&run, "KILL");
    drop(writer);
}

#[test]
fn the_end_of_the_parent_is_nothing_to_a_run_otherwise() {
    let scratch = Scratch::new();
    let (mut shell, mut writer, _) = child_of_a_shell(&scratch, "");
    shell.signal("KILL");
    let three = file(&beacon(3));
    let record = (three.len() - 24) / 3;
    writer.write_all(&three[three.len() - record..]).unwrap();
    shell.record();
    drop(writer);
    let run = shell.finish();
    assert!(run.line("Ledger: ").starts_with("Ledger: 3 frames seen = 3 counted "));
}

#[test]
fn a_run_whose_parent_lives_on_ends_with_its_own_status() {
    let scratch = Scratch::new();
    let capture = scratch.file("beacon.pcap", &file(&beacon(1)));
    let run = run(command().arg(capture).args([BOT, "--die-with-parent"]));
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
    assert_eq!(run.line("  die-with-parent: "), "  die-with-parent: true");
}

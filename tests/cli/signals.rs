//! SIGINT and SIGTERM, and the end of the parent process.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::inputs::{make_fifo, open_fifo};
use crate::support::capture::at;
use crate::support::net::until;
use crate::support::program::{Outcome, Scratch, command, run, signal};
use crate::support::running::Running;
use crate::traffic::{BOT, beacon, error, file, packet};

const SIGNALS: [&str; 2] = ["INT", "TERM"];

/// Asserts the output of a run whose second window, with one packet, was open when the signal arrived.
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

/// Whether a FIFO has unread bytes.
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
fn a_stop_in_the_middle_of_a_record_is_no_damage() {
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
    // The FIFO is never opened for writing; standard input is open and silent.
    for input in [fifo, "-"] {
        for signal in SIGNALS {
            let mut gomon = Running::start(command().args([input, BOT]));
            // The configuration block is shown when everything is open and signals are handled.
            gomon.wait_for("  log-level: ");
            gomon.signal(signal);
            let run = gomon.finish();
            assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
            assert_eq!(run.records().len(), 0);
            assert_eq!(run.closing()["metadata"]["gomon"]["ended"], "stopped");
            assert!(run.line("Ledger: ").starts_with("Ledger: 0 frames seen "), "{}", run.stderr);
        }
    }
}

#[test]
fn a_signal_before_the_format_is_known_is_no_error() {
    let scratch = Scratch::new();
    let fifo = scratch.path().join("fifo");
    let mut writer = open_fifo(&fifo);
    writer.write_all(&[0x1f]).unwrap(); // gzip, and many other formats, may start with it
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
    gomon.wait_for("20"); // a log line, which starts with the year: that of the first window
    gomon.signal("INT");
    let run = gomon.finish();
    assert_eq!((run.status, run.stdout.as_str()), (Some(0), ""), "{}", run.stderr);
    assert_eq!(run.line("Calibration summary"), "Calibration summary: 2 window(s) analyzed");
    run.line("Recommended thresholds");
}

#[test]
fn more_stop_signals_do_not_cut_a_shutdown_short() {
    for (first, second) in [("INT", "TERM"), ("TERM", "INT"), ("INT", "INT"), ("QUIT", "TERM")] {
        for pause in [0, 1, 3, 10] {
            let mut gomon = Running::start(command().args(["-", BOT, "--window", "1"]));
            gomon.feed(&file(&beacon(2)));
            gomon.record();
            let id = gomon.id();
            let pause = f64::from(pause) / 1000.0;
            let script = format!("kill -{first} {id}; sleep {pause}; kill -{second} {id}");
            // The process may have ended before the second one is sent.
            Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status().unwrap();
            assert_flushed(&gomon.finish(), &script);
        }
    }
}

#[test]
fn a_stop_signal_two_seconds_after_the_first_ends_a_stuck_run() {
    // A log line for each window, more than a pipe holds whose reader does not read.
    let scratch = Scratch::new();
    let capture = scratch.file("long.pcap", &file(&beacon(2000)));
    let mut gomon = command()
        .arg(&capture)
        .args([BOT, "--window", "1", "--calibrate"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let (id, mut stderr) = (gomon.id(), gomon.stderr.take().unwrap());
    let threads = format!("/proc/{id}/task");
    until("gomon waits for its log to be read", || {
        let mut threads = fs::read_dir(&threads).unwrap().flatten();
        let wait = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        threads.any(|thread| wait(thread.path().join("wchan")).contains("pipe_write"))
    });
    let first = Instant::now();
    while gomon.try_wait().unwrap().is_none() {
        assert!(first.elapsed() < Duration::from_secs(60), "it can't be ended");
        signal(id, "TERM");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(first.elapsed() >= Duration::from_secs(2), "{:?}", first.elapsed());
    assert_eq!(gomon.wait().unwrap().code(), Some(1));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("Calibration summary"), "it was stuck before its end");
}

#[test]
fn a_reader_that_does_not_read_delays_a_shutdown_by_two_seconds() {
    // One window of more records than a pipe holds, not all of which are read.
    let frames: Vec<_> = (0..1000u16)
        .map(|k| at(u64::from(k), packet(u8::try_from(k % 10).unwrap(), 1000 + k / 10)))
        .collect();
    let scratch = Scratch::new();
    let capture = scratch.file("wide.pcap", &file(&frames));
    let mut gomon = Running::start(command().arg(&capture).args([BOT, "--port-threshold", "0"]));
    gomon.record();
    gomon.signal("INT");
    let run = gomon.end();
    let error = error(&run, 1);
    assert!(error.starts_with("writing records to stdout: its reader does not read: "), "{error}");
    assert!(run.line("Ledger: ").starts_with("Ledger: 1000 frames seen = 1000 counted "));
}

#[test]
fn signals_that_would_kill_the_process_stop_the_run_or_have_no_effect() {
    for signal in ["QUIT", "ALRM", "XCPU"] {
        let mut gomon = Running::start(command().args(["-", BOT, "--window", "1"]));
        gomon.feed(&file(&beacon(2)));
        gomon.record();
        gomon.signal(signal);
        assert_flushed(&gomon.finish(), signal);
    }
    let mut gomon = Running::start(command().args(["-", BOT, "--window", "1"]));
    let capture = file(&beacon(2));
    gomon.wait_for("  log-level: ");
    for signal in ["USR2", "XFSZ", "HUP", "PIPE"] {
        gomon.signal(signal);
    }
    gomon.feed(&capture);
    gomon.record();
    gomon.close_input();
    assert_flushed(&gomon.finish(), "those that ask for nothing");
}

#[test]
fn a_status_request_logs_the_ledger() {
    let mut gomon = Running::start(command().args(["-", BOT, "--window", "1"]));
    let capture = file(&beacon(4));
    let record = (capture.len() - 24) / 4;
    gomon.feed(&capture[..24 + 3 * record]);
    gomon.record();
    gomon.record();
    // Two windows are closed, and the third has one frame, after which nothing follows.
    gomon.signal("USR1");
    let open = gomon.wait_for_part(" open window: ");
    assert!(open.contains(": 1 frames seen = 1 counted "), "{open}");
    let all = gomon.wait_for_part(" since the start: ");
    assert!(all.contains(": 3 frames seen = 3 counted "), "{all}");
    gomon.feed(&capture[24 + 3 * record..]);
    gomon.close_input();
    assert!(gomon.finish().line("Ledger: ").starts_with("Ledger: 4 frames seen = 4 counted "));
}

/// Starts gomon as the leader of a session on a terminal. Returns the other end of that terminal as well.
fn on_a_terminal(prefix: &[&str]) -> (Running, OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    // Its input is the pipe that the shell has as descriptor 3.
    let script = "exec 3<&0 && exec setsid --ctty --wait sh -c 'exec \"$@\" <&3' sh \"$@\" <\"$0\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(name.to_str().unwrap()).args(prefix);
    shell.args([env!("CARGO_BIN_EXE_gomon"), "-", BOT, "--window", "1"]);
    let mut gomon = Running::start(shell.stdout(Stdio::piped()).stderr(Stdio::piped()));
    gomon.feed(&file(&beacon(2)));
    gomon.record();
    drop(terminal);
    (gomon, master)
}

#[test]
fn a_closed_terminal_ends_the_run_with_everything_flushed() {
    let (gomon, master) = on_a_terminal(&[]);
    drop(master);
    assert_flushed(&gomon.finish(), "HUP");
}

#[test]
fn under_nohup_a_closed_terminal_has_no_effect() {
    let (mut gomon, master) = on_a_terminal(&["nohup"]);
    drop(master);
    let three = file(&beacon(3));
    let record = (three.len() - 24) / 3;
    gomon.feed(&three[three.len() - record..]);
    gomon.record();
    gomon.close_input();
    let run = gomon.finish();
    assert!(run.line("Ledger: ").starts_with("Ledger: 3 frames seen = 3 counted "));
}

/// Starts gomon as the child of a shell that waits for it, reading two windows from a FIFO. Returns the
/// shell, the other end of the FIFO, and the process id of gomon.
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
    // The first window is closed, and the flag has taken effect.
    shell.record();
    (shell, writer, child)
}

#[test]
fn with_the_flag_the_end_of_the_parent_ends_a_run_with_everything_flushed() {
    let scratch = Scratch::new();
    let (shell, writer, child) = child_of_a_shell(&scratch, "--die-with-parent");
    shell.signal("KILL");
    // The writer keeps it waiting for more, and the process that inherits it may not reap it.
    let stat = format!("/proc/{child}/stat");
    until("gomon ends", || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z")));
    let mut run = shell.finish();
    assert_eq!(run.status, None, "the shell's");
    run.status = Some(0);
    assert_flushed(&run, "KILL");
    drop(writer);
}

#[test]
fn without_the_flag_the_end_of_the_parent_has_no_effect() {
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
fn a_run_whose_parent_keeps_running_ends_with_its_own_status() {
    let scratch = Scratch::new();
    let capture = scratch.file("beacon.pcap", &file(&beacon(1)));
    let run = run(command().arg(capture).args([BOT, "--die-with-parent"]));
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
    assert_eq!(run.line("  die-with-parent: "), "  die-with-parent: true");
}

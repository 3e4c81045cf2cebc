//! Outputs that can't be opened, fill up, or whose reader goes away.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use crate::support::program::{Scratch, command, gomon, run};
use crate::support::running::Running;
use crate::traffic::{BOT, beacon, error, file, flood, refusal};

/// A directory with a capture of so many records under `--window 1`.
fn scratch(records: u64) -> (Scratch, String) {
    let scratch = Scratch::new();
    let capture = scratch.file("beacon.pcap", &file(&beacon(records)));
    (scratch, capture.display().to_string())
}

#[test]
fn an_output_that_can_not_be_opened_is_refused_before_anything_starts() {
    let (scratch, capture) = scratch(3);
    let in_scratch = |name: &str| scratch.path().join(name).display().to_string();
    let stale = in_scratch("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    let directory = in_scratch("");
    let below_a_file = in_scratch("beacon.pcap/below/eve.json");
    let socket = |path: &str| format!("unix://{path}");
    for (flag, value, attempt) in [
        ("--eve-log-path", directory.clone(), format!("opening EVE file {directory:?}")),
        ("--eve-log-path", below_a_file.clone(), format!("opening EVE file {below_a_file:?}")),
        ("--eve-log-path", "/proc/eve.json".into(), "opening EVE file \"/proc/eve.json\"".into()),
        ("--eve-log-path", socket(&stale), format!("connecting to EVE socket {stale:?}")),
        ("--eve-log-path", socket("/nowhere"), "connecting to EVE socket \"/nowhere\"".into()),
        ("--eve-log-path", socket(&capture), format!("connecting to EVE socket {capture:?}")),
        ("--capture-dir", below_a_file.clone(), format!("capture directory {below_a_file:?}")),
        ("--capture-dir", capture.clone(), format!("capture directory {capture:?}")),
        ("--capture-dir", "/proc/captures".into(), "capture directory \"/proc/captures\"".into()),
    ] {
        let run = gomon([&capture, BOT, "--save-packets", "5", flag, &value]);
        let error = refusal(&run);
        assert!(error.contains(&attempt), "{error}");
        let advice = [": name another file", ": start its reader first", ": name another one"];
        assert!(advice.iter().any(|advice| error.ends_with(advice)), "{error}");
    }
}

#[test]
fn a_capture_directory_is_not_touched_unless_packets_are_saved() {
    let (scratch, capture) = scratch(3);
    let below_a_file = scratch.path().join("beacon.pcap/below").display().to_string();
    for flags in [&[][..], &["--save-packets", "5", "--calibrate"]] {
        let flags = ["--capture-dir", &below_a_file].into_iter().chain(flags.iter().copied());
        let run = gomon([&capture, BOT].into_iter().chain(flags));
        assert_eq!(run.status, Some(0), "{}", run.stderr);
    }
}

#[test]
fn a_full_device_fails_the_run_at_its_end() {
    let (_scratch, capture) = scratch(3);
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let to_stdout = run(command().args([&capture, BOT, "--window", "1"]).stdout(full()));
    let to_file = gomon([&capture, BOT, "--window", "1", "--eve-log-path", "/dev/full"]);
    for (run, name) in [(to_stdout, "stdout"), (to_file, "/dev/full")] {
        let error = error(&run, 1);
        assert!(error.starts_with(&format!("writing records to {name}: No space left")), "{error}");
        assert!(error.contains(": 3 record(s) are lost: make room, or"), "{error}");
        assert_eq!(run.line("Analysis"), format!("Analysis complete. Eve log: {name}"));
        assert!(run.line("Summary: ").contains(" 3 idle window(s)"), "the run goes on to its end");
        assert!(run.line("Ledger: ").starts_with("Ledger: 3 frames seen = 3 counted "));
        assert!(run.stderr.trim_end().ends_with(error), "the error comes last: {}", run.stderr);
    }
}

#[test]
fn a_full_device_fails_help_and_version() {
    for flag in ["--help", "--version"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let run = run(command().arg(flag).stdout(full));
        assert!(error(&run, 1).starts_with("writing to standard output: No space left"));
    }
}

#[test]
fn a_reader_of_standard_output_that_has_seen_enough_ends_the_run_quietly() {
    // More than a pipe holds.
    let (_scratch, capture) = scratch(2000);
    let mut gomon = Running::start(command().args([&capture, BOT, "--window", "1", "--quiet"]));
    assert_eq!(gomon.record()["dest_port"], 443);
    gomon.close_output();
    let run = gomon.finish();
    assert_eq!((run.status, run.errors()), (Some(0), vec![]));
    let starts: Vec<_> = run.stderr.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(starts, ["Analysis", "Summary:", "Ledger:"]);
}

#[test]
fn a_closed_standard_output_ends_a_run_whose_input_goes_on() {
    let capture = file(&beacon(3));
    let record = (capture.len() - 24) / 3;
    let mut gomon = Running::start(command().args(["-", BOT, "--window", "1", "--quiet"]));
    gomon.feed(&capture[..24 + 2 * record]);
    gomon.record();
    gomon.close_output();
    gomon.feed(&capture[24 + 2 * record..]);
    // Standard input is still open.
    let run = gomon.finish();
    assert_eq!((run.status, run.errors()), (Some(0), vec![]));
}

#[test]
fn standard_streams_that_are_closed_from_the_start_lose_only_what_would_go_there() {
    let (scratch, capture) = scratch(3);
    let before = fs::read(&capture).unwrap();
    for (closed, records, said) in
        [(">&-", 0, true), ("2>&-", 3, false), ("<&- >&- 2>&-", 0, false)]
    {
        let script = format!("exec \"$0\" \"$@\" {closed}");
        let args = ["-c", &script, env!("CARGO_BIN_EXE_gomon"), &capture, BOT, "--window", "1"];
        let mut sh = Command::new("sh");
        let run = run(sh.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()));
        assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{closed}: {}", run.stderr);
        assert_eq!(run.records().len(), records, "{closed}");
        assert_eq!(run.stderr.contains("Summary: "), said, "{closed}");
        assert!(!run.stderr.contains("event_type"), "{closed}");
    }
    assert_eq!(fs::read(&capture).unwrap(), before, "nothing was written to the input");
    assert_eq!(scratch.names(""), ["beacon.pcap"]);
}

#[test]
fn a_full_standard_error_does_no_harm() {
    let (_scratch, capture) = scratch(3);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let run = run(command().args([&capture, BOT, "--window", "1"]).stderr(full));
    assert_eq!((run.status, run.records().len()), (Some(0), 3));
}

#[test]
fn a_socket_that_nobody_reads_costs_its_records_and_one_wait() {
    let (scratch, capture) = scratch(3000); // more than a socket holds
    let path = scratch.path().join("eve.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let url = format!("unix://{}", path.display());
    // Were every record waited for, the run would outlast the suite's patience.
    let run = gomon([&capture, BOT, "--window", "1", "--eve-log-path", &url]);
    let silent = listener.accept().unwrap();
    let error = error(&run, 1);
    assert!(error.starts_with(&format!("writing records to {url}: ")), "{error}");
    assert!(error.contains(" record(s) are lost: "), "{error}");
    assert!(run.line("Ledger: ").starts_with("Ledger: 3000 frames seen = 3000 counted "));
    // What was written before is whole.
    drop(run);
    let mut lines = BufReader::new(silent.0).lines();
    let first = lines.next().expect("a record").expect("text");
    assert!(first.starts_with('{') && first.ends_with('}'), "{first}");
}

#[test]
fn a_socket_whose_reader_goes_away_fails_the_run_at_its_end() {
    let scratch = Scratch::new();
    let path = scratch.path().join("eve.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let url = format!("unix://{}", path.display());
    let capture = file(&beacon(4));
    let record = (capture.len() - 24) / 4;
    let mut gomon =
        Running::start(command().args(["-", BOT, "--window", "1", "--eve-log-path", &url]));
    gomon.feed(&capture[..24 + 2 * record]);
    let mut reader = BufReader::new(listener.accept().unwrap().0);
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    gomon.feed(&capture[24 + 2 * record..]);
    gomon.close_input();
    let run = gomon.finish();
    let error = error(&run, 1);
    assert!(error.starts_with(&format!("writing records to {url}: Broken pipe")), "{error}");
    assert!(error.contains(": 3 record(s) are lost: "), "{error}");
    assert!(run.line("Ledger: ").starts_with("Ledger: 4 frames seen = 4 counted "));
}

#[test]
fn captures_that_can_not_be_saved_fail_the_run_at_its_end() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("captures");
    let capture = file(&flood(200));
    let mut gomon = Running::start(
        command().args(["-", BOT, "--save-packets", "5", "--capture-dir"]).arg(&directory),
    );
    gomon.wait_for("  log-level: ");
    // The directory was made, and goes away before there is anything to save.
    fs::remove_dir(&directory).unwrap();
    gomon.feed(&capture);
    gomon.close_input();
    let run = gomon.finish();
    let error = error(&run, 1);
    assert!(error.starts_with(&format!("saving captures in {directory:?}: 1 file(s)")), "{error}");
    let records = run.records();
    assert_eq!(records[0]["alert"]["category"], "attack");
    assert_eq!(records[0].get("capture_file"), None);
    assert!(run.line("Summary: ").contains(" 1 attack alert(s), "), "{}", run.stderr);
    assert!(run.line("Summary: ").ends_with(" 0 capture(s) saved"), "{}", run.stderr);
}

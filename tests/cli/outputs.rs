//! Outputs that can't be opened, fill up, or lose their reader.

use std::fs::{self, File};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use crate::inputs::make_fifo;
use crate::support::net::until;
use crate::support::program::{Scratch, command, gomon, records, run};
use crate::support::running::Running;
use crate::traffic::{BOT, beacon, error, file, flood, refusal};

/// A directory with a capture of so many records under `--window 1`.
pub(crate) fn scratch(records: u64) -> (Scratch, String) {
    let scratch = Scratch::new();
    let capture = scratch.file("beacon.pcap", &file(&beacon(records)));
    (scratch, capture.display().to_string())
}

#[test]
fn an_output_that_can_not_be_opened_is_refused_before_the_run_starts() {
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
        let advice = [": start its reader first", "name another file", "name another one"];
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
        assert!(error.contains(": 4 record(s) are lost: free some space, or"), "{error}");
        assert_eq!(run.line("Analysis"), format!("Analysis complete. Eve log: {name}"));
        assert!(
            run.line("Summary: ").contains(" 3 idle window(s)"),
            "the run continues to its end"
        );
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
fn a_reader_that_closes_standard_output_ends_the_run_quietly() {
    // More than a pipe holds.
    let (_scratch, capture) = scratch(2000);
    let mut gomon = Running::start(command().args([&capture, BOT, "--window", "1", "--quiet"]));
    assert_eq!(gomon.record()["dest_port"], 443);
    gomon.close_output();
    let run = gomon.finish();
    assert_eq!((run.status, run.errors()), (Some(0), vec![]));
    let starts: Vec<_> = run.stderr.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(starts, ["Analysis", "Summary:", "Observed:", "Top", "Ledger:"]);
}

#[test]
fn a_closed_standard_output_ends_a_run_whose_input_is_still_open() {
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
fn standard_streams_closed_from_the_start_lose_only_their_own_output() {
    let (scratch, capture) = scratch(3);
    let before = fs::read(&capture).unwrap();
    for (closed, records, has_summary) in
        [(">&-", 0, true), ("2>&-", 3, false), ("<&- >&- 2>&-", 0, false)]
    {
        let script = format!("exec \"$0\" \"$@\" {closed}");
        let args = ["-c", &script, env!("CARGO_BIN_EXE_gomon"), &capture, BOT, "--window", "1"];
        let mut sh = Command::new("sh");
        let run = run(sh.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()));
        assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{closed}: {}", run.stderr);
        assert_eq!(run.records().len(), records, "{closed}");
        assert_eq!(run.stderr.contains("Summary: "), has_summary, "{closed}");
        assert!(!run.stderr.contains("event_type"), "{closed}");
    }
    assert_eq!(fs::read(&capture).unwrap(), before, "nothing was written to the input");
    assert_eq!(scratch.names(""), ["beacon.pcap"]);
}

#[test]
fn a_full_standard_error_is_ignored() {
    let (_scratch, capture) = scratch(3);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let run = run(command().args([&capture, BOT, "--window", "1"]).stderr(full));
    assert_eq!((run.status, run.records().len()), (Some(0), 3));
}

#[test]
fn standard_output_by_its_path_ends_the_run_when_its_reader_closes_it() {
    let (_scratch, capture) = scratch(2000);
    for flags in [&[][..], &["--eve-log-path", "/dev/stdout"]] {
        let args = [&[capture.as_str(), BOT, "--window", "1", "--quiet"], flags].concat();
        let mut gomon = Running::start(command().args(args));
        gomon.record();
        gomon.close_output();
        let run = gomon.finish();
        assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
        assert!(run.stderr.lines().count() < 20, "{}", run.stderr);
    }
}

#[test]
fn a_reader_that_closes_standard_output_ends_a_run_with_nothing_to_write() {
    let mut gomon = Running::start(command().args(["-", BOT]));
    gomon.wait_for("  log-level: ");
    gomon.close_output();
    // Standard input stays open.
    let run = gomon.finish();
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
}

#[test]
fn records_are_not_written_into_the_capture_by_any_name() {
    let (_scratch, capture) = scratch(3);
    let before = fs::read(&capture).unwrap();
    let input = || File::open(&capture).unwrap();
    let append = || File::options().append(true).open(&capture).unwrap();
    for run in [
        run(command().args([&capture, BOT]).stdout(append())),
        run(command().args(["-", BOT]).stdin(input()).stdout(append())),
        run(command().args(["-", BOT, "--eve-log-path", &capture]).stdin(input())),
        run(command().args([&capture, BOT, "--eve-log-path", &capture])),
    ] {
        assert!(refusal(&run).contains("it is the input"), "{}", run.stderr);
    }
    assert_eq!(fs::read(&capture).unwrap(), before);
}

#[test]
fn a_fresh_file_that_lacks_records_replaces_nothing() {
    let (scratch, capture) = scratch(200);
    let eve = scratch.file("eve.json", b"older\n");
    let script = format!("ulimit -f 20; exec \"$0\" \"$@\" --eve-log-path {}", eve.display());
    let args =
        ["-c", &script, env!("CARGO_BIN_EXE_gomon"), &capture, BOT, "--window", "1", "--eve-fresh"];
    let mut sh = Command::new("sh");
    let run = run(sh.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let error = error(&run, 1);
    assert!(error.contains("File too large") && error.contains("was left in "), "{error}");
    assert_eq!(fs::read_to_string(&eve).unwrap(), "older\n");
    let names = scratch.names("");
    let left = names.iter().find(|name| name.ends_with(".partial")).expect("what there is");
    assert!(!records(&fs::read_to_string(scratch.path().join(left)).unwrap()).is_empty());
}

#[test]
fn a_run_that_did_not_start_leaves_no_part_of_a_fresh_file() {
    let (scratch, capture) = scratch(3);
    let eve = scratch.file("eve.json", b"older\n").display().to_string();
    let captures = format!("{capture}/captures");
    let flags = ["--eve-fresh", "--eve-log-path", &eve, "--save-packets", "1", "--capture-dir"];
    let run = gomon([&capture, BOT].into_iter().chain(flags).chain([captures.as_str()]));
    refusal(&run);
    assert_eq!(scratch.names(""), ["beacon.pcap", "eve.json"]);
    assert_eq!(fs::read_to_string(&eve).unwrap(), "older\n");
    for target in ["-", "unix:///nowhere"] {
        let run = gomon([&capture, BOT, "--eve-fresh", "--eve-log-path", target]);
        assert!(refusal(&run).contains("only a file can be replaced"), "{}", run.stderr);
    }
}

#[test]
fn a_fifo_gets_the_records_when_it_has_a_reader() {
    let (scratch, capture) = scratch(3);
    let fifo = scratch.path().join("eve");
    make_fifo(&fifo);
    let args = [&capture, BOT, "--window", "1", "--eve-log-path", fifo.to_str().unwrap()];
    let gomon = Running::start(command().args(args));
    let records = fs::read_to_string(&fifo).unwrap();
    assert_eq!(records, run(command().args(&args[..4])).stdout);
    assert_eq!(gomon.finish().status, Some(0));
}

/// Rotates the file that gomon writes to, as logrotate(8) does, while records are written.
#[test]
fn a_rotated_file_is_reopened_and_every_record_is_written_once() {
    const RECORDS: u64 = 3000;
    let scratch = Scratch::new();
    let eve = scratch.path().join("eve.json");
    let capture = file(&beacon(RECORDS));
    let record = (capture.len() - 24) / usize::try_from(RECORDS).unwrap();
    let mut gomon =
        Running::start(command().args(["-", BOT, "--window", "1", "--eve-log-path"]).arg(&eve));
    gomon.wait_for("  log-level: ");
    let mut rotated = 0;
    for (number, piece) in capture.chunks(24 + 100 * record).enumerate() {
        gomon.feed(piece);
        if number % 5 == 4 {
            rotated += 1;
            fs::rename(&eve, scratch.path().join(format!("eve.json.{rotated}"))).unwrap();
            gomon.signal("HUP");
            until("the file is there again", || eve.exists());
        }
    }
    gomon.close_input();
    let run = gomon.finish();
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
    assert!(rotated >= 5);
    let names = (1..=rotated).map(|number| format!("eve.json.{number}")).chain(["eve.json".into()]);
    let texts = names.map(|name| fs::read_to_string(scratch.path().join(name)).unwrap());
    let starts: Vec<_> = texts
        .flat_map(|text| records(&text))
        .map(|record| record["timestamp"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(starts.len() as u64, RECORDS);
    assert!(starts.is_sorted_by(|one, next| one < next), "in order, and each once");
}

#[test]
fn a_file_that_can_not_be_reopened_is_still_written_to() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("log");
    fs::create_dir(&folder).unwrap();
    let eve = folder.join("eve.json");
    let mut gomon =
        Running::start(command().args(["-", BOT, "--window", "1", "--eve-log-path"]).arg(&eve));
    gomon.wait_for("  log-level: ");
    let moved = scratch.path().join("moved");
    fs::rename(&folder, &moved).unwrap();
    gomon.signal("HUP");
    gomon.wait_for_part("reopening ");
    gomon.feed(&file(&beacon(3)));
    gomon.close_input();
    assert_eq!(gomon.finish().status, Some(0));
    assert_eq!(records(&fs::read_to_string(moved.join("eve.json")).unwrap()).len(), 3);
}

/// A limit on the file size makes a write fail in the middle of a line, as a full disk does.
#[test]
fn records_are_in_a_file_whole_or_not_at_all() {
    let (scratch, capture) = scratch(200);
    for (limit, open) in [(20, ">"), (21, ">>"), (22, ">")] {
        let eve = scratch.path().join(format!("eve{limit}.json"));
        // In units of 1024 bytes in bash, of 512 in other shells; the pipe to `cat` is not limited.
        let script = format!("ulimit -f {limit}; exec \"$0\" \"$@\" {open} {}", eve.display());
        let args = ["-c", &script, env!("CARGO_BIN_EXE_gomon"), &capture, BOT, "--window", "1"];
        let mut sh = Command::new("sh");
        let run = run(sh.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()));
        let error = error(&run, 1);
        assert!(error.starts_with("writing records to stdout: File too large"), "{error}");
        let text = fs::read_to_string(&eve).unwrap();
        assert!(text.ends_with('\n'), "{:?}", &text[text.len() - 40..]);
        let written = records(&text).len();
        assert!(error.contains(&format!(": {} record(s) are lost", 201 - written)), "{error}");
    }
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
    // The directory was made, and is removed before there is anything to save.
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

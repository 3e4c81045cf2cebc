//! What is written to which stream, and where records can be written instead.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;

use crate::support::program::{Outcome, Scratch, command, gomon, run};
use crate::support::running::Running;
use crate::support::tools::have;
use crate::traffic::{BOT, beacon, file, flood, refusal};

/// Every documented flag, with its default as the configuration block shows it; `None` for flags without a
/// line there.
pub(crate) const FLAGS: [(&str, Option<&str>); 28] = [
    ("bot-mac", Some("<none>")),
    ("list-sources", None),
    ("window", Some("30s")),
    ("step", Some("30s")),
    ("packet-threshold", Some("5 packets/s (150 packets/window)")),
    ("destination-threshold", Some("10 hosts/window (0.33 hosts/s)")),
    ("port-threshold", Some("100 ports/window (3.33 ports/s)")),
    ("scan-detection-mode", Some("filtered-host-rate")),
    ("sweep-detection", Some("on")),
    ("sweep-hosts", Some("12")),
    ("ignore-dst", Some("<none>")),
    ("c2-ip", Some("<none>")),
    ("sensor-name", Some("<none>")),
    ("sample-id", Some("<none>")),
    ("max-destinations", Some("1024")),
    ("eve-log-path", Some("stdout")),
    ("eve-fresh", Some("false")),
    ("eve-strict", Some("false")),
    ("connections", Some("flow")),
    ("show-idle", Some("false")),
    ("stats", Some("false")),
    ("calibrate", Some("false")),
    ("save-packets", Some("0")),
    ("capture-dir", Some("./captures")),
    ("attach", Some("auto")),
    ("log-level", Some("info")),
    ("quiet", None),
    ("version", None),
];

/// A directory with a capture of three records under `--window 1`.
fn scratch() -> (Scratch, String) {
    let scratch = Scratch::new();
    let capture = scratch.file("beacon", &file(&beacon(3)));
    (scratch, capture.display().to_string())
}

#[test]
fn records_are_on_standard_output_and_everything_else_on_standard_error() {
    let (_scratch, capture) = scratch();
    let run = gomon([&capture, BOT, "--window", "1", "--show-idle", "--log-level", "debug"]);
    assert_eq!(run.status, Some(0));
    let kinds: Vec<_> = run.records().iter().map(|r| r["event_type"].to_string()).collect();
    assert_eq!(kinds, ["\"flow\"", "\"stats\""].repeat(3));
    assert!(!run.stderr.contains("event_type"), "{}", run.stderr);
    for part in ["Configuration:\n", "\nAnalysis complete.", "\nSummary: ", "\nLedger: "] {
        assert!(run.stderr.contains(part), "{part:?} in {}", run.stderr);
    }
    assert!(!run.stderr.contains('\r'), "no progress bar without a terminal");
}

#[test]
fn a_progress_bar_shows_on_a_terminal_unless_quiet() {
    if !have("script") {
        return;
    }
    let scratch = Scratch::new();
    let capture = scratch.file("long.pcap", &file(&flood(40_000)));
    for (flag, shown) in [("--show-idle", true), ("--quiet", false)] {
        let capture = capture.display();
        let line = format!("{} {capture} {BOT} {flag} >/dev/null", env!("CARGO_BIN_EXE_gomon"));
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm");
        let run = run(script.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
        assert_eq!(run.status, Some(0), "{}", run.stdout);
        let bar =
            run.stdout.split('\r').find(|text| text.contains(" packets/s, ") && text.contains('%'));
        assert_eq!(bar.is_some(), shown, "{}", run.stdout);
        assert!(bar.is_none_or(|bar| bar.contains("% ") && bar.contains(" left")), "{bar:?}");
        let summary = run.stdout.lines().find(|line| line.contains("Summary: ")).unwrap();
        assert!(summary.starts_with("Summary: 1 attack alert(s), "), "{summary:?}");
    }
}

#[test]
fn the_configuration_block_shows_every_setting_and_the_version() {
    let (_scratch, capture) = scratch();
    let run = gomon([&capture, BOT]);
    let block: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("  ")).collect();
    for (name, default) in FLAGS {
        if let Some(value) = default {
            let line = format!("  {name}: {value}");
            assert!(block.contains(&line.as_str()), "{line:?} in {block:#?}");
        }
    }
    let version = gomon(["--version"]).stdout;
    let version = version.trim_end().strip_prefix("gomon version ").unwrap();
    for line in [format!("  version: {version}"), format!("  source-ip: {BOT}")] {
        assert!(block.contains(&line.as_str()), "{line:?} in {block:#?}");
    }
}

#[test]
fn quiet_leaves_only_the_summary_on_standard_error() {
    let (_scratch, capture) = scratch();
    // A capture of one direction causes a warning, and --quiet does not suppress warnings.
    let run = gomon([&capture, BOT, "--quiet", "--sweep-detection", "off"]);
    let starts: Vec<_> = run.stderr.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(starts, ["Analysis", "Summary:", "Observed:", "Top", "Ledger:"]);
    assert_eq!(run.records().len(), 1);
}

#[test]
fn version_is_one_line_on_standard_output() {
    let run = gomon(["--version"]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    let version = run.stdout.strip_prefix("gomon version ").unwrap().strip_suffix('\n').unwrap();
    let release = version.strip_prefix('v').is_some_and(|v| v.split('.').count() == 3);
    let checkout = version.starts_with("dev (") && version.ends_with(')');
    assert!(release || checkout, "{version}");
    assert!(!version.contains('\n'));
}

#[test]
fn an_eve_file_is_appended_to() {
    let (scratch, capture) = scratch();
    let eve = scratch.path().join("eve.json");
    let eve = eve.to_str().unwrap();
    let expected = gomon([&capture, BOT, "--window", "1"]).stdout;
    for run in 1..=2 {
        let outcome = gomon([&capture, BOT, "--window", "1", "--eve-log-path", eve]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(0), ""));
        assert_eq!(outcome.line("Analysis"), format!("Analysis complete. Eve log: {eve}"));
        assert_eq!(fs::read_to_string(eve).unwrap(), expected.repeat(run));
    }
}

#[test]
fn a_fresh_eve_file_has_its_name_when_it_is_complete() {
    let (scratch, capture) = scratch();
    let eve = scratch.path().join("eve.json");
    let expected = gomon([&capture, BOT, "--window", "1"]).stdout;
    let fresh = ["-", BOT, "--window", "1", "--eve-fresh", "--eve-log-path", eve.to_str().unwrap()];
    for _ in 0..2 {
        let mut gomon = Running::start(command().args(fresh));
        gomon.feed(&fs::read(&capture).unwrap());
        gomon.wait_for("  log-level: ");
        gomon.close_input();
        let run = gomon.finish();
        assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
        let records = fs::read_to_string(&eve).unwrap();
        assert_eq!(records.replace("\"-\"", &format!("{capture:?}")), expected);
    }
    // A run that is killed does not change the existing file.
    let mut gomon = Running::start(command().args(fresh));
    gomon.wait_for("  log-level: ");
    gomon.signal("KILL");
    gomon.end();
    assert_eq!(fs::read_to_string(&eve).unwrap().lines().count(), 4);
    // Only a file can be replaced.
    for path in ["/dev/null", "/dev/stderr"] {
        let run = gomon_fresh(&capture, path);
        assert!(refusal(&run).contains("--eve-fresh replaces a regular file"), "{}", run.stderr);
    }
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

fn gomon_fresh(capture: &str, path: &str) -> Outcome {
    gomon([capture, BOT, "--eve-fresh", "--eve-log-path", path])
}

#[test]
fn a_dash_or_nothing_as_eve_path_is_standard_output() {
    let (_scratch, capture) = scratch();
    let expected = gomon([&capture, BOT]).stdout;
    for path in ["-", ""] {
        let run = gomon([&capture, BOT, "--eve-log-path", path]);
        assert_eq!((run.status, run.stdout.as_str()), (Some(0), expected.as_str()));
        assert_eq!(run.line("Analysis"), "Analysis complete. Eve log: stdout");
    }
}

#[test]
fn a_listening_socket_gets_the_records() {
    let (scratch, capture) = scratch();
    let path = scratch.path().join("eve.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let listening = thread::spawn(move || {
        let mut got = String::new();
        listener.accept().unwrap().0.read_to_string(&mut got).unwrap();
        got
    });
    let url = format!("unix://{}", path.display());
    let run = gomon([&capture, BOT, "--window", "1", "--eve-log-path", &url]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(0), ""));
    assert_eq!(run.line("Analysis"), format!("Analysis complete. Eve log: {url}"));
    let expected = gomon([&capture, BOT, "--window", "1"]).stdout;
    assert_eq!(listening.join().unwrap(), expected);
}

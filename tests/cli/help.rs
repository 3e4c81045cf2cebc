//! The output of `-h`, `--help` and a command line without arguments, and the error for a typo.

use std::process::{Command, Stdio};

use clap::Parser;
use gomon::settings::Args;

use crate::streams::FLAGS;
use crate::support::program::{command, gomon, run};
use crate::support::tools::have;
use crate::traffic::{BOT, refusal};

/// The widest line of help outside of a terminal.
const WIDTH: usize = 100;

const HEADINGS: [&str; 7] = [
    "Input:",
    "Windows:",
    "Thresholds (a value must exceed them):",
    "Detection:",
    "Output:",
    "Artifacts:",
    "Attaching and running:",
];

#[track_caller]
fn shown(args: &[&str]) -> String {
    let mut gomon = command();
    let run = run(gomon.args(args).env_remove("COLUMNS"));
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    run.stdout
}

/// The lines of the entry of a flag: from the one that names it to the next one.
#[track_caller]
fn entry<'a>(help: &'a str, flag: &str) -> Vec<&'a str> {
    let names = |line: &str| line.trim_start().starts_with('-') && line.starts_with("  ");
    let of_flag = |line: &&str| names(line) && format!("{line} ").contains(&format!("--{flag} "));
    let lines: Vec<_> = help.lines().collect();
    let at = lines.iter().position(of_flag).unwrap_or_else(|| {
        panic!("--{flag} in {help}");
    });
    let more = lines[at + 1..].iter().take_while(|line| !names(line) && !HEADINGS.contains(line));
    [lines[at]].into_iter().chain(more.copied()).collect()
}

#[test]
fn both_forms_group_every_flag_under_headings_within_a_hundred_columns() {
    for form in ["-h", "--help"] {
        let help = shown(&[form]);
        let headings: Vec<_> = help.lines().filter(|line| HEADINGS.contains(line)).collect();
        assert_eq!(headings, HEADINGS, "{form}");
        for (name, _) in FLAGS {
            entry(&help, name);
        }
        let wide: Vec<_> = help.lines().filter(|line| line.chars().count() > WIDTH).collect();
        assert!(wide.is_empty(), "{form}: {wide:#?}");
        assert!(!help.contains("destination-rate-mode"), "the deprecated alias is hidden");
        let (_, examples) = help.split_once("\nExamples:\n").expect("examples at the end");
        assert!(examples.contains("  gomon vnet0 10.10.0.20 "), "{examples}");
    }
}

#[test]
fn the_short_form_has_one_line_per_flag() {
    let help = shown(&["-h"]);
    for (name, _) in FLAGS {
        let lines = entry(&help, name);
        let text: Vec<_> = lines.iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(text.len(), 1, "{text:#?}");
    }
    assert!(help.lines().count() < shown(&["--help"]).lines().count() / 2);
}

#[test]
fn the_long_form_names_units_choices_and_exit_statuses() {
    let help = shown(&["--help"]);
    for (flag, parts) in [
        ("packet-threshold", &["packets/s", "150/window", "[default: 5]"][..]),
        ("destination-threshold", &["hosts/window", "0.5/s", "[default: 10]"]),
        ("port-threshold", &["ports/window", "10/s", "0 turns it off", "[default: 100]"]),
        ("window", &["30 (seconds), 0.5, 500ms, 2m", "[default: 30]"]),
        ("scan-detection-mode", &["host-rate (all)", "new-host-rate", "filtered-host-rate"]),
        ("attach", &["auto, xdp, xdp-generic, tc, pcap"]),
    ] {
        let entry = entry(&help, flag).join(" ");
        assert!(parts.iter().all(|part| entry.contains(part)), "{entry}");
    }
    for status in 0..4 {
        assert!(help.contains(&format!("\n  {status}  ")), "{help}");
    }
}

#[test]
fn lines_fit_the_width_of_a_terminal() {
    if !have("script") {
        return;
    }
    for columns in [60, 200] {
        let line =
            format!("stty rows 24 columns {columns}; {} --help", env!("CARGO_BIN_EXE_gomon"));
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).env("TERM", "dumb").env_remove("COLUMNS");
        let run = run(script.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
        let longest = run.stdout.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        let most = WIDTH.min(columns);
        assert!((most - 20..=most).contains(&longest), "{longest} of {columns}: {}", run.stdout);
    }
}

#[test]
fn no_arguments_show_the_short_form_as_an_error() {
    let run = gomon::<&str>([]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""));
    assert_eq!(run.stderr, shown(&["-h"]));
}

#[test]
fn the_error_for_a_typo_suggests_a_similar_flag() {
    for (typo, meant) in [
        ("--packet-treshold", "--packet-threshold"),
        ("--windo", "--window"),
        ("--eve-log-pat", "--eve-log-path"),
    ] {
        let run = gomon(["x.pcap", BOT, typo, "3"]);
        let expected = format!(
            "reading the command line: unexpected argument '{typo}' found, a similar one is {meant}: \
             see gomon --help"
        );
        assert_eq!(refusal(&run), expected);
    }
}

#[test]
fn short_flags_are_the_same_as_long_ones() {
    let long = "--window 10 --step 5 --packet-threshold 7 --destination-threshold 8 --ignore-dst \
                192.0.2.1 --c2-ip 192.0.2.2 --eve-log-path /nowhere/x --quiet";
    let short = "-w 10 -s 5 -p 7 -d 8 -x 192.0.2.1 -c 192.0.2.2 -o /nowhere/x -q";
    let settings = |flags: &str| {
        let args = ["gomon", "x.pcap", BOT].into_iter().chain(flags.split_whitespace());
        format!("{:?}", Args::parse_from(args))
    };
    assert_eq!(settings(short), settings(long));
}

//! The configuration: errors, `--check`, and the example.

use std::fs;
use std::path::Path;

use crate::support::program::{Outcome, Scratch, gomon};

fn check(text: &str) -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.file("gomon.toml", text.as_bytes());
    gomon(["fleet", "--check", "--config", path.to_str().unwrap()])
}

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gomon.toml");
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_example_is_accepted_and_shown() {
    let outcome = check(&example());
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert_eq!(outcome.stderr, "");
    for part in [
        "bot vnet0 10.10.0.20: window 30s, records to /var/log/gomon/eve.json, sample beacon-42: ",
        "records to /var/log/gomon/br-lab-10.10.0.30.json",
        "bot br-lab 10.10.0.31,2001:db8::31: ",
        "bot vnet* any: ",
        "metrics at http://127.0.0.1:9477/metrics",
        "4 bot(s), windows staggered",
    ] {
        assert!(outcome.stdout.contains(part), "{part} is not in:\n{}", outcome.stdout);
    }
}

#[test]
fn the_example_has_every_flag_and_their_defaults() {
    let example = example();
    let help = gomon(["--help"]).stdout;
    let flags = help.lines().filter_map(|line| {
        let flag = line.split_whitespace().find(|word| word.starts_with("--"))?;
        line.trim_start().starts_with('-').then(|| flag[2..].trim_end_matches(',').to_owned())
    });
    let not_for_a_fleet =
        ["calibrate", "eve-fresh", "list-sources", "help", "version", "sample-id"];
    let flags: Vec<_> = flags.filter(|flag| !not_for_a_fleet.contains(&flag.as_str())).collect();
    assert!(flags.len() > 20, "{flags:?}");
    let keys: Vec<_> = example
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once(" = "))
        .map(|(key, _)| key.replace('_', "-"))
        .collect();
    let missing: Vec<_> = flags.iter().filter(|flag| !keys.contains(flag)).collect();
    assert!(missing.is_empty(), "{missing:?} are not in docs/gomon.toml");
    // The keys in comments are accepted as well.
    let all: String = example
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest.contains(" = ") && rest.starts_with(|c: char| c.is_ascii_lowercase()) =>
            {
                // A MAC address can't be empty.
                format!("{}\n", rest.replace("bot_mac = \"\"", "bot_mac = \"auto\""))
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let outcome = check(&all);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
}

#[test]
fn an_error_is_one_line_with_the_file_the_line_and_the_key() {
    let bot = "[[bot]]\ninterface = \"vnet0\"\nsrc = \"10.0.0.5\"\n";
    for (text, parts) in [
        (format!("{bot}windwo = 1"), ["gomon.toml:4: windwo: ", "did you mean \"window\"?"]),
        (format!("{bot}{bot}"), ["gomon.toml:5: interface \"vnet0\": ", "gomon.toml:2: interface"]),
        (format!("{bot}window = 0"), ["gomon.toml:4: window \"0\": ", "give 1ms to 366days"]),
        ("[[bot]\n".into(), ["gomon.toml:1: ", "write it as TOML"]),
        ("[[bot]]\ninterface='v*'\nsrc='::1'".into(), ["gomon.toml:3: src \"::1\": ", "give any"]),
        ("\u{1b}".into(), ["gomon.toml:1: ", "write it as TOML"]),
    ] {
        let outcome = check(&text);
        assert_eq!(outcome.status, Some(2), "{outcome:?}");
        assert_eq!((outcome.stderr.lines().count(), outcome.stdout.as_str()), (1, ""));
        assert!(outcome.stderr.starts_with("gomon: reading "), "{outcome:?}");
        for part in parts {
            assert!(outcome.stderr.contains(part), "{part} is not in {}", outcome.stderr);
        }
    }
}

#[test]
fn a_file_that_is_not_a_configuration_is_rejected() {
    let scratch = Scratch::new();
    let binary = scratch.file("binary", &[0xff; 100]);
    for path in [Path::new("/nonexistent"), Path::new("/"), Path::new("/dev/zero"), &binary] {
        let outcome = gomon(["fleet", "--config", path.to_str().unwrap()]);
        assert_eq!(outcome.status, Some(2), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
        assert!(outcome.stderr.starts_with("gomon: reading "), "{outcome:?}");
        assert!(outcome.stderr.contains(": give a"), "{outcome:?}");
    }
}

#[test]
fn a_thousand_bots_are_read() {
    let bots = (0..1000).map(|at| {
        let (high, low) = (at / 256, at % 256);
        format!("[[bot]]\ninterface = \"vnet{at}\"\nsrc = \"10.0.{high}.{low}\"\nwindow = 10\n")
    });
    let text: String = bots.collect();
    let outcome = check(&text);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("bot vnet999 10.0.3.231: window 10s, "), "{outcome:?}");
}

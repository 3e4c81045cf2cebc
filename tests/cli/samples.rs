//! Sample ids of every kind: hostile ones are common, because malware chooses its own name.

use std::fs;
use std::path::Path;

use crate::support::program::{Scratch, gomon};
use crate::traffic::{BOT, file, flood, sweep};

#[test]
fn no_sample_id_breaks_a_record_or_leads_an_artifact_out_of_its_directory() {
    let long = "long ".repeat(2000);
    for id in [
        "beacon-42",
        "../../../../escape",
        "/etc/passwd",
        "..",
        ".",
        "-",
        "a/b\\c:d e",
        "two\nlines\r\n",
        "\u{1b}[31mred\u{7}",
        "\"quoted\", {json: [}",
        "ünïcødé ✓ 🦠 \u{202e}right to left",
        "\u{0301}combining",
        "%s%n{}${HOME}",
        &long,
        &"🦠".repeat(500),
    ] {
        let scratch = Scratch::new();
        let mut frames = sweep(20);
        frames.extend(flood(200));
        let capture = scratch.file("mixed.pcap", &file(&frames));
        let captures = scratch.path().join("captures");
        let (capture, directory) = (capture.to_str().unwrap(), captures.to_str().unwrap());
        let keep = ["--save-packets", "5", "--capture-dir", directory];
        let flags = ["--sample-id", id].into_iter().chain(keep);
        let run = gomon([capture, BOT].into_iter().chain(flags));
        assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{id:?}: {}", run.stderr);

        assert_eq!(
            run.stdout.lines().count(),
            3,
            "an attack, a scan, the end, a line each: {id:?}"
        );
        let mut saved = Vec::new();
        for record in run.records() {
            assert_eq!(record["host"], id);
            assert_eq!(record["metadata"]["gomon"]["sample_id"], id);
            let path = Path::new(record["capture_file"].as_str().unwrap()).to_owned();
            assert_eq!(path.parent(), Some(captures.as_path()), "{id:?}");
            assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{path:?}");
            saved.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
        saved.sort();
        assert_eq!(scratch.names("captures"), saved, "nothing else, no temporary file: {id:?}");
        assert_eq!(scratch.names(""), ["captures", "mixed.pcap"], "{id:?}");
        assert!(run.line("Summary: ").ends_with(" 2 capture(s) saved"), "{}", run.stderr);

        let control = run.stderr.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(control, None, "the configuration block shows {id:?} escaped");
        let lines = run.stderr.lines().filter(|line| line.starts_with("  sample-id: ")).count();
        assert_eq!(lines, 1, "{id:?}");
    }
}

//! A sandbox manager that gives gomon a pipe, kills its shell, and closes the pipe: the command line that
//! `docs/operating.md` recommends for that.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::inputs::open_fifo;
use crate::support::net::until;
use crate::support::program::{Scratch, is_closing, signal};
use crate::support::running::Running;
use crate::traffic::{BOT, file, flood};

#[test]
fn the_documented_command_line_keeps_the_alert_of_a_run_whose_shell_is_killed() {
    // As in the document; a template without a controller leaves --c2-ip without a value.
    const LINE: &str = "gomon \"$TAP\" \"$BOT_IP\" --quiet --eve-log-path \"$LOG_DIR/eve.json\" \
                        --die-with-parent --c2-ip \"$C2_IP\" --sample-id \"$SAMPLE_ID\"";
    let document = include_str!("../../docs/operating.md");
    assert!(document.replace(" \\\n     ", "").contains(LINE), "{document}");
    for (line, controller) in [
        (LINE.to_owned(), "192.0.2.99"),
        (LINE.to_owned(), ""),
        (LINE.replace("\"$C2_IP\"", ""), ""),
    ] {
        let scratch = Scratch::new();
        let fifo = scratch.path().join("vnet0");
        let mut writer = open_fifo(&fifo);
        let path = std::path::Path::new(env!("CARGO_BIN_EXE_gomon")).parent().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{line} & echo \"child $!\" >&2; wait")]);
        shell.env("PATH", format!("{}:/usr/bin:/bin", path.display()));
        shell.env("TAP", &fifo).env("BOT_IP", BOT).env("LOG_DIR", scratch.path());
        shell.env("C2_IP", controller).env("SAMPLE_ID", "x");
        let mut shell = Running::start(shell.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let child = shell.wait_for_part("child ").trim().rsplit(' ').next().unwrap().to_owned();
        writer.write_all(&file(&flood(200))).unwrap();
        let eve = scratch.path().join("eve.json");
        until("gomon runs", || eve.exists());
        until("the flood is counted", || {
            signal(child.parse().unwrap(), "USR1");
            shell.wait_for_part(" open window: ").contains(": 200 frames seen ")
        });
        shell.signal("KILL");
        shell.close_output();
        let stat = format!("/proc/{child}/stat");
        until("gomon ends", || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z")));
        let text = fs::read_to_string(&eve).unwrap();
        let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let records: Vec<serde_json::Value> = records.collect();
        let [alert, closing] = records.as_slice() else { panic!("{line}: two records: {text}") };
        assert_eq!((&alert["alert"]["category"], &alert["host"]), (&"attack".into(), &"x".into()));
        assert_eq!(alert["metadata"]["gomon"]["packets"], 200, "{text}");
        assert!(is_closing(closing));
        assert_eq!(closing["metadata"]["gomon"]["ended"], "stopped");
    }
}

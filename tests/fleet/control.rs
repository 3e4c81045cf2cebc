//! The control socket: who may connect, what it replaces, and hostile clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use serde_json::Value;

use crate::program::{FleetProgram, ctl};
use crate::support::program::{Scratch, gomon};

const CONTROL: &str = "[control]\nsocket = \"{dir}/control.sock\"\n";
const WAITING: &str = "[[bot]]\ninterface = \"gomon-none\"\nsrc = \"10.0.0.5\"\n";

fn fleet() -> FleetProgram {
    FleetProgram::start(None, &format!("{CONTROL}{WAITING}"))
}

/// Sends bytes, and returns the answer up to its end or its first line feed.
fn exchange(fleet: &FleetProgram, bytes: &[u8]) -> Value {
    let mut stream = UnixStream::connect(fleet.path("control.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The fleet may close the connection before it has read everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"))
}

#[test]
fn bots_are_added_listed_and_removed() {
    let fleet = fleet();
    let outcome = fleet.ctl("add gomon-no2 10.0.0.6 --sample-id x --window 10");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(0), "waiting for the interface\n"));
    let bot = fleet.bot("list", "gomon-no2", "10.0.0.6");
    assert_eq!(
        (&bot["state"], &bot["sample_id"], &bot["added"]),
        (&"waiting".into(), &"x".into(), &true.into())
    );
    assert_eq!(fleet.bot("status", "gomon-none", "10.0.0.5")["added"], false);
    let table = fleet.ctl("list").stdout;
    assert!(table.starts_with("INTERFACE   SRC       SAMPLE  STATE"), "{table}");
    assert_eq!(table.lines().count(), 3);
    for (args, part) in [
        ("add gomon-no2 10.0.0.6", "the same interface and address are there already"),
        ("add gomon-no2 any", "a bot with src = \"any\" and another"),
        ("add gomon-no3 10.0.0.6 --window 10 --step 3", "reading step \"3\": does not divide"),
        ("add gomon-no3 10.0.0.6 --window 1ms", "less than the 100ms an interface needs"),
        ("add gomon-no* 10.0.0.6", "a bot has no fixed address: give any"),
        ("add an-interface-with-a-long-name any", "longer than 15 bytes"),
        ("remove gomon-no3", "there is no bot on it: see gomon ctl list"),
        ("remove gomon-no2 10.0.0.7", "give one of 10.0.0.6"),
        ("remove gomon-no2 x", "reading src \"x\": not an IP address"),
    ] {
        let outcome = fleet.ctl(args);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(1), ""), "{args}");
        assert_eq!(outcome.stderr.lines().count(), 1);
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    // The client checks its own command line.
    assert_eq!(fleet.ctl("add gomon-no3 10.0.0.6 --window x").status, Some(2));
    assert_eq!(fleet.ctl("add gomon-no3").status, Some(2));
    assert_eq!(fleet.ctl("remove gomon-no2").stdout, "removed\n");
    assert_eq!(fleet.ctl("remove gomon-none").stdout, "removed\n");
    assert_eq!(fleet.ctl("list").stdout.lines().count(), 1);
    // A bot of the configuration is there again when it is re-read.
    assert_eq!(fleet.ctl("reload").stdout, "re-read\n");
    assert_eq!(fleet.ctl("list").stdout.lines().count(), 2);
    assert_eq!(fleet.stop().status, Some(0));
}

#[test]
fn only_its_owner_may_connect_and_the_socket_is_removed_at_the_end() {
    let fleet = fleet();
    let metadata = fleet.path("control.sock").symlink_metadata().unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let scratch = &fleet.scratch;
    assert!(scratch.names("").contains(&"control.sock".into()));
    let FleetProgram { running, scratch } = fleet;
    running.signal("TERM");
    assert_eq!(running.finish().status, Some(0));
    assert!(!scratch.names("").contains(&"control.sock".into()));
}

#[test]
fn a_dead_socket_is_replaced_and_anything_else_is_not() {
    let scratch = Scratch::new();
    let path = scratch.path().join("control.sock");
    let toml = format!("[control]\nsocket = {:?}\n", path.to_str().unwrap());
    let toml = scratch.file("gomon.toml", toml.as_bytes());
    let start = || gomon(["fleet", "--config", toml.to_str().unwrap()]);

    let listener = UnixListener::bind(&path).unwrap();
    let outcome = start();
    assert_eq!(outcome.status, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("a process listens there: end it, or give"), "{outcome:?}");
    assert!(UnixStream::connect(&path).is_ok());
    drop(listener);
    assert_eq!(ctl(&path, "list").status, Some(2));

    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "precious").unwrap();
    let outcome = start();
    assert_eq!(outcome.status, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("a file that is not a socket: move it away"), "{outcome:?}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    // A symbolic link is not followed.
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(scratch.file("other", b"x"), &path).unwrap();
    assert_eq!(start().status, Some(2));
    assert!(path.symlink_metadata().unwrap().is_symlink());

    let fleet = fleet();
    let dead = fleet.path("control.sock");
    fleet.running.signal("KILL");
    let FleetProgram { running, scratch } = fleet;
    let _ = running.finish();
    assert!(dead.exists());
    let mut again = crate::support::program::command();
    again.args(["fleet", "--config"]).arg(scratch.path().join("gomon.toml"));
    let mut again = crate::support::running::Running::start(&mut again);
    again.wait_for_part("INFO  bots: ");
    assert_eq!(ctl(&dead, "list").status, Some(0));
    again.signal("TERM");
    assert_eq!(again.finish().status, Some(0));
}

#[test]
fn hostile_requests_get_one_answer_and_disturb_nobody() {
    let fleet = fleet();
    let long = format!("{{\"command\":\"{}", "x".repeat(1 << 20)).into_bytes();
    let nested = format!("{}\n", "[".repeat(50_000)).into_bytes();
    let setting = |text: &str| {
        format!("{{\"command\":\"add\",\"interface\":\"a\",\"src\":\"any\",\"settings\":{text}}}\n")
    };
    for (request, part) in [
        (b"{\"command\":\"list\"}".to_vec(), "ends without a line feed"),
        (b"\n".to_vec(), "not a request: EOF"),
        (b"list\n".to_vec(), "not a request: expected"),
        (vec![0xff; 100], "ends without a line feed"),
        ([&[0xff; 100][..], b"\n"].concat(), "not a request"),
        (long, "more than 65536 bytes"),
        (nested, "not a request: invalid type: sequence"),
        (b"{\"command\":\"lst\"}\n".to_vec(), "unknown variant `lst`, expected one of `add`"),
        (b"{\"command\":\"remove\"}\n".to_vec(), "missing field `interface`"),
        (b"{\"command\":\"remove\",\"interface\":\"a\",\"x\":1}\n".to_vec(), "unknown field `x`"),
        (setting("{\"windwo\":1}").into(), "windwo: unknown key: did you mean"),
        (setting("{\"window\":{}}").into(), "reading window: give a text, a number"),
        (setting("{\"window\":\"\\u0000\"}").into(), "not a length of time"),
        (setting("{\"eve_log_path\":\"{x}\"}").into(), "unknown placeholder {x}"),
        (setting("{\"log_level\":\"debug\"}").into(), "applies to all bots"),
    ] {
        let answer = exchange(&fleet, &request);
        assert_eq!(answer["ok"], false, "{answer}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(part), "{part} is not in {error}");
    }
    assert_eq!(fleet.answer("list")["bots"].as_array().unwrap().len(), 1);
    assert_eq!(fleet.stop().status, Some(0));
}

#[test]
fn a_connection_can_have_several_requests() {
    let fleet = fleet();
    let mut stream = UnixStream::connect(fleet.path("control.sock")).unwrap();
    stream.write_all(b"{\"command\":\"list\"}\n{\"command\":\"status\"}\n{\"comm").unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    for _ in 0..2 {
        let answer: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["ok"], true);
    }
    stream.write_all(b"and\":\"reload\"}\n").unwrap();
    let answer: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(answer["ok"], true);
}

#[test]
fn a_thousand_clients_that_send_nothing_are_turned_away() {
    let fleet = fleet();
    let clients: Vec<_> =
        (0..1000).map(|_| UnixStream::connect(fleet.path("control.sock")).unwrap()).collect();
    // The last one is beyond the limit, and gets an answer at once.
    let mut last = String::new();
    let mut client = &clients[999];
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.read_to_string(&mut last).unwrap();
    assert!(last.contains("64 clients are connected: try again later"), "{last}");
    let outcome = fleet.ctl("list");
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    drop(clients);
    crate::support::net::until("the others have gone", || fleet.ctl("list").status == Some(0));
    assert_eq!(fleet.stop().status, Some(0));
}

#[test]
fn a_client_without_a_fleet_says_what_to_do() {
    let scratch = Scratch::new();
    let outcome = ctl(&scratch.path().join("none.sock"), "list");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""));
    assert!(outcome.stderr.contains("start gomon fleet with [control]"), "{outcome:?}");
}

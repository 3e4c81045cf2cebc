//! Records written to a socket, the reader of which may pause, disconnect and connect again.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::outputs::scratch;
use crate::support::program::{Scratch, command};
use crate::support::running::Running;
use crate::traffic::{BOT, beacon, error, file};

#[test]
fn a_socket_reader_that_does_not_read_loses_records_and_delays_a_shutdown_by_two_seconds() {
    let (scratch, capture) = scratch(3000); // more than a socket holds
    let path = scratch.path().join("eve.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let url = format!("unix://{}", path.display());
    let mut gomon =
        Running::start(command().args([&capture, BOT, "--window", "1", "--eve-log-path", &url]));
    let silent = listener.accept().unwrap();
    gomon.wait_for("Ledger: 3000 frames seen = 3000 counted ");
    gomon.signal("TERM");
    let run = gomon.finish();
    let error = error(&run, 1);
    assert!(error.starts_with(&format!("writing records to {url}: ")), "{error}");
    assert!(error.contains(" record(s) are lost: check its reader"), "{error}");
    // The lines written before are whole.
    let mut lines = BufReader::new(silent.0).lines();
    let first = lines.next().expect("a record").expect("text");
    assert!(first.starts_with('{') && first.ends_with('}'), "{first}");
}

#[test]
fn a_socket_whose_reader_pauses_gets_every_record_of_a_replay() {
    let (scratch, capture) = scratch(3000);
    let path = scratch.path().join("eve.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let url = format!("unix://{}", path.display());
    let mut gomon =
        Running::start(command().args([&capture, BOT, "--window", "1", "--eve-log-path", &url]));
    let paused = listener.accept().unwrap().0;
    gomon.wait_for("Ledger: 3000 frames seen = 3000 counted ");
    // Longer than a shutdown would wait.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(read_records(paused, 9999).len(), 3001);
    let run = gomon.finish();
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
}

/// A reader that closes every connection without reading is retried with a back-off.
#[test]
fn a_socket_that_closes_every_connection_is_retried_with_a_back_off() {
    let scratch = Scratch::new();
    let path = scratch.path().join("eve.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let url = format!("unix://{}", path.display());
    let (mut gomon, capture, _) = into_a_socket(300, &url);
    gomon.feed(&capture);
    gomon.close_input();
    let connections = thread::spawn(move || {
        let start = Instant::now();
        listener.set_nonblocking(true).unwrap();
        let mut connections = 0;
        while start.elapsed() < Duration::from_secs(3) {
            connections += u32::from(listener.accept().is_ok());
            thread::sleep(Duration::from_millis(1));
        }
        connections
    });
    let run = gomon.finish();
    let connections = connections.join().unwrap();
    assert!((1..50).contains(&connections), "{connections}");
    let logged = run.stderr.lines().filter(|line| line.contains("writing records to")).count();
    assert!(logged <= 2, "once in the log, once as the error: {}", run.stderr);
}

/// Starts a gomon that reads a stream and writes to a socket. Returns the capture of so many records, and
/// the length of one.
fn into_a_socket(records: u64, url: &str) -> (Running, Vec<u8>, usize) {
    let capture = file(&beacon(records));
    let record = (capture.len() - 24) / usize::try_from(records).unwrap();
    let args = ["-", BOT, "--window", "1", "--eve-log-path", url];
    (Running::start(command().args(args)), capture, record)
}

/// The first `records` records read from a connection, or fewer if it is closed before.
fn read_records(connection: UnixStream, records: usize) -> Vec<Value> {
    let lines = BufReader::new(connection).lines().take(records);
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

#[test]
fn a_socket_that_lost_its_reader_is_connected_to_again() {
    let scratch = Scratch::new();
    let path = scratch.path().join("eve.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (mut gomon, capture, record) = into_a_socket(6, &format!("unix://{}", path.display()));
    gomon.feed(&capture[..24 + 2 * record]);
    assert_eq!(read_records(listener.accept().unwrap().0, 1).len(), 1);
    // Two more windows while there is no listener.
    drop(listener);
    fs::remove_file(&path).unwrap();
    gomon.feed(&capture[24 + 2 * record..24 + 4 * record]);
    gomon.wait_for_part("writing records to unix://");
    let listener = UnixListener::bind(&path).unwrap();
    let connection = listener.accept().unwrap().0;
    gomon.wait_for_part("reconnected to ");
    gomon.feed(&capture[24 + 4 * record..]);
    gomon.close_input();
    let run = gomon.finish();
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
    let starts: Vec<_> = read_records(connection, 9)
        .iter()
        .map(|record| record["timestamp"].as_str().unwrap()[18..19].to_owned())
        .collect();
    assert_eq!(starts, ["1", "2", "3", "4", "5", "6"], "what was not read before, and the end");
}

#[test]
fn a_socket_without_a_reader_fails_the_run_at_its_end() {
    let scratch = Scratch::new();
    let path = scratch.path().join("eve.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let url = format!("unix://{}", path.display());
    let (mut gomon, capture, record) = into_a_socket(4, &url);
    gomon.feed(&capture[..24 + 2 * record]);
    assert_eq!(read_records(listener.accept().unwrap().0, 1).len(), 1);
    drop(listener);
    gomon.feed(&capture[24 + 2 * record..]);
    gomon.close_input();
    let run = gomon.finish();
    let error = error(&run, 1);
    assert!(error.starts_with(&format!("writing records to {url}: Broken pipe")), "{error}");
    assert!(error.contains(": 4 record(s) are lost: "), "{error}");
    assert!(run.line("Ledger: ").starts_with("Ledger: 4 frames seen = 4 counted "));
}

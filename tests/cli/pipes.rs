//! Captures that are still being written, read from a pipe: their windows close by wall-clock time.

use std::io::Write;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::inputs::open_fifo;
use crate::support::capture::{Captured, Pcapng, SECOND, at};
use crate::support::program::{Outcome, Scratch, command, gomon};
use crate::support::running::Running;
use crate::traffic::{BOT, beacon, file, packet};

const FLAGS: [&str; 4] = ["--window", "1", "--show-idle", "--quiet"];

/// Wall-clock time, in nanoseconds since the epoch.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_nanos()).expect("before 2554")
}

/// Packets of the bot to one endpoint within half a second from `time`.
fn flood(time: u64) -> Vec<Captured> {
    let frame = |k: u64| Captured { time: time + k * SECOND / 40, ..at(0, packet(7, 80)) };
    (0..20).map(frame).collect()
}

/// Seconds from `start`, in nanoseconds since the epoch, to the start of a record's window.
fn seconds(record: &Value, start: u64) -> i64 {
    let time = record["timestamp"].as_str().expect("a string").replace("+0000", "Z");
    let time: jiff::Timestamp = time.parse().expect("a timestamp");
    let start = i64::try_from(start / 1000).expect("a time");
    (time.as_microsecond() - start + 500_000).div_euclid(1_000_000)
}

/// Waits for the flood's record, and for some idle windows after it, although no frame arrives.
#[track_caller]
fn assert_goes_on(gomon: &mut Running, start: u64) {
    let attack = gomon.record();
    assert!(now() >= start + 3 * SECOND, "two seconds are left for what is on its way");
    assert_eq!((&attack["alert"]["category"], seconds(&attack, start)), (&"attack".into(), 0));
    assert_eq!(attack["metadata"]["gomon"]["packets"], 20);
    for second in 1..=2 {
        let idle = gomon.record();
        assert_eq!((&idle["event_type"], seconds(&idle, start)), (&"stats".into(), second));
        assert_eq!(idle["metadata"]["gomon"]["windows"], 1);
    }
}

#[test]
fn windows_of_a_live_stream_close_although_no_frame_arrives() {
    let mut gomon = Running::start(command().args(["-", BOT]).args(FLAGS));
    let start = now();
    gomon.feed(&file(&flood(start)));
    assert_goes_on(&mut gomon, start);

    // A frame after its window was closed is late, and one in time is counted in its window.
    let (late, time) = (start + 5 * SECOND / 2, now());
    let late = Captured { time: late, ..at(0, packet(7, 80)) };
    let frames = [late, Captured { time, ..at(0, packet(7, 81)) }];
    gomon.feed(&file(&frames)[24..]);
    let mut second = 0;
    while second < (time - start) / SECOND {
        let record = gomon.record();
        second = u64::try_from(seconds(&record, start)).unwrap();
    }
    gomon.signal("TERM");
    let run = gomon.finish();
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
    let ledger = run.line("Ledger:");
    assert!(ledger.starts_with("Ledger: 22 frames seen = 22 counted"), "{ledger}");
    // More than a window late, if another one was closed meanwhile.
    let late = ["; 1 late, 0 with an implausible", "; 0 late, 1 with an implausible"];
    assert!(late.iter().any(|text| ledger.contains(text)), "{ledger}");
}

#[test]
fn they_close_with_a_fifo_with_pcapng_and_in_the_middle_of_a_record() {
    let scratch = Scratch::new();
    let fifo = scratch.path().join("fifo");
    let mut writer = open_fifo(&fifo);
    let mut gomon = Running::start(command().arg(&fifo).arg(BOT).args(FLAGS));
    let start = now();
    let mut capture = Pcapng::new(false);
    capture.interface(1, 9, 0);
    for frame in flood(start) {
        capture.packet(0, frame.time, &frame.data);
    }
    let whole = capture.bytes().len();
    // A block that is skipped, and an incomplete packet.
    capture.block(5, &[0; 16]).packet(0, start, &packet(7, 80));
    let bytes = capture.bytes();
    assert!(whole + 40 < bytes.len());
    writer.write_all(&bytes[..bytes.len() - 20]).unwrap();
    assert_goes_on(&mut gomon, start);
    writer.write_all(&bytes[bytes.len() - 20..]).unwrap();
    drop(writer);
    let run = gomon.finish();
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
    let ledger = run.line("Ledger:");
    assert!(ledger.starts_with("Ledger: 21 frames seen = 21 counted"), "{ledger}");
}

#[test]
fn a_stream_of_old_frames_gives_the_records_of_the_file_however_slow_it_is() {
    let scratch = Scratch::new();
    let capture = file(&beacon(30));
    let path = scratch.file("old.pcap", &capture);
    let expected = gomon([path.to_str().unwrap(), BOT].iter().chain(&FLAGS));
    let mut gomon = Running::start(command().args(["-", BOT]).args(FLAGS));
    let (first, rest) = capture.split_at(capture.len() / 2);
    gomon.feed(first);
    // All windows that are known to be over: the time of the incomplete frame is not known yet.
    let mut records: Vec<Value> = (0..2 * 13).map(|_| gomon.record()).collect();
    // Longer than the open window would stay open if its frames had current timestamps.
    thread::sleep(Duration::from_secs(4));
    gomon.feed(rest);
    gomon.close_input();
    let run = gomon.finish();
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    records.extend(run.records());
    for record in &mut records {
        record["pcap_filename"] = path.to_str().unwrap().into();
    }
    assert_eq!(records, expected.records());
}

/// Writes frames of the bot with current timestamps to a stream, one every 50 ms for so many seconds.
fn write_for(gomon: &mut Running, seconds: u64) -> u64 {
    let end = now() + seconds * SECOND;
    let mut frames = 0;
    while now() < end {
        gomon.feed(&file(&[Captured { time: now(), ..at(0, packet(7, 80)) }])[24..]);
        frames += 1;
        thread::sleep(Duration::from_millis(50));
    }
    frames
}

/// The start of each window of a run, and the packets in it.
fn windows(run: &Outcome, start: u64) -> Vec<(i64, u64)> {
    let packets = |r: &Value| r["metadata"]["gomon"]["packets"].as_u64().unwrap();
    run.records().iter().map(|record| (seconds(record, start), packets(record))).collect()
}

#[test]
fn a_process_that_was_stopped_for_a_while_reports_no_silence_for_it() {
    let mut gomon = Running::start(command().args(["-", BOT, "--connections", "off"]).args(FLAGS));
    let start = now();
    gomon.feed(&file(&[]));
    let mut frames = write_for(&mut gomon, 2);
    gomon.signal("STOP");
    frames += write_for(&mut gomon, 5);
    gomon.signal("CONT");
    frames += write_for(&mut gomon, 1);
    gomon.close_input();
    let run = gomon.finish();
    let windows = windows(&run, start);
    assert!(windows.is_sorted_by(|one, next| one.0 < next.0), "no window twice: {windows:?}");
    assert!(windows.iter().all(|(_, packets)| *packets > 0), "{windows:?}");
    assert_eq!(windows.iter().map(|(_, packets)| packets).sum::<u64>(), frames, "{}", run.stderr);
    assert!(!run.stderr.contains(" WARN  frames arrived"), "{}", run.stderr);
}

#[test]
fn frames_delayed_past_windows_closed_as_silent_are_reported_and_end_the_silence() {
    let mut gomon = Running::start(command().args(["-", BOT]).args(FLAGS));
    let start = now();
    gomon.feed(&file(&flood(start)));
    assert_goes_on(&mut gomon, start);
    // The delayed frames: one per second since the start, and further ones just as late.
    let late = |second: u64| Captured { time: start + second * SECOND, ..at(0, packet(7, 80)) };
    let frames: Vec<_> =
        (1..12).map(|n| Captured { time: start + n * SECOND / 10, ..late(0) }).collect();
    gomon.feed(&file(&frames)[24..]);
    let warning = gomon.wait_for_part("s late, after their windows were closed as silent");
    assert!(warning.contains("tcpdump -U"), "{warning}");
    gomon.close_input();
    let run = gomon.finish();
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
}

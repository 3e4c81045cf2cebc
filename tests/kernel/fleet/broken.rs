//! Sinks that fail: only the bot that uses them loses anything, and what it loses is counted.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use super::*;

/// The length of a window in milliseconds.
const WINDOW: i64 = 1000;
/// Flags for a record per destination.
const EACH: &str = "--stats --sweep-detection off --max-destinations 5000 --packet-threshold 1000000 \
                    --destination-threshold 1000000";

/// Makes a FIFO, and opens its end for reading without waiting for a writer.
fn fifo(path: &str) -> File {
    mknodat(CWD, path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let file = File::options().read(true).custom_flags(flags).open(path).unwrap();
    rustix::fs::fcntl_setfl(&file, OFlags::empty()).unwrap();
    file
}

/// Asserts that no window is missing. The first may be the rest of one.
#[track_caller]
fn assert_complete(records: &[Value]) {
    let starts = starts(records);
    assert!(starts.len() > 4, "{starts:?}");
    for pair in starts[1..].windows(2) {
        assert!((pair[1] - pair[0] - WINDOW).abs() <= 1, "{starts:?}");
    }
}

#[test]
fn fleet_reader_that_sleeps_costs_its_bot_records_and_delays_no_window() {
    let Some(mut fleet) = Fleet::start(2) else { return };
    let (pipe, eve) = (fleet.path("fifo"), fleet.path("eve.json"));
    let mut reader = fifo(&pipe);
    // A record per destination and window: more than the queue holds, within seconds.
    let flood = format!("{EACH} --window {WINDOW}ms --eve-log-path {pipe}");
    fleet.add(1, 0, &flood);
    fleet.add(2, 0, &format!("{QUIET} --window {WINDOW}ms --eve-log-path {eve}"));
    let sender = fleet.sender(1, &packets(5000), 40);
    fleet.until(1, "records are dropped", |bot| bot["dropped"].as_u64() > Some(0));
    assert_eq!(fleet.status(2)["dropped"], 0);
    sender.finish();
    fleet.until(1, "all frames are counted", |bot| bot["seen"] == 200_000);
    // The reader wakes up.
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    let error = fleet.remove(1);
    assert!(error.as_str().unwrap().contains("its reader does not keep up"), "{error}");
    let (_net, _scratch) = fleet.stop();
    let text = reading.join().unwrap();
    let mut written: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a whole line")).collect();
    let last = written.pop().unwrap()["metadata"]["gomon"].clone();
    assert_eq!(last["final"], true, "{last}");
    assert_eq!(last["ledger"]["counted"], 200_000);
    assert_eq!(last["eve_written"].as_u64(), Some(written.len() as u64));
    assert!(last["eve_dropped"].as_u64() > Some(0), "{last}");
    // No window was merged with another. On a busy machine one may end late by a part of its length.
    let lengths =
        written.iter().filter_map(|record| record["metadata"]["gomon"]["duration_s"].as_f64());
    let lengths: Vec<_> = lengths.collect();
    assert!(lengths.iter().all(|length| *length < 1.5), "{lengths:?}");
    let (quiet, last) = of_bot(Path::new(&eve), 2);
    assert_complete(&quiet);
    assert_eq!(last["eve_dropped"], 0);
}

#[test]
fn fleet_reader_that_never_reads_does_not_keep_a_bot_from_ending() {
    let Some(mut fleet) = Fleet::start(2) else { return };
    let (pipe, eve) = (fleet.path("fifo"), fleet.path("eve.json"));
    let _reader = fifo(&pipe);
    // Both write to it: more than a pipe holds, and less than a queue.
    for n in 1..=2 {
        fleet.add(n, 0, &format!("{EACH} --window {WINDOW}ms --eve-log-path {pipe}"));
    }
    fleet.sender(1, &packets(500), 1).finish();
    fleet.until(1, "records are queued", |bot| bot["records"].as_u64() > Some(500));
    for n in 1..=2 {
        let error = fleet.remove(n);
        assert!(error.as_str().unwrap().contains("its reader does not read"), "{error}");
    }
    fleet.add(1, 0, &format!("{QUIET} --window {WINDOW}ms --eve-log-path {eve}"));
    fleet.until(1, "a few windows are closed", |bot| bot["windows"].as_u64() > Some(5));
    let (_net, _scratch) = fleet.stop();
    assert_complete(&of_bot(Path::new(&eve), 1).0);
}

#[test]
fn fleet_flooding_bot_does_not_crowd_a_quiet_one_out_of_their_file() {
    let Some(mut fleet) = Fleet::start(2) else { return };
    let pipe = fleet.path("fifo");
    let mut reader = fifo(&pipe);
    let flood = format!("{EACH} --window {WINDOW}ms --eve-log-path {pipe}");
    fleet.add(1, 0, &flood);
    fleet.add(2, 0, &format!("{QUIET} --window {WINDOW}ms --eve-log-path {pipe}"));
    let sender = fleet.sender(1, &packets(5000), 40);
    fleet.until(1, "records are dropped", |bot| bot["dropped"].as_u64() > Some(0));
    sender.finish();
    fleet.until(2, "a few windows are closed", |bot| bot["windows"].as_u64() > Some(5));
    assert_eq!(fleet.status(2)["dropped"], 0);
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    fleet.remove(1);
    let file = fleet.path("read.json");
    let (_net, _scratch) = fleet.stop();
    fs::write(&file, reading.join().unwrap()).unwrap();
    let (quiet, last) = of_bot(Path::new(&file), 2);
    assert_complete(&quiet);
    assert_eq!(last["eve_dropped"], 0);
    assert_eq!(last["eve_written"].as_u64(), Some(quiet.len() as u64));
}

/// A file system that is mounted where the process of a fleet sees it, and frozen: writing to it does not end.
struct Frozen {
    process: u32,
    directory: String,
}

impl Frozen {
    fn new(fleet: &Fleet, name: &str) -> Self {
        let (directory, image) = (fleet.path(name), fleet.path("image"));
        fs::create_dir(&directory).unwrap();
        File::create(&image).unwrap().set_len(8 << 20).unwrap();
        checked(std::process::Command::new("mkfs.ext4").args(["-q", &image]));
        let process = fleet.process.id();
        checked(within_mounts(process, "mount").args(["-o", "loop", &image, &directory]));
        Self { process, directory }
    }

    fn freeze(&self) {
        checked(within_mounts(self.process, "fsfreeze").args(["-f", &self.directory]));
    }
}

impl Drop for Frozen {
    /// Thaws it: otherwise its writers can't be killed.
    fn drop(&mut self) {
        let _ = within_mounts(self.process, "fsfreeze").args(["-u", &self.directory]).output();
    }
}

/// Returns a command that sees the mounts of a process.
fn within_mounts(process: u32, program: &str) -> std::process::Command {
    let mut command = std::process::Command::new("nsenter");
    command.args(["-m", "-t", &process.to_string(), program]);
    command
}

#[test]
fn fleet_disk_that_hangs_costs_only_its_bot_and_does_not_keep_it_from_ending() {
    if ![have("fsfreeze"), have("mkfs.ext4")].iter().all(|has| *has) {
        return;
    }
    let Some(mut fleet) = Fleet::start(2) else { return };
    let (good, eve) = (fleet.path("good"), fleet.path("eve.json"));
    let frozen = Frozen::new(&fleet, "frozen");
    for (n, directory) in [(1, &frozen.directory), (2, &good)] {
        let saving = format!("--stats --save-packets 500 --capture-dir {directory}");
        fleet.add(n, 0, &format!("--window {WINDOW}ms {saving} --eve-log-path {eve}"));
    }
    frozen.freeze();
    let long = vec![udp(ip(BOT), ip("192.0.2.1"), 80, 1200); 500];
    for n in 1..=2 {
        fleet.sender(n, &long, 10).finish();
        fleet.until(n, "its frames are counted", |bot| bot["seen"] == 5000);
    }
    fleet.until(2, "artifacts are written", |bot| bot["artifacts"].as_u64() > Some(0));
    fleet.until(1, "a few windows are closed", |bot| bot["windows"].as_u64() > Some(5));
    let error = fleet.remove(1);
    assert!(error.as_str().unwrap().contains("file(s) could not be written"), "{error}");
    let (windows, last) = of_bot(Path::new(&eve), 1);
    assert_eq!((frames(&windows), last["eve_dropped"].as_u64()), (5000, Some(0)));
    assert_complete(&windows);
    drop(frozen);
    let (_net, _scratch) = fleet.stop();
    assert_complete(&of_bot(Path::new(&eve), 2).0);
}

#[test]
fn fleet_full_disk_costs_only_the_artifacts_of_its_bot() {
    let Some(mut fleet) = Fleet::start(2) else { return };
    let (full, good, eve) = (fleet.path("full"), fleet.path("good"), fleet.path("eve.json"));
    fs::create_dir(&full).unwrap();
    // Mounted where the process sees it, and unmounted with it.
    let mount = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", &full];
    let process = fleet.process.id().to_string();
    checked(
        std::process::Command::new("nsenter").args(["-m", "-t", &process, "mount"]).args(mount),
    );
    for (n, directory) in [(1, &full), (2, &good)] {
        fleet.add(
            n,
            0,
            &format!(
                "--window {WINDOW}ms --stats --save-packets 500 --capture-dir {directory} --eve-log-path {eve}"
            ),
        );
    }
    let long = vec![udp(ip(BOT), ip("192.0.2.1"), 80, 1200); 500];
    for n in 1..=2 {
        fleet.sender(n, &long, 10).finish();
    }
    fleet.until(1, "artifacts fail", |bot| bot["artifacts_dropped"].as_u64() > Some(0));
    fleet.until(2, "artifacts are written", |bot| bot["artifacts"].as_u64() > Some(0));
    let error = fleet.remove(1);
    assert!(error.as_str().unwrap().contains("file(s) could not be written"), "{error}");
    assert_eq!(fleet.remove(2), Value::Null);
    let (_net, _scratch) = fleet.stop();
    for n in 1..=2 {
        let (windows, last) = of_bot(Path::new(&eve), n);
        assert_eq!((frames(&windows), last["eve_dropped"].as_u64()), (5000, Some(0)), "{n}");
        let alerts = windows.iter().filter(|record| record["event_type"] == "alert");
        assert!(alerts.clone().count() > 0);
        assert!(n == 1 || alerts.clone().all(|alert| alert["capture_file"].is_string()));
    }
}

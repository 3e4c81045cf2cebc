//! Windows of many busy bots: when they are written, and whether they add up to what was sent.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use gomon_xdpgen::Traffic;
use serde_json::Value;

use super::fleet_network::FleetNetwork;
use crate::{
    bench::{live::time_of, process::Process},
    frames::BOT,
};

/// The length of windows, which has room for all that is sent.
const WINDOW: Duration = Duration::from_secs(10);
/// Frames to each of the taps.
const FRAMES: u64 = 16_000;
/// The records are complete if nothing is written for this long after the end of a window.
const STABLE: Duration = Duration::from_millis(1500);

/// Returns a paragraph.
pub(super) fn measure(
    gomon: &Path,
    directory: &Path,
    taps: u32,
    destinations: u32,
) -> Result<String> {
    let network = FleetNetwork::new(taps)?;
    let _receivers = network.receive()?;
    let records = directory.join("windows.json");
    let _ = fs::remove_file(&records);
    let defaults = format!(
        "eve_log_path = {:?}\nwindow = {}\nstats = true\nsweep_detection = \"off\"\npacket_threshold = 1000000\n\
         destination_threshold = 1000000\nport_threshold = 0",
        records.display().to_string(),
        WINDOW.as_secs()
    );
    let (mut process, _stdout) = Process::start(&mut network.fleet(gomon, directory, &defaults)?)?;
    if let Some(status) = process.wait_for(&format!(" {taps} counting, "))? {
        return Err(process.error(&status.to_string()));
    }
    let (before, start) = (network.arrived()?, written(&records)?);
    // Windows end for all bots at once: what follows is in one of them.
    while written(&records)? == start {
        thread::sleep(Duration::from_millis(20));
    }
    let traffic = Traffic::to_random_hosts(BOT, destinations.next_power_of_two());
    let sending = Instant::now();
    for number in network.taps() {
        network.send(number, &traffic, FRAMES)?;
    }
    let sending = sending.elapsed();
    ensure!(sending < WINDOW, "sending took {sending:?}, longer than a window");
    let arrived = network.arrived()? - before;
    thread::sleep(WINDOW);
    let mut size = written(&records)?;
    loop {
        thread::sleep(STABLE);
        let now = written(&records)?;
        if now == size {
            break;
        }
        size = now;
    }
    let last = fs::metadata(&records)?.modified()?.duration_since(UNIX_EPOCH)?;
    process.interrupt()?;
    let windows = Windows::read(&fs::read_to_string(&records)?)?;
    let _ = fs::remove_file(&records);
    let end = windows.busiest_start().context("find the busy window")? + WINDOW;
    let delay = last.saturating_sub(end);
    let rate = f64::from(u32::try_from(arrived)?) / sending.as_secs_f64() / 1e6;
    Ok(format!(
        "{taps} taps with up to {} destinations each, {arrived} frames at {rate:.2} million per second: {} records of \
         the window were written {:.2} s after its end (goal: 1 s). The ledgers have {} frames, the records of \
         destinations {} packets.\n\n",
        destinations.next_power_of_two(),
        windows.records,
        delay.as_secs_f64(),
        windows.counted,
        windows.packets,
    ))
}

/// When the records were written last.
fn written(records: &Path) -> Result<SystemTime> {
    match fs::metadata(records) {
        Ok(metadata) => Ok(metadata.modified()?),
        Err(_) => Ok(UNIX_EPOCH), // not created yet
    }
}

/// The windows in a file of records.
#[derive(Default)]
struct Windows {
    /// Records of destinations, by the start of their windows.
    starts: BTreeMap<Duration, u64>,
    records: u64,
    packets: u64,
    counted: u64,
}

impl Windows {
    fn read(text: &str) -> Result<Self> {
        let mut windows = Self::default();
        for line in text.lines() {
            let record: Value = serde_json::from_str(line).context("parse a record")?;
            let gomon = &record["metadata"]["gomon"];
            if gomon["final"] == true {
                windows.counted += gomon["ledger"]["counted"].as_u64().context("a ledger")?;
            } else if record["event_type"] == "flow" {
                let start =
                    record["timestamp"].as_str().and_then(time_of).context("a timestamp")?;
                *windows.starts.entry(start).or_default() += 1;
                windows.records += 1;
                windows.packets += gomon["packets"].as_u64().context("packets")?;
            }
        }
        Ok(windows)
    }

    fn busiest_start(&self) -> Option<Duration> {
        self.starts.iter().max_by_key(|(_, records)| **records).map(|(start, _)| *start)
    }
}

//! `gomon IFACE SRC` on interfaces of this kernel. Each test has its own network namespaces.

use aya::Pod;
use aya::maps::{Map, MapData, PerCpuArray};
use gomon_common::kernel::{CpuLedger, GENERATIONS, LedgerEntry, names};
use serde_json::Value;

use crate::privileged;
use crate::support::capture::{Captured, PLAIN, at, pcap};
use crate::support::frames::{ip, udp};
use crate::support::net::{Net, held, until};
use crate::support::program::{Outcome, Scratch, gomon};
use crate::support::running::Running;
use crate::support::tools::have;

#[path = "live/artifacts.rs"]
mod artifacts;
#[path = "live/capture.rs"]
mod capture;
#[path = "live/clsact.rs"]
mod clsact;
#[path = "live/ends.rs"]
mod ends;
#[path = "live/fallback.rs"]
mod fallback;
#[path = "live/flow_cache.rs"]
mod flow_cache;
#[path = "live/guest.rs"]
mod guest;
#[path = "live/load.rs"]
mod load;
#[path = "live/log.rs"]
mod log;
#[path = "live/modes.rs"]
mod modes;
#[path = "live/offloads.rs"]
mod offloads;
#[path = "live/outputs.rs"]
mod outputs;
#[path = "live/sharing.rs"]
mod sharing;
#[path = "live/sources.rs"]
mod sources;
#[path = "live/sweep.rs"]
mod sweep;

const BOT: &str = "10.0.0.5";

/// Windows longer than any test: the counts are flushed when gomon is stopped. All verdicts except sweeps
/// are recorded, and the ledger of windows without one.
const LONG: &str = "--window 1h --show-idle --sweep-hosts 1000000";

const PCAP: &str = "--attach pcap";

/// Creates a network, unless this machine lacks a requirement.
fn net() -> Option<Net> {
    // All requirements are checked, so that each missing one is reported.
    let tools = [have("ip"), have("tcpreplay"), privileged()];
    (tools == [true; 3]).then(Net::new)
}

/// Starts gomon and waits until it is attached.
fn attached(net: &Net, source: &str, args: &str) -> Running {
    let mut command = net.gomon(source, args);
    if args.contains(PCAP) && args.contains(LONG) {
        // There is no map to read, so the number of frames is taken from the log. Short windows have
        // records.
        command.args(["--log-level", "debug"]);
    }
    let mut gomon = Running::start(&mut command);
    gomon.wait_for_part(" attached by ");
    gomon
}

/// A UDP packet from the bot to 192.0.2.`host`.
fn packet(host: u8, port: u16) -> Vec<u8> {
    udp(ip(BOT), ip(&format!("192.0.2.{host}")), port, 0)
}

/// Waits until `frames` frames are in the ledger of the open window, under any entry. With libpcap, waits
/// until `frames` frames are in the log, in all windows, since the last call.
#[track_caller]
fn until_counted(gomon: &mut Running, frames: u64) {
    if held(gomon.id(), "map_id").is_empty() {
        let frames_read =
            |line: String| line.split_whitespace().nth(2).unwrap().parse::<u64>().unwrap();
        while frames_read(gomon.wait_for_part(" frames read")) < frames {}
        return;
    }
    until(&format!("{frames} frames are counted"), || frames_seen(gomon.id()) >= frames);
}

/// Returns the number of frames in the ledger maps of a process.
fn frames_seen(process: u32) -> u64 {
    let ledgers = per_cpu::<CpuLedger>(process, names::LEDGER).flat_map(|map| {
        let ledgers = (0..GENERATIONS).map(|generation| map.get(&generation, 0).unwrap());
        ledgers.flat_map(|ledger| ledger.to_vec()).collect::<Vec<_>>()
    });
    ledgers.flat_map(|ledger| ledger[..LedgerEntry::UnlistedBytes as usize].to_vec()).sum()
}

/// Returns the per-CPU arrays with this name that a process has open.
fn per_cpu<V: Pod>(process: u32, name: &str) -> impl Iterator<Item = PerCpuArray<MapData, V>> {
    let maps = held(process, "map_id").into_iter().filter_map(|id| MapData::from_id(id).ok());
    maps.filter(move |map| map.info().is_ok_and(|info| info.name_as_str() == Some(name)))
        .map(|map| PerCpuArray::try_from(Map::PerCpuArray(map)).unwrap())
}

/// Sends frames, waits until they are counted, and stops gomon.
fn count(net: &Net, mut gomon: Running, frames: &[Vec<u8>]) -> Outcome {
    net.send(frames);
    until_counted(&mut gomon, frames.len() as u64);
    gomon.signal("INT");
    finish(gomon)
}

/// Waits for a successful run to end.
#[track_caller]
fn finish(gomon: Running) -> Outcome {
    let run = gomon.finish();
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
    run
}

/// Replays the same frames from a capture file.
#[track_caller]
fn replay(source: &str, args: &str, frames: &[Vec<u8>]) -> Outcome {
    let scratch = Scratch::new();
    let frames: Vec<Captured> = (0..).zip(frames).map(|(n, frame)| at(n, frame.clone())).collect();
    let capture = scratch.file("sent.pcap", &pcap(PLAIN, &frames));
    let run = gomon([capture.to_str().unwrap(), source].into_iter().chain(args.split_whitespace()));
    assert_eq!((run.status, run.errors()), (Some(0), vec![]), "{}", run.stderr);
    run
}

/// The records of a run without the fields in which a replay and a live run differ: timestamps and the
/// input.
fn comparable(run: &Outcome) -> Vec<Value> {
    let mut records = run.records();
    for record in &mut records {
        let fields = record.as_object_mut().unwrap();
        fields.retain(|name, _| !["timestamp", "in_iface", "pcap_filename"].contains(&&**name));
        if let Some(gomon) = fields["metadata"]["gomon"].as_object_mut() {
            gomon.remove("id"); // depends on window and interface
        }
        if let Some(flow) = fields.get_mut("flow") {
            flow.as_object_mut().unwrap().retain(|name, _| !["start", "end"].contains(&&**name));
        }
    }
    records
}

/// The part of the ledger line that captures and interfaces have in common.
fn ledger(run: &Outcome) -> &str {
    run.line("Ledger: ").split(';').next().unwrap()
}

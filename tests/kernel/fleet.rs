//! Many bots in one process, on the interfaces of this kernel. The bots are added and removed through the library, in a
//! separate process, while traffic flows.

use std::env;
use std::fs::{self, File};
use std::io::{Write, stderr, stdin};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use gomon::fleet::counting::{self, BotId, BotStatus, CountingEvent, CountingHandle};
use gomon::settings::{Args, Settings};
use gomon::source::Stop;
use serde_json::{Value, json};

use crate::privileged;
use crate::support::capture::{PLAIN, at, pcap};
use crate::support::frames::{ip, udp};
use crate::support::net::Net;
use crate::support::program::Scratch;
use crate::support::running::Running;
use crate::support::tools::{Tool, checked, have};

#[path = "fleet/broken.rs"]
mod broken;
#[path = "fleet/churn.rs"]
mod churn;

/// The environment variable that makes [`fleet_process`] count.
const COUNTS: &str = "GOMON_TEST_FLEET";
/// The address of every bot.
const BOT: &str = "10.0.0.5";
/// Flags for records of every window, and of no verdict.
const QUIET: &str = "--stats --connections off --sweep-detection off";

/// The process that counts. It obeys requests on standard input, and replies on standard error. Does nothing without the
/// variable.
#[test]
fn fleet_process() {
    if env::var(COUNTS).is_err() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (counting, mut events) = counting::start(64, Stop::default()).unwrap();
        let (requests, mut received) = tokio::sync::mpsc::unbounded_channel();
        thread::spawn(move || stdin().lines().try_for_each(|line| requests.send(line.unwrap())));
        loop {
            tokio::select! {
                Some(event) = events.recv() => reply(&match event {
                    CountingEvent::InterfaceRemoved(BotId(id)) => json!({ "removed": id }),
                    CountingEvent::Failed(BotId(id), error) => json!({ "failed": id, "why": error.to_string() }),
                }),
                Some(line) = received.recv() => {
                    let words: Vec<_> = line.split_whitespace().collect();
                    if words[0] == "stop" {
                        break;
                    }
                    reply(&obey(&counting, &words).await);
                }
            }
        }
        counting.stop().await;
        reply(&json!({ "stopped": true }));
    });
}

async fn obey(counting: &CountingHandle, words: &[&str]) -> Value {
    let id = |word: &str| BotId(word.parse().unwrap());
    let error = match words {
        ["add", number, offset, args @ ..] => {
            let args = Args::try_parse_from([&"gomon"].into_iter().chain(args)).unwrap();
            let settings = Settings::new(args).unwrap().bot;
            let offset = Duration::from_millis(offset.parse().unwrap());
            counting.add(id(number), settings, offset).await.err()
        }
        ["remove", number] => counting.remove(id(number)).await.err(),
        ["status"] => {
            let statuses = counting.statuses().await.unwrap();
            return statuses.iter().map(status).collect();
        }
        _ => panic!("{words:?}"),
    };
    json!({ "error": error.map(|error| format!("{error:#}")) })
}

fn status(status: &BotStatus) -> Value {
    let open = status.open.unwrap();
    json!({
        "id": status.bot.id.0,
        "interface": status.bot.interface,
        "seen": status.ledger.seen() + open.seen(),
        "windows": status.progress.windows,
        "records": status.records_written,
        "dropped": status.records_dropped,
        "artifacts": status.artifacts_written,
        "artifacts_dropped": status.artifacts_dropped,
    })
}

fn reply(value: &Value) {
    let line = format!("reply {value}\n");
    stderr().write_all(line.as_bytes()).unwrap();
}

/// A process that counts, and its interfaces.
struct Fleet {
    net: Net,
    process: Running,
    scratch: Scratch,
}

impl Fleet {
    /// Starts a fleet on interfaces `vnet1` to `vnet<number>`, each with a peer `bot1` to `bot<number>`. `None` if this
    /// machine lacks a requirement.
    fn start(number: u64) -> Option<Self> {
        let tools = [have("ip"), have("tcpreplay"), privileged()];
        if tools != [true; 3] {
            return None;
        }
        let net = Net::new();
        for n in 1..=number {
            add_link(&net, n);
        }
        let mut command = net.command(env::current_exe().unwrap());
        command.args(["--exact", "fleet::fleet_process", "--nocapture"]).env(COUNTS, "1");
        let process = Running::start(command.stdout(Stdio::null()));
        let mut fleet = Self { net, process, scratch: Scratch::new() };
        // Now it has its own mounts, see ip-netns(8).
        assert_eq!(fleet.ask("status"), json!([]));
        Some(fleet)
    }

    #[track_caller]
    fn reply(&mut self) -> Value {
        let line = self.process.wait_for_part("reply ");
        serde_json::from_str(line.split_once("reply ").unwrap().1).unwrap()
    }

    #[track_caller]
    fn ask(&mut self, request: &str) -> Value {
        self.process.feed(format!("{request}\n").as_bytes());
        self.reply()
    }

    /// Adds a bot on the interface of the same number, whose panes end `offset` milliseconds after the grid.
    #[track_caller]
    fn add(&mut self, number: u64, offset: u64, args: &str) {
        let reply = self.ask(&format!("add {number} {offset} vnet{number} {BOT} {args}"));
        assert_eq!(reply["error"], Value::Null);
    }

    #[track_caller]
    fn remove(&mut self, number: u64) -> Value {
        self.ask(&format!("remove {number}"))["error"].take()
    }

    #[track_caller]
    fn status(&mut self, number: u64) -> Value {
        let statuses = self.ask("status");
        let mut bots = statuses.as_array().unwrap().iter();
        bots.find(|bot| bot["id"] == number).cloned().unwrap_or_default()
    }

    /// Waits until the status of a bot meets a condition.
    #[track_caller]
    fn until(&mut self, number: u64, what: &str, holds: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let status = self.status(number);
            if holds(&status) {
                return;
            }
            assert!(Instant::now() < deadline, "timed out waiting until {what}: {status}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts to send frames to an interface, all of them `times` times.
    fn sender(&self, number: u64, frames: &[Vec<u8>], times: u32) -> Tool {
        let frames: Vec<_> = frames.iter().map(|frame| at(0, frame.clone())).collect();
        let capture = self.scratch.file(&format!("{number}.pcap"), &pcap(PLAIN, &frames));
        let mut tcpreplay = self.net.command("tcpreplay");
        tcpreplay.args(["--quiet", "--preload-pcap", "--pps=20000", "--intf1"]);
        tcpreplay.arg(format!("bot{number}")).arg(format!("--loop={times}")).arg(capture);
        Tool::start(tcpreplay.stdout(Stdio::null()))
    }

    /// The path of a file in the scratch directory.
    fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    /// Ends all bots and the process.
    #[track_caller]
    fn stop(mut self) -> (Net, Scratch) {
        assert_eq!(self.ask("stop"), json!({ "stopped": true }));
        let Self { net, process, scratch } = self;
        assert_eq!(process.end().status, Some(0));
        (net, scratch)
    }
}

/// Adds an interface and its peer, which are up, without anything else that sends.
fn add_link(net: &Net, number: u64) {
    let (name, peer) = (format!("vnet{number}"), format!("bot{number}"));
    net.ip(["link", "add", &name, "type", "veth", "peer", &peer]);
    net.ip(["link", "set", &name, "up"]);
    net.ip(["link", "set", &peer, "up"]);
}

/// UDP packets from the bot to `hosts` hosts.
fn packets(hosts: u16) -> Vec<Vec<u8>> {
    let host = |n: u16| ip(&format!("192.0.{}.{}", 2 + n / 250, 1 + n % 250));
    (0..hosts).map(|n| udp(ip(BOT), host(n), 80, 0)).collect()
}

/// The records of a bot in a file: those of its windows, and the final one.
#[track_caller]
fn of_bot(file: &Path, number: u64) -> (Vec<Value>, Value) {
    let text = fs::read_to_string(file).unwrap();
    let interface = format!("vnet{number}");
    let mut found: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a whole line"))
        .filter(|record| record["in_iface"] == *interface)
        .collect();
    let last = found.pop().expect("records");
    assert_eq!(last["metadata"]["gomon"]["final"], true, "{last}");
    (found, last["metadata"]["gomon"].clone())
}

/// The number of frames in the ledgers of records.
fn frames(records: &[Value]) -> u64 {
    let stats = records.iter().filter(|record| record["event_type"] == "stats");
    stats.map(|record| record["metadata"]["gomon"]["ledger"]["frames"].as_u64().unwrap()).sum()
}

/// The starts of windows in milliseconds since the epoch.
fn starts(records: &[Value]) -> Vec<i64> {
    let stats = records.iter().filter(|record| record["event_type"] == "stats");
    let start = |record: &Value| {
        let text = record["timestamp"].as_str().unwrap();
        let time = jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).unwrap();
        time.as_millisecond()
    };
    stats.map(start).collect()
}

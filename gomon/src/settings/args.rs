//! The command line, each argument parsed into its type.
//!
//! The first paragraph of each flag's documentation is its line in `-h` and must fit on one line;
//! `--help` shows all of it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use clap::builder::{OsStringValueParser, TypedValueParser};
use gomon_common::Address;
use ipnet::IpNet;

use super::address::{CommaList, addresses, bot_mac, prefixes, sources};
use super::choice::{AttachChoice, Connections, LogLevel, Switch, choice};
use super::eve_target::EveTarget;
use super::value::{Parsed, Threshold, count, duration, parsed};
use crate::core::{BotMac, ScanMode, Sources};

/// The largest `--max-destinations`; each costs about 150 bytes.
const MAX_DESTINATIONS: usize = 10_000_000;
/// The largest `--save-packets`.
const MAX_PACKETS: usize = 1_000_000;
/// The largest `--sweep-hosts`.
const MAX_SWEEP_HOSTS: usize = 1_000_000;

const INPUT: &str = "Input";
const WINDOWS: &str = "Windows";
const THRESHOLDS: &str = "Thresholds (a value must exceed them)";
const DETECTION: &str = "Detection";
const OUTPUT: &str = "Output";
const ARTIFACTS: &str = "Artifacts";
const ATTACHING: &str = "Attaching and running";

/// The maximum width of help texts, and their width if standard output is not a terminal. In a narrower terminal they
/// are wrapped at its width.
const WIDTH: usize = 100;

/// The end of `-h`.
const AFTER_HELP: &str = "\
Examples:
  gomon vnet0 10.10.0.20                    live, on a VM's tap
  gomon capture.pcap 10.0.0.5 -o eve.json   a capture, the records in a file
  gomon fleet --config gomon.toml           many bots in one process; gomon ctl controls it";

/// The end of `--help`.
const AFTER_LONG_HELP: &str = "\
Records are written to standard output (or --eve-log-path), everything else to standard error.

Exit status:
  0  finished, or stopped by SIGINT or SIGTERM, everything flushed
  1  something failed during the run: records or artifacts are missing
  2  the command line is wrong, and nothing was started
  3  the input is damaged or ends in the middle of a record: everything before is analysed and written

Examples:
  Live, on a VM's tap; alerts save the last 100 packets of each host:
    gomon vnet0 10.10.0.20 -o /var/log/gomon/eve.json --save-packets 100
  A compressed capture of a bot with two addresses; alerts only:
    gomon bot.pcapng.zst 10.0.0.5,2001:db8::5 -q | jq 'select(.alert)'
  A capture in progress on another machine:
    ssh sensor 'tcpdump -i vnet0 -U -w -' | gomon - 10.0.0.5
  Thresholds recommended from ordinary traffic:
    gomon capture.pcap 10.0.0.5 --calibrate
  Windows of ten seconds, one starting every half second; the DNS server and controller ignored:
    gomon capture.pcap 10.0.0.5 -w 10 -s 0.5 -x 10.0.0.1 -c 203.0.113.50";

/// Counts what a sandboxed bot sends and reports floods, scans and silence as Suricata EVE JSON.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate flag")]
#[command(
    name = "gomon",
    version = crate::VERSION,
    after_help = AFTER_HELP,
    after_long_help = AFTER_LONG_HELP,
    max_term_width = WIDTH,
    arg_required_else_help = true,
    args_override_self = true,
    disable_help_subcommand = true
)]
pub struct Args {
    /// A capture file, `-` for standard input, or an interface
    ///
    /// A path that exists is a capture: pcap or pcapng, plain or compressed with gzip, zstd, xz or lz4.
    /// Any other name is an interface.
    #[arg(value_name = "INPUT", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub input: PathBuf,

    /// The bot's address, several separated by commas, or `any`
    ///
    /// IPv4 or IPv6. If several are given, records contain the first. `any` counts the packets of every
    /// source.
    #[arg(value_name = "SRC_IP", required_unless_present = "list_sources")]
    #[arg(value_parser = sources)]
    pub source: Option<Sources>,

    /// The bot's MAC address, or auto
    ///
    /// Frames of other senders are not from the bot. auto is the sender of the first frame of a capture,
    /// which on a virtual machine's tap is the machine itself. On an interface, auto selects all incoming
    /// frames.
    #[arg(long, value_name = "MAC", help_heading = INPUT, value_parser = bot_mac)]
    pub bot_mac: Option<BotMac>,

    /// List the sources of the packets in INPUT, and count nothing
    ///
    /// On an interface, gomon listens for one window and lists the sources of the incoming packets. The
    /// bot's address is not needed.
    #[arg(long, conflicts_with = "calibrate", help_heading = INPUT)]
    pub list_sources: bool,

    /// Address or CIDR prefix to leave out of all counts
    ///
    /// Can be repeated, and can be a comma list. An empty or missing value means no address.
    #[arg(short = 'x', long, value_name = "ADDRESS", help_heading = INPUT)]
    #[arg(num_args = 0..=1, default_missing_value = "", value_parser = prefixes)]
    pub ignore_dst: Vec<CommaList<IpNet>>,

    /// The bot's controller: left out of all counts, a label in records
    ///
    /// Can be repeated, and can be a comma list. An empty or missing value means no address.
    #[arg(short, long, value_name = "ADDRESS", help_heading = INPUT)]
    #[arg(num_args = 0..=1, default_missing_value = "", value_parser = addresses)]
    pub c2_ip: Vec<CommaList<Address>>,

    /// Name of the sample, in records and in the names of artifacts
    ///
    /// An empty or missing value means no name.
    #[arg(long, value_name = "NAME", help_heading = INPUT)]
    #[arg(num_args = 0..=1, default_missing_value = "")]
    pub sample_id: Option<String>,

    /// Length of a window: 30 (seconds), 0.5, 500ms, 2m
    ///
    /// From 1ms to 366days; on an interface, at least 100ms.
    #[arg(short, long, value_name = "TIME", default_value = "30", help_heading = WINDOWS)]
    #[arg(allow_hyphen_values = true, value_parser = duration)]
    pub window: Duration,

    /// Time between the starts of two windows [default: the window]
    ///
    /// Must divide the window. Windows overlap if the step is shorter than the window.
    #[arg(short, long, value_name = "TIME", help_heading = WINDOWS)]
    #[arg(allow_hyphen_values = true, value_parser = parsed(duration))]
    pub step: Option<Parsed<Duration>>,

    /// Attack: packets/s to one destination
    ///
    /// With a unit: 5/s, or 150/window for packets in a window.
    #[arg(short, long, value_name = "RATE", default_value = "5", help_heading = THRESHOLDS)]
    #[arg(allow_hyphen_values = true, value_parser = parsed(Threshold::parse))]
    pub packet_threshold: Parsed<Threshold>,

    /// Scan: destination hosts/window
    ///
    /// With a unit: 10/window, or 0.5/s for hosts per second.
    #[arg(short, long, value_name = "HOSTS", default_value = "10", help_heading = THRESHOLDS)]
    #[arg(allow_hyphen_values = true, value_parser = parsed(Threshold::parse))]
    pub destination_threshold: Parsed<Threshold>,

    /// Vertical scan: ports/window of one host
    ///
    /// With a unit: 100/window, or 10/s for ports per second; 0 turns it off.
    #[arg(long, value_name = "PORTS", default_value = "100", help_heading = THRESHOLDS)]
    #[arg(allow_hyphen_values = true, value_parser = parsed(Threshold::parse))]
    pub port_threshold: Parsed<Threshold>,

    /// Recommend thresholds for the traffic, and report no verdicts
    #[arg(long, help_heading = THRESHOLDS)]
    pub calibrate: bool,

    /// Hosts that count towards a scan
    ///
    /// host-rate (all), new-host-rate (those not in the previous window), filtered-host-rate (those not
    /// under attack).
    #[arg(long, value_name = "MODE", default_value = "filtered-host-rate")]
    #[arg(help_heading = DETECTION, value_parser = choice::<ScanMode>)]
    pub scan_detection_mode: ScanMode,

    /// The former name of --scan-detection-mode
    #[arg(long, value_name = "MODE", hide = true, overrides_with = "scan_detection_mode")]
    #[arg(value_parser = choice::<ScanMode>)]
    pub destination_rate_mode: Option<ScanMode>,

    /// Report ports on which most hosts do not answer
    ///
    /// on, or off.
    #[arg(long, value_name = "HOW", default_value = "on", help_heading = DETECTION)]
    #[arg(value_parser = choice::<Switch>)]
    pub sweep_detection: Switch,

    /// Minimum number of contacts on a swept port
    #[arg(long, value_name = "HOSTS", default_value = "12", help_heading = DETECTION)]
    #[arg(allow_hyphen_values = true, value_parser = count::<1, MAX_SWEEP_HOSTS>)]
    pub sweep_hosts: usize,

    /// Most hosts counted individually in a window
    ///
    /// The limit also applies to endpoints (address, protocol and port). If windows overlap, it applies to a
    /// step. Further ones are counted together, and the number of hosts is then an estimate.
    #[arg(long, value_name = "HOSTS", default_value = "1024", help_heading = DETECTION)]
    #[arg(allow_hyphen_values = true, value_parser = count::<1, MAX_DESTINATIONS>)]
    pub max_destinations: usize,

    /// Where to write records: a file, `-`, or `unix:///path` [default: -]
    ///
    /// A file is appended to, `-` is standard output, `unix:///path` a stream socket to connect to.
    #[arg(short = 'o', long, value_name = "PATH", default_value = "-", help_heading = OUTPUT)]
    #[arg(hide_default_value = true, value_parser = OsStringValueParser::new().try_map(eve_target))]
    pub eve_log_path: EveTarget,

    /// Write the EVE file under a temporary name until it is complete
    ///
    /// The temporary file is in the same directory. At the end it replaces an existing file.
    #[arg(long, help_heading = OUTPUT)]
    pub eve_fresh: bool,

    /// Write records that Suricata's JSON schema accepts unchanged
    #[arg(long, help_heading = OUTPUT)]
    pub eve_strict: bool,

    /// Name of this sensor, in records as host
    ///
    /// Distinguishes the records of several sensors in one store. An empty or missing value means no name;
    /// host is then the sample's name.
    #[arg(long, value_name = "NAME", help_heading = OUTPUT)]
    #[arg(num_args = 0..=1, default_missing_value = "")]
    pub sensor_name: Option<String>,

    /// Report ordinary destinations as: flow, alert, off
    ///
    /// flow writes Suricata's flow event; off reports none.
    #[arg(long, value_name = "HOW", default_value = "flow", help_heading = OUTPUT)]
    #[arg(value_parser = choice::<Connections>)]
    pub connections: Connections,

    /// Report idle windows too
    #[arg(long, help_heading = OUTPUT)]
    pub show_idle: bool,

    /// Write a stats record for every window
    ///
    /// It contains the ledger and the contacts by port.
    #[arg(long, help_heading = OUTPUT)]
    pub stats: bool,

    /// Lowest level to log: debug, info, warn, error
    #[arg(long, value_name = "LEVEL", default_value = "info", help_heading = OUTPUT)]
    #[arg(value_parser = choice::<LogLevel>)]
    pub log_level: LogLevel,

    /// No banner, no configuration block, no progress
    #[arg(short, long, help_heading = OUTPUT)]
    pub quiet: bool,

    /// Last packets of a host to save with an alert; 0: none
    ///
    /// gomon keeps this many packets of each host and window, and writes them to a pcap file when it reports
    /// an attack, a scan or a sweep.
    #[arg(long, value_name = "PACKETS", default_value = "0", help_heading = ARTIFACTS)]
    #[arg(allow_hyphen_values = true, value_parser = count::<0, MAX_PACKETS>)]
    pub save_packets: usize,

    /// Directory for those pcap files
    #[arg(long, value_name = "DIRECTORY", default_value = "./captures", help_heading = ARTIFACTS)]
    #[arg(value_parser = OsStringValueParser::new().try_map(directory))]
    pub capture_dir: PathBuf,

    /// How to attach: auto, xdp, xdp-generic, tc, pcap
    ///
    /// auto uses the first mode that the kernel supports, and logs why it skips a mode.
    #[arg(long, value_name = "MODE", default_value = "auto", help_heading = ATTACHING)]
    #[arg(value_parser = choice::<AttachChoice>)]
    pub attach: AttachChoice,

    /// Shut down as on SIGTERM when the parent process exits
    ///
    /// More precisely, when the thread of the parent that started gomon exits.
    #[arg(long, help_heading = ATTACHING)]
    pub die_with_parent: bool,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that clap calls")]
fn eve_target(path: OsString) -> Result<EveTarget> {
    EveTarget::from_path(&path)
}

fn directory(path: OsString) -> Result<PathBuf> {
    ensure!(!path.is_empty(), "it is empty: give a directory");
    Ok(path.into())
}

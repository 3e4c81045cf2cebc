//! The command line as typed.
//!
//! The first paragraph of each flag's documentation is its line in `-h`, and has to fit one; `--help`
//! shows all of it.

use std::ffi::OsString;

use clap::Parser;

const INPUT: &str = "Input";
const WINDOWS: &str = "Windows";
const THRESHOLDS: &str = "Thresholds (a value must exceed them)";
const DETECTION: &str = "Detection";
const OUTPUT: &str = "Output";
const ARTIFACTS: &str = "Artifacts";
const ATTACHING: &str = "Attaching and running";

/// The widest line of the help texts; a narrower terminal has its own width, and what is no terminal
/// this one.
const WIDTH: usize = 100;

/// What `-h` says at the end.
const AFTER_HELP: &str = "\
Examples:
  gomon vnet0 10.10.0.20                    live, on a VM's tap
  gomon capture.pcap 10.0.0.5 -o eve.json   a capture, the records in a file";

/// What `--help` says at the end.
const AFTER_LONG_HELP: &str = "\
Records go to standard output (or --eve-log-path), all else to standard error.

Exit status:
  0  finished, or stopped by SIGINT or SIGTERM, everything flushed
  1  something failed while running: records or artifacts are missing
  2  the command line is wrong, and nothing was started
  3  the input is damaged or ends in the middle of a record: all before that is analysed and written

Examples:
  Live, on a VM's tap, with the last 100 packets of every host an alert is about:
    gomon vnet0 10.10.0.20 -o /var/log/gomon/eve.json --save-packets 100
  A compressed capture of a bot with two addresses; alerts alone:
    gomon bot.pcapng.zst 10.0.0.5,2001:db8::5 -q | jq 'select(.alert)'
  While it is captured elsewhere:
    ssh sensor 'tcpdump -i vnet0 -U -w -' | gomon - 10.0.0.5
  The thresholds that ordinary traffic calls for:
    gomon capture.pcap 10.0.0.5 --calibrate
  Windows of ten seconds, one starting every half second, without the DNS server and the controller:
    gomon capture.pcap 10.0.0.5 -w 10 -s 0.5 -x 10.0.0.1 -c 203.0.113.50";

/// Counts what a sandboxed bot sends and reports floods, scans and silence as Suricata EVE JSON.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
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
    /// Any other name is that of an interface.
    #[arg(value_name = "INPUT")]
    pub input: OsString,

    /// The bot's address, several separated by commas, or `any`
    ///
    /// IPv4 or IPv6. Of several addresses records carry the first. `any` counts the packets of every
    /// source.
    #[arg(value_name = "SRC_IP", required_unless_present = "list_sources")]
    pub source: Option<String>,

    /// The bot's MAC address, or auto
    ///
    /// Frames of other senders are not from the bot. auto is the sender of the first frame of a capture,
    /// which on a virtual machine's tap is the machine itself; of an interface, what comes in is the bot's
    /// then.
    #[arg(long, value_name = "MAC", help_heading = INPUT)]
    pub bot_mac: Option<String>,

    /// List who sends what in INPUT, and count nothing
    ///
    /// Of an interface, what comes in during one window. The bot's address is not needed.
    #[arg(long, conflicts_with = "calibrate", help_heading = INPUT)]
    pub list_sources: bool,

    /// Address or CIDR prefix to leave out of all counts
    ///
    /// Repeatable, and a comma list. An empty value, or none, stands for no address.
    #[arg(short = 'x', long, value_name = "ADDRESS", help_heading = INPUT)]
    #[arg(num_args = 0..=1, default_missing_value = "")]
    pub ignore_dst: Vec<String>,

    /// The bot's controller: left out of all counts, a label in records
    ///
    /// Repeatable, and a comma list. An empty value, or none, stands for no address.
    #[arg(short, long, value_name = "ADDRESS", help_heading = INPUT)]
    #[arg(num_args = 0..=1, default_missing_value = "")]
    pub c2_ip: Vec<String>,

    /// Name of the sample, in records and in the names of artifacts
    ///
    /// An empty value, or none, is no name.
    #[arg(long, value_name = "NAME", help_heading = INPUT)]
    #[arg(num_args = 0..=1, default_missing_value = "")]
    pub sample_id: Option<String>,

    /// Length of a window: 30 (seconds), 0.5, 500ms, 2m
    ///
    /// From 1ms to 366days; of an interface, 100ms at least.
    #[arg(short, long, value_name = "TIME", default_value = "30", help_heading = WINDOWS)]
    #[arg(allow_hyphen_values = true)]
    pub window: String,

    /// From one window's start to the next [default: the window]
    ///
    /// Must divide the window. With less than the window, windows overlap.
    #[arg(short, long, value_name = "TIME", help_heading = WINDOWS)]
    #[arg(allow_hyphen_values = true)]
    pub step: Option<String>,

    /// Attack: packets/s to one destination
    ///
    /// With a unit: 5/s, or 150/window for packets in a window.
    #[arg(short, long, value_name = "RATE", default_value = "5", help_heading = THRESHOLDS)]
    #[arg(allow_hyphen_values = true)]
    pub packet_threshold: String,

    /// Scan: destination hosts/window
    ///
    /// With a unit: 10/window, or 0.5/s for hosts a second.
    #[arg(short, long, value_name = "HOSTS", default_value = "10", help_heading = THRESHOLDS)]
    #[arg(allow_hyphen_values = true)]
    pub destination_threshold: String,

    /// Vertical scan: ports/window of one host
    ///
    /// With a unit: 100/window, or 10/s for ports a second; 0 turns it off.
    #[arg(long, value_name = "PORTS", default_value = "100", help_heading = THRESHOLDS)]
    #[arg(allow_hyphen_values = true)]
    pub port_threshold: String,

    /// Report no verdicts, but what thresholds the traffic calls for
    #[arg(long, help_heading = THRESHOLDS)]
    pub calibrate: bool,

    /// Hosts that count towards a scan
    ///
    /// host-rate (all), new-host-rate (those that the window before did not have), filtered-host-rate
    /// (those not under attack).
    #[arg(long, value_name = "MODE", default_value = "filtered-host-rate")]
    #[arg(help_heading = DETECTION)]
    pub scan_detection_mode: String,

    /// The former name of --scan-detection-mode
    #[arg(long, value_name = "MODE", hide = true, overrides_with = "scan_detection_mode")]
    pub destination_rate_mode: Option<String>,

    /// Look for ports on which most hosts are silent
    ///
    /// on, or off.
    #[arg(long, value_name = "HOW", default_value = "on", help_heading = DETECTION)]
    pub sweep_detection: String,

    /// Fewest hosts tried before a port is called swept
    #[arg(long, value_name = "HOSTS", default_value = "12", help_heading = DETECTION)]
    #[arg(allow_hyphen_values = true)]
    pub sweep_hosts: String,

    /// Hosts counted each on its own in a window
    ///
    /// And as many endpoints (address, protocol and port). Of windows that overlap, in a step. Past
    /// that the others are counted together, and the number of hosts is an estimate.
    #[arg(long, value_name = "HOSTS", default_value = "1024", help_heading = DETECTION)]
    #[arg(allow_hyphen_values = true)]
    pub max_destinations: String,

    /// Where records go: a file, `-`, or `unix:///path` [default: -]
    ///
    /// A file is appended to, `-` is standard output, `unix:///path` a stream socket to connect to.
    #[arg(short = 'o', long, value_name = "PATH", default_value = "-", help_heading = OUTPUT)]
    #[arg(hide_default_value = true)]
    pub eve_log_path: OsString,

    /// Give the EVE file its name when it is complete
    ///
    /// It is written under a temporary name beside an older one, which it then replaces.
    #[arg(long, help_heading = OUTPUT)]
    pub eve_fresh: bool,

    /// Write records that Suricata's own JSON schema accepts as they are
    #[arg(long, help_heading = OUTPUT)]
    pub eve_strict: bool,

    /// Name of this sensor, in records as host
    ///
    /// Records of several sensors in one store are told apart by it. An empty value, or none, is no name;
    /// then host is the sample's name.
    #[arg(long, value_name = "NAME", help_heading = OUTPUT)]
    #[arg(num_args = 0..=1, default_missing_value = "")]
    pub sensor_name: Option<String>,

    /// Report ordinary destinations as: flow, alert, off
    ///
    /// flow is Suricata's flow event; off reports none.
    #[arg(long, value_name = "HOW", default_value = "flow", help_heading = OUTPUT)]
    pub connections: String,

    /// Report idle windows too
    #[arg(long, help_heading = OUTPUT)]
    pub show_idle: bool,

    /// Write a stats record for every window
    ///
    /// With the ledger, and the contacts by port.
    #[arg(long, help_heading = OUTPUT)]
    pub stats: bool,

    /// Least severe messages to log: debug, info, warn, error
    #[arg(long, value_name = "LEVEL", default_value = "info", help_heading = OUTPUT)]
    pub log_level: String,

    /// No banner, no configuration block, no progress
    #[arg(short, long, help_heading = OUTPUT)]
    pub quiet: bool,

    /// Last packets of a host to save with an alert; 0: none
    ///
    /// So many are kept of each host and window, and written as pcap when an attack, a scan or a sweep is
    /// reported.
    #[arg(long, value_name = "PACKETS", default_value = "0", help_heading = ARTIFACTS)]
    #[arg(allow_hyphen_values = true)]
    pub save_packets: String,

    /// Directory for those pcap files
    #[arg(long, value_name = "DIRECTORY", default_value = "./captures", help_heading = ARTIFACTS)]
    pub capture_dir: OsString,

    /// How to attach: auto, xdp, xdp-generic, tc, pcap
    ///
    /// auto takes the first way that the kernel offers, and logs each step down with its reason.
    #[arg(long, value_name = "MODE", default_value = "auto", help_heading = ATTACHING)]
    pub attach: String,

    /// End as on SIGTERM when the parent process ends
    ///
    /// More exactly, when the thread of it ends that started gomon.
    #[arg(long, help_heading = ATTACHING)]
    pub die_with_parent: bool,
}

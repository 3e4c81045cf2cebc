//! The command line as typed.

use std::ffi::OsString;

use clap::Parser;

/// What `--help` says at the end.
const AFTER_HELP: &str = "\
All thresholds are strict: a value must exceed them. A capture may be pcap or pcapng, plain or
compressed with gzip, zstd, xz or lz4. Records go to standard output (or --eve-log-path), all else
to standard error.

Exit status: 0 finished, or stopped by SIGINT or SIGTERM; 1 something failed while running; 2 the
command line is wrong.";

/// Counts what a sandboxed bot sends and reports floods, scans and silence as Suricata EVE JSON.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(
    name = "gomon",
    version = crate::VERSION,
    after_help = AFTER_HELP,
    args_override_self = true,
    disable_help_subcommand = true
)]
pub struct Args {
    /// A capture file, `-` for standard input, or an interface
    #[arg(value_name = "INPUT")]
    pub input: OsString,

    /// The bot: an IPv4 or IPv6 address, several separated by commas, or `any` for every source
    #[arg(value_name = "SRC_IP")]
    pub source: String,

    /// Length of a window: 30 (seconds), 30s, 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "30", allow_hyphen_values = true)]
    pub window: String,

    /// From the start of one window to the start of the next; must divide the window [default: the
    /// window]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub step: Option<String>,

    /// Packets a second to one destination that make an attack; 150/window is accepted too
    #[arg(long, value_name = "RATE", default_value = "5", allow_hyphen_values = true)]
    pub packet_threshold: String,

    /// Destination hosts a window that make a horizontal scan; 10/s is accepted too
    #[arg(long, value_name = "HOSTS", default_value = "10", allow_hyphen_values = true)]
    pub destination_threshold: String,

    /// Destination ports of one host a window that make a vertical scan; 10/s is accepted too; 0
    /// turns it off
    #[arg(long, value_name = "PORTS", default_value = "100", allow_hyphen_values = true)]
    pub port_threshold: String,

    /// Hosts that count towards a horizontal scan: host-rate (all), new-host-rate (those the window
    /// before did not have), filtered-host-rate (those not under attack)
    #[arg(long, value_name = "MODE", default_value = "filtered-host-rate")]
    pub scan_detection_mode: String,

    /// The former name of --scan-detection-mode
    #[arg(long, value_name = "MODE", hide = true, overrides_with = "scan_detection_mode")]
    pub destination_rate_mode: Option<String>,

    /// Whether ports on which most hosts do not answer are reported: on, off
    #[arg(long, value_name = "HOW", default_value = "on")]
    pub sweep_detection: String,

    /// Fewest hosts tried on a port before it can be called swept
    #[arg(long, value_name = "HOSTS", default_value = "12", allow_hyphen_values = true)]
    pub sweep_hosts: String,

    /// Address or CIDR prefix to leave out of all counts; repeatable, and a comma list
    #[arg(long, value_name = "ADDRESS")]
    pub ignore_dst: Vec<String>,

    /// Address of the bot's controller: a label in records, left out of all counts; repeatable, and
    /// a comma list
    #[arg(long, value_name = "ADDRESS")]
    pub c2_ip: Vec<String>,

    /// Name of the sample, in records and in the names of artifacts
    #[arg(long, value_name = "NAME")]
    pub sample_id: Option<String>,

    /// Hosts, and endpoints, counted each on its own in one window (one step, if that is shorter)
    #[arg(long, value_name = "NUMBER", default_value = "1024", allow_hyphen_values = true)]
    pub max_destinations: String,

    /// Where records go: a file that is appended to, - for standard output, or `unix:///path` for a
    /// stream socket
    #[arg(long, value_name = "PATH", default_value = "-", hide_default_value = true)]
    pub eve_log_path: OsString,

    /// Write the EVE file under a temporary name beside it, which it replaces when it is complete
    #[arg(long)]
    pub eve_fresh: bool,

    /// Write records that Suricata's own JSON schema accepts as they are
    #[arg(long)]
    pub eve_strict: bool,

    /// How ordinary destinations are reported: flow (as Suricata's flow event), alert, off
    #[arg(long, value_name = "HOW", default_value = "flow")]
    pub connections: String,

    /// Report idle windows too
    #[arg(long)]
    pub show_idle: bool,

    /// Write a stats record for every window, with the ledger and the contacts by port
    #[arg(long)]
    pub stats: bool,

    /// Report no verdicts, but what thresholds the traffic calls for
    #[arg(long)]
    pub calibrate: bool,

    /// Packets kept of each host and window, the last so many, and written as pcap when an attack or
    /// a scan is reported; 0 keeps none
    #[arg(long, value_name = "PACKETS", default_value = "0", allow_hyphen_values = true)]
    pub save_packets: String,

    /// Directory for those pcap files
    #[arg(long, value_name = "DIRECTORY", default_value = "./captures")]
    pub capture_dir: OsString,

    /// How to attach to an interface: auto, xdp, xdp-generic, tc, pcap
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub attach: String,

    /// End as on SIGTERM when the parent process ends (the thread of it that started gomon)
    #[arg(long)]
    pub die_with_parent: bool,

    /// Least severe messages to log on standard error: debug, info, warn, error
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,

    /// No banner, no configuration block, no progress
    #[arg(long)]
    pub quiet: bool,
}

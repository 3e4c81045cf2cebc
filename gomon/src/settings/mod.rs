//! The settings of a run: as typed ([`Args`]), and as meant ([`Settings`]), checked and in one form.

mod args;
mod bot;
mod eve_target;
mod quantity;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gomon_common::Address;
use ipnet::IpNet;
use log::LevelFilter;

pub use self::args::Args;
use self::bot::{address, bot_mac, sources};
pub use self::eve_target::EveTarget;
use self::quantity::Per;
use crate::core::{BotMac, MAX_PANES, PacketFilter, Policy, Prefix, ScanMode, Sources};

/// The most destinations that can be asked for; each costs about 150 bytes.
const MAX_DESTINATIONS: usize = 10_000_000;
/// The most packets of one host that can be asked for.
const MAX_PACKETS: usize = 1_000_000;
/// The most hosts that a sweep can be made to wait for.
const MAX_SWEEP_HOSTS: usize = 1_000_000;

/// How an ordinary destination is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// As Suricata's flow event.
    Flow,
    /// As an alert.
    Alert,
    /// Not at all.
    Off,
}

/// How to attach to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Attach {
    Auto,
    Xdp,
    XdpGeneric,
    Tc,
    Pcap,
}

/// Every setting of a run.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Settings {
    /// What to read.
    pub input: PathBuf,
    /// Whose packets count; everybody's where sources are only listed.
    pub sources: Sources,
    /// Whose frames are the bot's.
    pub bot_mac: Option<BotMac>,
    /// Whether sources are listed, and nothing is counted.
    pub list_sources: bool,
    /// How windows are cut and judged.
    pub policy: Policy,
    /// Fewest hosts tried on a port before it can be called swept, whether sweeps are looked for or not.
    pub sweep_hosts: u64,
    /// Destinations left out, as typed.
    pub ignore_dst: Vec<IpNet>,
    /// The bot's controllers.
    pub c2_ip: Vec<Address>,
    /// Name of the sensor.
    pub sensor_name: Option<String>,
    /// Name of the sample.
    pub sample_id: Option<String>,
    /// Hosts, and endpoints, counted each on its own.
    pub max_destinations: usize,
    /// Where records go.
    pub eve: EveTarget,
    /// Whether an EVE file gets its name when it is complete.
    pub eve_fresh: bool,
    /// Whether records keep to Suricata's schema.
    pub eve_strict: bool,
    /// How ordinary destinations are reported.
    pub connections: Connections,
    /// Whether idle windows are reported.
    pub show_idle: bool,
    /// Whether every window has a stats record.
    pub stats: bool,
    /// Whether thresholds are looked for instead of verdicts.
    pub calibrate: bool,
    /// Packets kept per host and window.
    pub save_packets: usize,
    /// Where artifacts go.
    pub capture_dir: PathBuf,
    /// How to attach to an interface.
    pub attach: Attach,
    /// Whether the run ends with the parent process.
    pub die_with_parent: bool,
    /// Least severe messages to log.
    pub log_level: LevelFilter,
    /// Whether banner, configuration and progress are left away.
    pub quiet: bool,
    /// Whether the scan mode was given under its former name.
    pub deprecated_mode_flag: bool,
}

const CONNECTIONS: [(&str, Connections); 3] =
    [("flow", Connections::Flow), ("alert", Connections::Alert), ("off", Connections::Off)];
const ATTACH: [(&str, Attach); 5] = [
    ("auto", Attach::Auto),
    ("xdp", Attach::Xdp),
    ("xdp-generic", Attach::XdpGeneric),
    ("tc", Attach::Tc),
    ("pcap", Attach::Pcap),
];
const SWITCH: [(&str, bool); 2] = [("on", true), ("off", false)];
const LEVELS: [(&str, LevelFilter); 6] = [
    ("debug", LevelFilter::Debug),
    ("info", LevelFilter::Info),
    ("warn", LevelFilter::Warn),
    ("error", LevelFilter::Error),
    ("warning", LevelFilter::Warn),
    ("err", LevelFilter::Error),
];

impl Connections {
    /// The word on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        name_of(&self, &CONNECTIONS)
    }
}

impl Attach {
    /// The word on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        name_of(&self, &ATTACH)
    }
}

fn name_of<T: PartialEq>(value: &T, words: &[(&'static str, T)]) -> &'static str {
    words.iter().find(|(_, v)| v == value).map_or("", |(word, _)| word)
}

impl Settings {
    /// Checks the arguments.
    ///
    /// # Errors
    ///
    /// The first one that is wrong, with what it was and what to give instead.
    pub fn new(args: &Args) -> Result<Self> {
        let window =
            quantity::time(&args.window).with_context(|| reading("--window", &args.window))?;
        let step = match &args.step {
            None => window,
            Some(text) => step(text, window).with_context(|| reading("--step", text))?,
        };
        let deprecated_mode_flag = args.destination_rate_mode.is_some();
        let mode = args.destination_rate_mode.as_ref().unwrap_or(&args.scan_detection_mode);
        let modes = ScanMode::ALL.map(|mode| (mode.name(), mode));
        let connections = quantity::word(&args.connections, &CONNECTIONS)
            .with_context(|| reading("--connections", &args.connections))?;
        let sweep_hosts = quantity::number(&args.sweep_hosts, 1, MAX_SWEEP_HOSTS)
            .with_context(|| reading("--sweep-hosts", &args.sweep_hosts))?
            as u64;
        let sweeps = quantity::word(&args.sweep_detection, &SWITCH)
            .with_context(|| reading("--sweep-detection", &args.sweep_detection))?;
        let policy = Policy {
            window,
            step,
            packet_threshold: quantity::threshold(
                &args.packet_threshold,
                Per::Second,
                Per::Second,
                window,
            )
            .and_then(quantity::positive)
            .with_context(|| reading("--packet-threshold", &args.packet_threshold))?,
            destination_threshold: quantity::threshold(
                &args.destination_threshold,
                Per::Window,
                Per::Window,
                window,
            )
            .and_then(quantity::positive)
            .with_context(|| reading("--destination-threshold", &args.destination_threshold))?,
            port_threshold: port_threshold(&args.port_threshold, window)
                .with_context(|| reading("--port-threshold", &args.port_threshold))?,
            scan_mode: quantity::word(mode, &modes)
                .with_context(|| reading("--scan-detection-mode", mode))?,
            sweep_hosts: sweeps.then_some(sweep_hosts),
            connections: connections != Connections::Off,
        };
        let eve = EveTarget::from_path(&args.eve_log_path)
            .with_context(|| reading("--eve-log-path", &args.eve_log_path.display().to_string()))?;
        Ok(Self {
            sources: args.source.as_ref().map_or(Ok(Sources::Any), |source| {
                sources(source).with_context(|| reading("SRC_IP", source))
            })?,
            bot_mac: args
                .bot_mac
                .as_ref()
                .map(|text| bot_mac(text).with_context(|| reading("--bot-mac", text)))
                .transpose()?,
            list_sources: args.list_sources,
            policy,
            sweep_hosts,
            ignore_dst: list(&args.ignore_dst, prefix)
                .with_context(|| reading("--ignore-dst", &args.ignore_dst.join(",")))?,
            c2_ip: list(&args.c2_ip, address)
                .with_context(|| reading("--c2-ip", &args.c2_ip.join(",")))?,
            sensor_name: args.sensor_name.clone().filter(|name| !name.is_empty()),
            sample_id: args.sample_id.clone().filter(|id| !id.is_empty()),
            max_destinations: quantity::number(&args.max_destinations, 1, MAX_DESTINATIONS)
                .with_context(|| reading("--max-destinations", &args.max_destinations))?,
            eve_fresh: {
                let is_file = matches!(eve, EveTarget::File(_));
                ensure!(
                    is_file || !args.eve_fresh,
                    "reading --eve-fresh: only a file can be replaced: name one with --eve-log-path"
                );
                args.eve_fresh
            },
            eve,
            eve_strict: args.eve_strict,
            connections,
            show_idle: args.show_idle,
            stats: args.stats,
            calibrate: args.calibrate,
            save_packets: quantity::number(&args.save_packets, 0, MAX_PACKETS)
                .with_context(|| reading("--save-packets", &args.save_packets))?,
            capture_dir: if args.capture_dir.is_empty() {
                bail!("reading --capture-dir: it is empty: give a directory");
            } else {
                args.capture_dir.clone().into()
            },
            attach: quantity::word(&args.attach, &ATTACH)
                .with_context(|| reading("--attach", &args.attach))?,
            die_with_parent: args.die_with_parent,
            log_level: quantity::word(&args.log_level, &LEVELS)
                .with_context(|| reading("--log-level", &args.log_level))?,
            quiet: args.quiet,
            input: args.input.clone().into(),
            deprecated_mode_flag,
        })
    }

    /// The bot's MAC address, as typed, or none.
    #[must_use]
    pub fn bot_mac_text(&self) -> Option<String> {
        self.bot_mac.map(|bot_mac| match bot_mac {
            BotMac::Is(mac) => mac.to_string(),
            BotMac::First | BotMac::Unknown => "auto".to_owned(),
        })
    }

    /// The packets to count, whoever sent their frames.
    #[must_use]
    pub fn packet_filter(&self) -> PacketFilter {
        let hosts = self.c2_ip.iter().copied().map(Prefix::host);
        let ignored = self.ignore_dst.iter().map(|net| {
            let mapped = if net.addr().is_ipv4() { Prefix::IPV4.bits() } else { 0 };
            Prefix::new(net.addr().into(), mapped + u32::from(net.prefix_len()))
        });
        PacketFilter::new(self.sources.clone(), ignored.chain(hosts).collect())
    }
}

fn reading(flag: &str, text: &str) -> String {
    format!("reading {flag} {text:?}")
}

fn step(text: &str, window: Duration) -> Result<Duration> {
    let step = quantity::time(text)?;
    let (window_ns, step_ns) = (window.as_nanos(), step.as_nanos());
    ensure!(
        window_ns.is_multiple_of(step_ns),
        "does not divide the window of {}: give a whole fraction of it",
        humantime::format_duration(window)
    );
    ensure!(
        window_ns / step_ns <= u128::from(MAX_PANES),
        "less than a {MAX_PANES}th of the window: give a longer step"
    );
    Ok(step)
}

fn port_threshold(text: &str, window: Duration) -> Result<Option<f64>> {
    let threshold = quantity::threshold(text, Per::Window, Per::Window, window)?;
    if threshold == 0.0 {
        return Ok(None);
    }
    quantity::positive(threshold).map(Some)
}

/// A prefix, or an address as the prefix that holds it alone.
fn prefix(text: &str) -> Result<IpNet> {
    let text = text.trim();
    let net = text.parse::<IpNet>().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.into()));
    let Some(net) = net else {
        bail!("not an address or a prefix: give one like 10.0.0.5 or 10.0.0.0/8");
    };
    Ok(net.trunc())
}

/// Every item of every comma list; empty ones are passed over.
fn list<T>(lists: &[String], item: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    let items = lists.iter().flat_map(|list| list.split(','));
    items.filter(|text| !text.trim().is_empty()).map(item).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn settings(flags: &[&str]) -> Result<Settings> {
        let args = ["gomon", "x.pcap", "10.0.0.5"].iter().chain(flags);
        Settings::new(&Args::try_parse_from(args)?)
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.policy.window, Duration::from_secs(30));
        assert_eq!(settings.policy.panes(), 1);
        assert_eq!(settings.policy.scan_mode, ScanMode::FilteredHostRate);
        assert_eq!(settings.eve, EveTarget::Stdout);
        assert_eq!(settings.max_destinations, 1024);
    }

    #[test]
    fn ignored_destinations_are_those_of_both_flags() {
        let settings =
            settings(&["--ignore-dst", "8.8.8.8, 10.1.2.3/8", "--c2-ip", "::1"]).unwrap();
        let filter = settings.packet_filter();
        let expected = [
            Prefix::host("::1".parse::<IpAddr>().unwrap().into()),
            Prefix::host(Address::v4([8, 8, 8, 8])),
            Prefix::new(Address::v4([10, 0, 0, 0]), 96 + 8),
        ];
        assert_eq!(filter.ignored_prefixes(), expected);
    }

    #[test]
    fn wrong_settings_name_the_flag_the_value_and_a_way_out() {
        for (flag, value) in [
            ("--window", "0"),
            ("--step", "7"),
            ("--step", "1ms"),
            ("--packet-threshold", "0"),
            ("--packet-threshold", "-1"),
            ("--packet-threshold", "NaN"),
            ("--destination-threshold", "inf"),
            ("--destination-threshold", "5/hour"),
            ("--port-threshold", "-5"),
            ("--scan-detection-mode", "fast"),
            ("--ignore-dst", "10.0.0.0/33"),
            ("--c2-ip", "c2.example"),
            ("--bot-mac", "52:54:00:12:34"),
            ("--max-destinations", "0"),
            ("--save-packets", "-1"),
            ("--connections", "maybe"),
            ("--attach", "usb"),
            ("--log-level", "trace"),
            ("--eve-log-path", "unix://relative"),
        ] {
            let error = format!("{:#}", settings(&[flag, value]).unwrap_err());
            assert!(error.starts_with(&format!("reading {flag} ")), "{error}");
            assert!(error.contains(value) && error.contains(": give "), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
        assert!(settings(&["--port-threshold", "0"]).unwrap().policy.port_threshold.is_none());
    }

    #[test]
    fn words_that_are_accepted_beside_others_are_not_offered() {
        let error = format!("{:#}", settings(&["--log-level", "trace"]).unwrap_err());
        assert!(error.ends_with(": give one of debug, info, warn, error"), "{error}");
        for (word, level) in [("warning", LevelFilter::Warn), ("err", LevelFilter::Error)] {
            assert_eq!(settings(&["--log-level", word]).unwrap().log_level, level);
        }
    }
}

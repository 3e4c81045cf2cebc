//! The conversion of arguments into settings, with the checks that depend on more than one argument.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::args::Args;
use super::bot::{BotSettings, EveSettings};
use super::choice::{Connections, Switch};
use super::eve_target::EveTarget;
use super::origin::SettingOrigin;
use super::process::{ProcessSettings, RunMode};
use super::value::{Parsed, Threshold, ThresholdUnit, positive};
use crate::core::{MAX_PANES, Policy, Sources};

/// Returns the origin of the value of a flag, given by its long form.
pub(super) type FlagOrigin<'a> = dyn Fn(&'static str) -> SettingOrigin + 'a;

/// The settings of a command that watches one bot.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The settings of the process.
    pub process: ProcessSettings,
    /// The settings of the bot.
    pub bot: BotSettings,
    /// Warnings about the arguments, to be logged once the log is started.
    pub warnings: Vec<&'static str>,
}

impl Settings {
    /// Resolves the arguments.
    ///
    /// # Errors
    ///
    /// When arguments contradict each other. The error names an argument, its value, and what to give instead.
    pub fn new(args: Args) -> Result<Self> {
        Self::resolve(args, &SettingOrigin::flag)
    }

    /// Resolves the arguments. `origin` returns the origin of the value of a flag, given by its long form.
    pub(super) fn resolve(args: Args, origin: &FlagOrigin<'_>) -> Result<Self> {
        let mut warnings = Vec::new();
        if args.destination_rate_mode.is_some() {
            warnings.push("--destination-rate-mode is deprecated: use --scan-detection-mode");
        }
        let process = ProcessSettings {
            mode: match (args.list_sources, args.calibrate) {
                (true, _) => RunMode::ListSources,
                (false, true) => RunMode::Calibrate,
                (false, false) => RunMode::Detect,
            },
            log_level: args.log_level.into(),
            quiet: args.quiet,
            die_with_parent: args.die_with_parent,
        };
        let bot = BotSettings {
            policy: policy(&args, origin)?,
            sources: args.source.unwrap_or(Sources::Any),
            bot_mac: args.bot_mac,
            attach: args.attach,
            ignore_dst: args.ignore_dst.into_iter().flat_map(|list| list.0).collect(),
            c2_ip: args.c2_ip.into_iter().flat_map(|list| list.0).collect(),
            sensor_name: args.sensor_name.filter(|name| !name.is_empty()),
            sample_id: args.sample_id.filter(|id| !id.is_empty()),
            sweep_hosts: args.sweep_hosts as u64,
            max_destinations: args.max_destinations,
            eve: EveSettings {
                fresh: fresh(args.eve_fresh, &args.eve_log_path, origin)?,
                target: args.eve_log_path,
                strict: args.eve_strict,
                connections: args.connections,
                show_idle: args.show_idle,
                stats: args.stats,
            },
            save_packets: args.save_packets,
            capture_dir: args.capture_dir,
            input: args.input,
        };
        Ok(Self { process, bot, warnings })
    }
}

fn policy(args: &Args, origin: &FlagOrigin<'_>) -> Result<Policy> {
    let window = args.window;
    let ports =
        threshold(&origin("--port-threshold"), &args.port_threshold, |threshold| match threshold
            .convert(ThresholdUnit::PerWindow, window)?
        {
            0.0 => Ok(None),
            ports => positive(ports).map(Some),
        })?;
    Ok(Policy {
        window,
        step: step(args.step.as_ref(), window, &origin("--step"))?,
        packet_threshold: threshold(
            &origin("--packet-threshold"),
            &args.packet_threshold,
            |threshold| positive(threshold.convert(ThresholdUnit::PerSecond, window)?),
        )?,
        destination_threshold: threshold(
            &origin("--destination-threshold"),
            &args.destination_threshold,
            |threshold| positive(threshold.convert(ThresholdUnit::PerWindow, window)?),
        )?,
        port_threshold: ports,
        scan_mode: args.destination_rate_mode.unwrap_or(args.scan_detection_mode),
        sweep_hosts: (args.sweep_detection == Switch::On).then_some(args.sweep_hosts as u64),
        connections: args.connections != Connections::Off,
    })
}

/// Converts a threshold. An error names its origin and the text.
fn threshold<T>(
    origin: &SettingOrigin,
    given: &Parsed<Threshold>,
    convert: impl FnOnce(Threshold) -> Result<T>,
) -> Result<T> {
    convert(given.value).with_context(|| origin.reading(&given.text))
}

/// Returns the step, which defaults to the window.
fn step(
    given: Option<&Parsed<Duration>>,
    window: Duration,
    origin: &SettingOrigin,
) -> Result<Duration> {
    let Some(Parsed { text, value: step }) = given else { return Ok(window) };
    let (window_ns, step_ns) = (window.as_nanos(), step.as_nanos());
    let check = || {
        ensure!(
            window_ns.is_multiple_of(step_ns),
            "does not divide the window of {}: give a whole fraction of it",
            humantime::format_duration(window)
        );
        ensure!(
            window_ns / step_ns <= u128::from(MAX_PANES),
            "less than a {MAX_PANES}th of the window: give a longer step"
        );
        Ok(*step)
    };
    check().with_context(|| origin.reading(text))
}

/// Checks `--eve-fresh`, which requires a file, and returns whether it is given.
fn fresh(is_given: bool, target: &EveTarget, origin: &FlagOrigin<'_>) -> Result<bool> {
    if is_given && !matches!(target, EveTarget::File(_)) {
        bail!(
            "reading {}: only a file can be replaced: name one with --eve-log-path",
            origin("--eve-fresh")
        );
    }
    Ok(is_given)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use anyhow::Error;
    use clap::Parser;
    use gomon_common::Address;
    use log::LevelFilter;

    use super::super::usage_error::usage_error;
    use super::*;
    use crate::core::{Prefix, ScanMode};

    fn settings(flags: &[&str]) -> Result<Settings> {
        let args = ["gomon", "x.pcap", "10.0.0.5"].iter().chain(flags);
        let args =
            Args::try_parse_from(args).map_err(|error| Error::msg(usage_error(&error, "gomon")))?;
        Settings::new(args)
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let Settings { process, bot, warnings } = settings(&[]).unwrap();
        assert_eq!(bot.policy.window, Duration::from_secs(30));
        assert_eq!(bot.policy.panes(), 1);
        assert_eq!(bot.policy.scan_mode, ScanMode::FilteredHostRate);
        assert_eq!(bot.policy.sweep_hosts, Some(12));
        assert_eq!(bot.eve.target, EveTarget::Stdout);
        assert_eq!(bot.max_destinations, 1024);
        assert_eq!((process.mode, process.log_level), (RunMode::Detect, LevelFilter::Info));
        assert!(warnings.is_empty());
    }

    #[test]
    fn ignored_destinations_are_those_of_both_flags() {
        let settings =
            settings(&["--ignore-dst", "8.8.8.8, 10.1.2.3/8", "--c2-ip", "::1"]).unwrap();
        let filter = settings.bot.packet_filter();
        let expected = [
            Prefix::host("::1".parse::<IpAddr>().unwrap().into()),
            Prefix::host(Address::v4([8, 8, 8, 8])),
            Prefix::new(Address::v4([10, 0, 0, 0]), 96 + 8),
        ];
        let mut prefixes = filter.ignored_prefixes().to_vec();
        prefixes.sort_unstable_by_key(|prefix| prefix.address());
        assert_eq!(prefixes, expected);
    }

    #[test]
    fn errors_name_the_flag_the_value_and_what_to_give_instead() {
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
            assert!(error.starts_with(&format!("reading {flag} {value:?}: ")), "{error}");
            assert!(error.contains(": give "), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
        assert!(settings(&["--port-threshold", "0"]).unwrap().bot.policy.port_threshold.is_none());
    }

    #[test]
    fn aliases_of_words_are_accepted_and_not_listed() {
        let error = format!("{:#}", settings(&["--log-level", "trace"]).unwrap_err());
        assert!(error.ends_with(": give one of debug, info, warn, error"), "{error}");
        for (word, level) in [("warning", LevelFilter::Warn), ("err", LevelFilter::Error)] {
            assert_eq!(settings(&["--log-level", word]).unwrap().process.log_level, level);
        }
    }
}

//! The settings as text, for the configuration block at the start of a run.

use super::bot::BotSettings;
use super::choice::word;
use super::process::RunMode;
use super::resolve::Settings;
use crate::VERSION;
use crate::core::Policy;

const NONE: &str = "<none>";

impl Settings {
    /// Returns the name and the value of every setting. The names are those of the flags.
    #[must_use]
    pub fn configuration(&self) -> Vec<(&'static str, String)> {
        let Self { process, bot, .. } = self;
        let BotSettings { policy, eve, .. } = bot;
        let sources = list(bot.sources.addresses());
        let optional = |text: Option<&str>| text.unwrap_or(NONE).to_owned();
        vec![
            ("version", VERSION.trim_start_matches("version ").to_owned()),
            ("input", bot.input.display().to_string()),
            ("source-ip", sources.unwrap_or_else(|| "any".to_owned())),
            ("bot-mac", optional(bot.bot_mac_text().as_deref())),
            ("window", humantime::format_duration(policy.window).to_string()),
            ("step", humantime::format_duration(policy.step).to_string()),
            ("packet-threshold", packet_threshold(policy)),
            ("destination-threshold", per_window(policy.destination_threshold, "hosts", policy)),
            (
                "port-threshold",
                policy
                    .port_threshold
                    .map_or("off".to_owned(), |ports| per_window(ports, "ports", policy)),
            ),
            ("scan-detection-mode", policy.scan_mode.name().to_owned()),
            ("sweep-detection", if policy.sweep_hosts.is_some() { "on" } else { "off" }.to_owned()),
            ("sweep-hosts", bot.sweep_hosts.to_string()),
            ("ignore-dst", optional(list(bot.ignore_dst.iter()).as_deref())),
            ("c2-ip", optional(list(bot.c2_ip.iter()).as_deref())),
            ("sensor-name", optional(bot.sensor_name.as_deref())),
            ("sample-id", optional(bot.sample_id.as_deref())),
            ("max-destinations", bot.max_destinations.to_string()),
            ("eve-log-path", eve.target.to_string()),
            ("eve-fresh", eve.fresh.to_string()),
            ("eve-strict", eve.strict.to_string()),
            ("connections", word(&eve.connections)),
            ("show-idle", eve.show_idle.to_string()),
            ("stats", eve.stats.to_string()),
            ("calibrate", (process.mode == RunMode::Calibrate).to_string()),
            ("save-packets", bot.save_packets.to_string()),
            ("capture-dir", bot.capture_dir.display().to_string()),
            ("attach", word(&bot.attach)),
            ("die-with-parent", process.die_with_parent.to_string()),
            ("log-level", process.log_level.to_string().to_lowercase()),
        ]
    }
}

/// Joins the items with commas. Returns `None` if there are none.
fn list(items: impl Iterator<Item = impl ToString>) -> Option<String> {
    let items: Vec<_> = items.map(|item| item.to_string()).collect();
    (!items.is_empty()).then(|| items.join(", "))
}

fn packet_threshold(policy: &Policy) -> String {
    let per_second = policy.packet_threshold;
    let per_window = per_second * policy.window.as_secs_f64();
    format!("{} packets/s ({} packets/window)", short(per_second), short(per_window))
}

fn per_window(threshold: f64, unit: &str, policy: &Policy) -> String {
    let per_second = threshold / policy.window.as_secs_f64();
    format!("{} {unit}/window ({} {unit}/s)", short(threshold), short(per_second))
}

/// Formats a number with at most two decimals, or in scientific notation if these would all be 0.
fn short(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.01 {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let short = [5.0, 0.333_333, 10.0, 0.0001, 0.0].map(short);
        assert_eq!(short, ["5", "0.33", "10", "1.0e-4", "0"]);
    }
}

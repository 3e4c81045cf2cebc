//! What to attach to an interface for a bot: the modes, and the configuration of the counter.

use anyhow::{Result, ensure};
use gomon_common::kernel::{MAX_IGNORED, MAX_SOURCES};

use crate::core::BotMac;
use crate::settings::{AttachChoice, BotSettings, RunMode};
use crate::source::live::{self, AttachMode, CounterConfig, FALLBACK_ORDER};

/// Returns the attach modes to try, in order.
///
/// # Errors
///
/// When a setting is out of the range that interfaces support.
pub(crate) fn attach_modes(bot: &BotSettings) -> Result<Vec<AttachMode>> {
    ensure!(
        bot.policy.step >= live::SHORTEST_PANE,
        "reading --step or --window: less than the {} an interface needs: give more",
        humantime::format_duration(live::SHORTEST_PANE)
    );
    ensure!(
        bot.max_destinations <= live::MAX_DESTINATIONS,
        "reading --max-destinations: more than {}, the most for an interface: give less",
        live::MAX_DESTINATIONS
    );
    let prefixes = bot.packet_filter().ignored_prefixes().len();
    let addresses = bot.sources.addresses().count();
    ensure!(
        prefixes < MAX_IGNORED && addresses <= MAX_SOURCES,
        "reading --ignore-dst and SRC_IP: more than {MAX_IGNORED} prefixes or {MAX_SOURCES} \
         addresses: give fewer"
    );
    Ok(match bot.attach {
        AttachChoice::Auto => FALLBACK_ORDER.to_vec(),
        AttachChoice::Xdp => vec![AttachMode::Xdp],
        AttachChoice::XdpGeneric => vec![AttachMode::XdpGeneric],
        AttachChoice::Tc => vec![AttachMode::Tcx, AttachMode::Clsact],
        AttachChoice::Pcap => vec![AttachMode::Pcap],
    })
}

/// Returns what to count.
pub(crate) fn counter_config(bot: &BotSettings, run_mode: RunMode) -> CounterConfig {
    // On a tap the bot sends all incoming frames, so `auto` selects every frame.
    let bot_mac = bot.bot_mac.filter(|bot_mac| *bot_mac != BotMac::First);
    let calibrates = run_mode == RunMode::Calibrate;
    CounterConfig {
        filter: bot.packet_filter().with_bot_mac(bot_mac),
        capacity: u32::try_from(bot.max_destinations).unwrap_or(u32::MAX),
        packets_per_host: if calibrates {
            0
        } else {
            u32::try_from(bot.save_packets).unwrap_or(u32::MAX)
        },
        sweeps: bot.policy.sweep_hosts.is_some() && !calibrates,
    }
}

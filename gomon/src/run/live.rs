//! Counting on an interface: the attach modes, and the configuration of the counter.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gomon_common::kernel::{MAX_IGNORED, MAX_SOURCES};

use super::pipeline::Pipeline;
use crate::core::BotMac;
use crate::settings::{AttachChoice, BotSettings, RunMode};
use crate::source::live::{
    self, AttachMode, CounterConfig, FALLBACK_ORDER, Live, LiveEnd, LiveEvent, LiveSet,
};

/// Returns the attach modes to try, in order.
///
/// # Errors
///
/// When a setting is out of the range that interfaces support.
pub(super) fn attach_modes(bot: &BotSettings) -> Result<Vec<AttachMode>> {
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
fn counter_config(bot: &BotSettings, run_mode: RunMode) -> CounterConfig {
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

/// Attaches to `interface`, and starts to count what the bot sends there.
pub(super) fn attach(
    set: &mut LiveSet<Pipeline>,
    bot: &BotSettings,
    run_mode: RunMode,
    interface: &str,
    modes: &[AttachMode],
) -> Result<Live> {
    set.attach(interface, modes, &counter_config(bot, run_mode))
        .with_context(|| format!("attaching to {interface}"))
}

/// Counts until the interface is removed or the run is stopped. Returns the pipeline, unless it could not start.
pub(super) fn count(
    mut set: LiveSet<Pipeline>,
    live: Live,
    bot: &BotSettings,
    mut pipeline: Pipeline,
) -> Result<(Pipeline, Result<()>)> {
    log::info!("attached by {live}: {}", live.mode().effect());
    pipeline.set_attached(live.to_string());
    set.add(0, live, bot.policy.step, Duration::ZERO, pipeline)?;
    let why = || format!("counting on {:?}", bot.input.display().to_string());
    loop {
        match set.next_event().with_context(why)? {
            LiveEvent::Ended { sink, why: LiveEnd::Failed(error), .. } => {
                return Ok((sink, Err(error.context(why()))));
            }
            LiveEvent::Ended { sink, .. } => return Ok((sink, Ok(()))),
            LiveEvent::Stopped => set.end_all(),
            LiveEvent::StatusRequested => set.report_status(),
            LiveEvent::Woken => {}
        }
    }
}

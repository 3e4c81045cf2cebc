//! Settings of one bot: its input, what is counted, how it is judged, and where its reports are written.

use std::path::PathBuf;

use gomon_common::Address;
use ipnet::IpNet;

use super::choice::{AttachChoice, Connections};
use super::eve_target::EveTarget;
use crate::core::{BotMac, PacketFilter, Policy, Prefix, Sources};

/// The settings of one bot.
#[derive(Clone, Debug, PartialEq)]
pub struct BotSettings {
    /// A capture, or an interface.
    pub input: PathBuf,
    /// The bot's addresses; [`Sources::Any`] for `--list-sources`.
    pub sources: Sources,
    /// The sender of the bot's frames; `None` for any.
    pub bot_mac: Option<BotMac>,
    /// The requested way to attach to an interface.
    pub attach: AttachChoice,
    /// Ignored destinations.
    pub ignore_dst: Vec<IpNet>,
    /// The bot's controllers, which are ignored destinations, too.
    pub c2_ip: Vec<Address>,
    /// Name of the sensor.
    pub sensor_name: Option<String>,
    /// Name of the sample.
    pub sample_id: Option<String>,
    /// The length of windows, and how they are judged.
    pub policy: Policy,
    /// The minimum number of contacts on a swept port, set even if sweep detection is off.
    pub sweep_hosts: u64,
    /// The most hosts, and the most endpoints, listed in a pane.
    pub max_destinations: usize,
    /// The records.
    pub eve: EveSettings,
    /// The number of packets kept for each host and window; 0 for none.
    pub save_packets: usize,
    /// The directory for artifacts.
    pub capture_dir: PathBuf,
}

/// Which records are written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate flag")]
pub struct EveSettings {
    /// Where records are written.
    pub target: EveTarget,
    /// Whether a file is written under a temporary name until it is complete.
    pub fresh: bool,
    /// Whether records conform to Suricata's JSON schema.
    pub strict: bool,
    /// How ordinary destinations are reported.
    pub connections: Connections,
    /// Whether idle windows are reported.
    pub show_idle: bool,
    /// Whether every window has a stats record.
    pub stats: bool,
}

impl BotSettings {
    /// Returns the filter of the packets to count, without [`BotSettings::bot_mac`].
    #[must_use]
    pub fn packet_filter(&self) -> PacketFilter {
        let controllers = self.c2_ip.iter().copied().map(Prefix::host);
        let ignored = self.ignore_dst.iter().map(|net| {
            let mapped = if net.addr().is_ipv4() { Prefix::IPV4.bits() } else { 0 };
            Prefix::new(net.addr().into(), mapped + u32::from(net.prefix_len()))
        });
        PacketFilter::new(self.sources.clone(), ignored.chain(controllers).collect())
    }

    /// Returns the bot's MAC address as it is written on the command line.
    #[must_use]
    pub fn bot_mac_text(&self) -> Option<String> {
        self.bot_mac.map(|bot_mac| match bot_mac {
            BotMac::Is(mac) => mac.to_string(),
            BotMac::First | BotMac::Unknown => "auto".to_owned(),
        })
    }
}

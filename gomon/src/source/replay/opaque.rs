//! Frames and packets of a capture that can't be parsed completely, reported once at its end.

use std::collections::BTreeMap;

use gomon_common::parse::{MAX_EXTENSIONS, opaque_ethertype};
use gomon_common::{ContactFlag, LinkType, Packet, Skip, parse, protocol};

use crate::frame::Frame;

/// `EtherType`s of protocols that never carry IP: ARP and reverse ARP.
const WITHOUT_IP: [u16; 2] = [0x0806, 0x8035];
/// The most `EtherType`s that are named: those with the most frames.
const NAMED: usize = 3;

/// Counts frames and packets by why they can't be parsed. Memory is bounded by the number of `EtherType`s.
#[derive(Debug, Default)]
pub(super) struct OpaqueLayers {
    /// Frames in which no IP packet is found, by the `EtherType` at which parsing ends, if there is one.
    ethertypes: BTreeMap<Option<u16>, u64>,
    /// The bot's TCP packets whose flags were not captured.
    without_flags: u64,
    /// The bot's packets with more extension headers than are skipped.
    without_ports: u64,
}

/// A frame with everything that was not captured read as zeros.
struct ZeroPadded<'a>(&'a [u8]);

impl gomon_common::Frame for ZeroPadded<'_> {
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        for (byte, captured) in bytes.iter_mut().zip(self.0.get(offset..).unwrap_or_default()) {
            *byte = *captured;
        }
        Some(bytes)
    }
}

impl OpaqueLayers {
    /// Records a frame without an IP packet.
    #[cold]
    pub(super) fn add_skipped(&mut self, link: LinkType, frame: &Frame<'_>, skip: Skip) {
        if skip != Skip::NotIp {
            return;
        }
        let kind = opaque_ethertype(link, frame.data);
        if kind.is_none_or(|kind| !WITHOUT_IP.contains(&kind)) {
            *self.ethertypes.entry(kind).or_default() += 1;
        }
    }

    /// Whether a packet may be incomplete, and [`OpaqueLayers::add_packet`] is to be called if the bot sent it.
    #[inline]
    pub(super) fn may_be_incomplete(packet: &Packet) -> bool {
        let protocol = packet.destination.protocol();
        packet.contact == ContactFlag::NONE
            && (protocol == protocol::TCP || protocol::is_extension(protocol))
    }

    /// Records a packet of the bot that may be incomplete.
    #[cold]
    pub(super) fn add_packet(&mut self, link: LinkType, frame: &Frame<'_>, packet: &Packet) {
        let Ok(padded) = parse(link, &ZeroPadded(frame.data)) else { return };
        let protocol = packet.destination.protocol();
        if protocol == protocol::TCP {
            // A later fragment, or a packet that ends before the flags, has no flags in the padded frame either.
            self.without_flags += u64::from(padded.contact != ContactFlag::NONE);
        } else if !packet.destination.address().is_v4() {
            // If the frame was truncated by the capture, the padded frame is parsed further.
            self.without_ports += u64::from(padded == *packet);
        }
    }

    /// Logs what could not be parsed in a capture of `frames` frames.
    pub(super) fn log(&self, frames: u64) {
        let opaque: u64 = self.ethertypes.values().sum();
        if opaque > frames / 2 {
            log::warn!("{opaque} of {frames} frames {}", self.ethertypes_text());
        }
        if self.without_flags > 0 {
            log::warn!(
                "TCP sweeps can't be judged: the snap length cut off the flags of {} TCP packet(s) of the \
                 bot: capture more of each frame (tcpdump -s 128)",
                self.without_flags
            );
        }
        if self.without_ports > 0 {
            log::warn!(
                "{} packet(s) of the bot have more than {MAX_EXTENSIONS} IPv6 extension headers, which hide \
                 their ports: sweeps and vertical scans in them are not seen",
                self.without_ports
            );
        }
    }

    /// Returns the predicate of the warning: which `EtherType`s the frames carry.
    fn ethertypes_text(&self) -> String {
        let mut types: Vec<_> =
            self.ethertypes.iter().map(|(kind, frames)| (*frames, *kind)).collect();
        types.sort_by_key(|(frames, kind)| (std::cmp::Reverse(*frames), *kind));
        if let [(_, Some(kind))] = types[..] {
            return format!("carry EtherType {}, which is not parsed", name(kind));
        }
        let named = types.iter().take(NAMED).map(|(frames, kind)| match kind {
            Some(kind) => format!("{frames} with EtherType {}", name(*kind)),
            None => format!("{frames} without an EtherType"),
        });
        let mut named: Vec<_> = named.collect();
        if types.len() > NAMED {
            let rest: u64 = types[NAMED..].iter().map(|(frames, _)| frames).sum();
            named.push(format!("{rest} with one of {} others", types.len() - NAMED));
        }
        format!("carry layers that are not parsed: {}", named.join(", "))
    }
}

/// Formats an `EtherType` as its number, with its name if it is a common one.
fn name(kind: u16) -> String {
    let name = match kind {
        0x22f3 => "TRILL",
        0x8137 => "IPX",
        0x809b => "AppleTalk",
        0x8809 => "slow protocols",
        0x8847 | 0x8848 => "MPLS without IP",
        0x8863 => "PPPoE discovery",
        0x8864 => "PPPoE without IP",
        0x888e => "802.1X",
        0x8892 => "PROFINET",
        0x88a4 => "EtherCAT",
        0x88cc => "LLDP",
        0x88e5 => "MACsec, encrypted",
        0x88f7 => "PTP",
        0x8906 => "FCoE",
        0x8915 => "RoCE",
        0x893a => "IEEE 1905.1",
        0x9000 => "loopback test",
        _ => return format!("{kind:#06x}"),
    };
    format!("{kind:#06x} ({name})")
}

//! What a capture holds that stays hidden, told once at its end.

use std::collections::BTreeMap;

use gomon_common::parse::{MAX_EXTENSIONS, hidden_by};
use gomon_common::{ContactFlag, LinkType, Packet, Skip, parse, protocol};

use crate::frame::Frame;

/// Ethernet types that hide nothing: they have no IP to show (ARP and reverse ARP).
const WITHOUT_IP: [u16; 2] = [0x0806, 0x8035];
/// How many types are named at most, those with most frames.
const NAMED: usize = 3;

/// Counts of frames, in no more memory than one a type takes.
#[derive(Debug, Default)]
pub(super) struct OpaqueLayers {
    /// Frames in which there is no IP to be found, by the Ethernet type that hides it if there is one.
    types: BTreeMap<Option<u16>, u64>,
    /// TCP packets of the bot whose flags were not captured.
    without_flags: u64,
    /// Packets of the bot with more extension headers than are stepped over.
    without_ports: u64,
}

/// A frame as it would be read if all that its headers claim had been captured. What is missing is zero.
struct Whole<'a>(&'a [u8]);

impl gomon_common::Frame for Whole<'_> {
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        for (byte, captured) in bytes.iter_mut().zip(self.0.get(offset..).unwrap_or_default()) {
            *byte = *captured;
        }
        Some(bytes)
    }
}

impl OpaqueLayers {
    /// Enters a frame in which there is no packet.
    #[cold]
    pub(super) fn skipped(&mut self, link: LinkType, frame: &Frame<'_>, skip: Skip) {
        if skip != Skip::NotIp {
            return;
        }
        let kind = hidden_by(link, frame.data);
        if kind.is_none_or(|kind| !WITHOUT_IP.contains(&kind)) {
            *self.types.entry(kind).or_default() += 1;
        }
    }

    /// Whether a packet may be one for [`OpaqueLayers::packet`].
    #[inline]
    pub(super) fn concerns(packet: &Packet) -> bool {
        let protocol = packet.destination.protocol();
        packet.contact == ContactFlag::NONE
            && (protocol == protocol::TCP || protocol::is_extension(protocol))
    }

    /// Enters a packet of the bot of which not all that matters was read.
    #[cold]
    pub(super) fn packet(&mut self, link: LinkType, frame: &Frame<'_>, packet: &Packet) {
        let Ok(whole) = parse(link, &Whole(frame.data)) else { return };
        let protocol = packet.destination.protocol();
        if protocol == protocol::TCP {
            // Of a later fragment, or a packet that ends in front of the flags, there would be none.
            self.without_flags += u64::from(whole.contact != ContactFlag::NONE);
        } else if !packet.destination.address().is_v4() {
            // Where it is the capture that ends, the rest would have shown more.
            self.without_ports += u64::from(whole == *packet);
        }
    }

    /// Says what was hidden in a capture of so many frames.
    pub(super) fn tell(&self, frames: u64) {
        let hidden: u64 = self.types.values().sum();
        if hidden > frames / 2 {
            log::warn!("{hidden} of {frames} frames {}", self.what_hides());
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

    fn what_hides(&self) -> String {
        let mut types: Vec<_> = self.types.iter().map(|(kind, frames)| (*frames, *kind)).collect();
        types.sort_by_key(|(frames, kind)| (std::cmp::Reverse(*frames), *kind));
        if let [(_, Some(kind))] = types[..] {
            return format!("carry EtherType {}, which is not looked into", name(kind));
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
        format!("carry what is not looked into: {}", named.join(", "))
    }
}

/// An Ethernet type by its number, and by its name where it is a common one.
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

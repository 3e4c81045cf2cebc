//! Counting one frame, in three tiers.
//!
//! | tier | frames | counted by |
//! | --- | --- | --- |
//! | cached | a [`V4Packet`] whose endpoint is in the cache of recent endpoints | [`Tally::try_count_cached`] |
//! | plain IPv4 | any other [`V4Packet`] | [`Tally::count_v4`] |
//! | general | any other frame | [`parse()`](gomon_common::parse()), then [`Tally::count`] or [`Tally::skip`] |
//!
//! Invariant: each tier adds the same to the tally as the general tier does for the same frame, so that the choice of
//! the tier affects only speed. `tests/replay/fast_path.rs` compares the counts of all three on generated
//! frames and on real captures.
//!
//! A replay first calls [`try_count_fast`], which has only the first two tiers, and is inlined into the loop of the
//! reader. [`count`] has all three, and also passes the packet on to a sink.

use gomon_common::{LinkType, Packet, Skip, V4Packet, parse, parse_plain};

use super::pane_sink::PacketSink;
use crate::core::{Tally, Timestamp};
use crate::frame::{Frame, FrameLink, RemoteHosts};

/// Counts an Ethernet frame seen at `time` in the cached or the plain IPv4 tier. Returns whether it did; if not, the
/// frame must be passed to [`count`]. Only for a tally that does not filter by MAC address.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the innermost loop of a replay")]
pub(super) fn try_count_fast(tally: &mut Tally, frame: &Frame<'_>, time: Timestamp) -> bool {
    if frame.link == FrameLink::Known(LinkType::Ethernet)
        && let Some(packet) = V4Packet::parse(frame.data)
    {
        if !tally.try_count_cached(&packet, frame.length, time) {
            count_plain(tally, frame.data, frame.length, time);
        }
        return true;
    }
    false
}

/// Counts a frame with a [`V4Packet`] in the plain IPv4 tier. It is parsed again: keeping the parsed packet
/// across this call would make the cached tier slower.
#[inline(never)]
fn count_plain(tally: &mut Tally, data: &[u8], length: u32, time: Timestamp) {
    if let Some(packet) = V4Packet::parse(data) {
        tally.count_v4(&packet, length, time);
    }
}

/// Counts a frame that starts with a `link` header in the first tier that supports it, and passes its packet on to
/// `sink` if that needs packets. Returns the parsed packet.
pub(super) fn count(
    tally: &mut Tally,
    link: LinkType,
    frame: &Frame<'_>,
    sink: &mut impl PacketSink,
) -> Result<Packet, Skip> {
    // A packet without a timestamp gets the start of its pane.
    let time = frame.time.unwrap_or_default();
    let is_other_sender = tally.filter().has_mac_rule() && !tally.is_sent_by_bot(link, frame.data);
    let packet = if !is_other_sender
        && link == LinkType::Ethernet
        && let Some(packet) = V4Packet::parse(frame.data)
    {
        if !tally.try_count_cached(&packet, frame.length, time) {
            tally.count_v4(&packet, frame.length, time);
        }
        packet.packet(packet.flags(frame.data))
    } else {
        let packet = parse_frame(link, frame).inspect_err(|skip| tally.skip(*skip))?;
        if is_other_sender {
            tally.count_not_from_bot(&packet, time);
        } else {
            tally.count(&packet, frame.length, time);
        }
        packet
    };
    if sink.needs_packets() {
        pass_on(tally, link, &packet, frame, sink);
    }
    Ok(packet)
}

/// Parses a frame that starts with a `link` header. Tries the shortcut for plain Ethernet frames first.
pub(super) fn parse_frame(link: LinkType, frame: &Frame<'_>) -> Result<Packet, Skip> {
    if link == LinkType::Ethernet {
        return parse_plain(frame.data).map_or_else(|| parse(LinkType::Ethernet, frame.data), Ok);
    }
    parse(link, frame.data)
}

/// Passes a packet on to `sink`, with its remote hosts.
pub(super) fn pass_on(
    tally: &Tally,
    link: LinkType,
    packet: &Packet,
    frame: &Frame<'_>,
    sink: &mut impl PacketSink,
) {
    let hosts = tally.filter().remote_hosts_of_frame(packet, link, frame.data);
    sink.packet(RemoteHosts::new(hosts, |host| tally.is_listed(host)), frame);
}

//! Where packets come from.
//!
//! A source counts, and hands the counts on pane by pane; the frames themselves go along only for
//! artifacts. What it hands them to is a [`PaneSink`].

pub mod listing;
pub mod live;
pub mod quick;
pub mod replay;
mod stop;
mod wall;

use std::ops::ControlFlow;

use gomon_common::{LinkType, Packet, Skip, parse, parse_plain};

pub use stop::Stop;
pub(crate) use wall::now as wall_clock;

use crate::core::{Ledger, Tally, Timestamp, WindowCounts};
use crate::frame::{Frame, RemoteHosts};

/// Takes what a source counts, in the order of time.
///
/// A method that answers [`ControlFlow::Break`] ends the source early, in order.
pub trait PaneSink {
    /// The next pane is complete.
    fn pane(&mut self, counts: WindowCounts) -> ControlFlow<()>;

    /// So many panes, the first from `start`, went by without a frame.
    fn silence(&mut self, start: Timestamp, panes: u64) -> ControlFlow<()>;

    /// The clock that tells panes was set by so many nanoseconds between the last pane, up to
    /// [`WindowCounts::observed_until`], and the next.
    fn clock_set(&mut self, _by: i64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// The frames of the only pane, which comes next, have no times or all the same one.
    fn stands_still(&mut self) {}

    /// Whether [`PaneSink::packet`] is to be called at all.
    fn wants_packets(&self) -> bool;

    /// A packet between the bot and `hosts`, either way, in the open pane.
    fn packet(&mut self, hosts: RemoteHosts, frame: &Frame<'_>);

    /// The next pane starts at this byte of the capture, and the open one ends before it. For receivers
    /// that can read it again, and only of captures that can be.
    fn starts_at(&mut self, _position: u64) {}

    /// So many packets of the open pane, or of the one before, that [`PaneSink::packet`] should have got
    /// were lost on the way.
    fn packets_lost(&mut self, packets: u64);

    /// A status report was requested. `open` is the ledger of the open pane, as far as it is.
    fn status(&mut self, _open: &Ledger) {}

    /// How far the source is: frames read, and bytes of the input. Of a capture that can be read again,
    /// a record starts there.
    fn progress(&mut self, frames: u64, bytes: u64);
}

/// Counts a frame that starts with a `link` header, and hands it on where it is wanted. What was found in
/// it comes back.
fn count(
    tally: &mut Tally,
    link: LinkType,
    frame: &Frame<'_>,
    receiver: &mut impl PaneSink,
) -> Result<Packet, Skip> {
    // A packet without a timestamp belongs to the start of its pane.
    let time = frame.time.unwrap_or_default();
    let is_foreign = tally.selection().has_mac_rule() && !tally.is_sent_by_bot(link, frame.data);
    let packet = if is_foreign {
        match read(link, frame) {
            Ok(packet) => {
                tally.count_not_from_bot(&packet, time);
                packet
            }
            Err(skip) => {
                tally.skip(skip);
                return Err(skip);
            }
        }
    } else if link == LinkType::Ethernet
        && let Some(packet) = quick::parse(frame.data)
    {
        if !tally.try_count_cached(&packet, frame.length, time) {
            tally.count_v4(&packet, frame.length, time);
        }
        packet.packet(quick::flags(frame.data, &packet))
    } else {
        match read(link, frame) {
            Ok(packet) => {
                tally.count(&packet, frame.length, time);
                packet
            }
            Err(skip) => {
                tally.skip(skip);
                return Err(skip);
            }
        }
    };
    if receiver.wants_packets() {
        hand_on(tally, link, &packet, frame, receiver);
    }
    Ok(packet)
}

/// The packet in a frame that starts with a `link` header.
fn read(link: LinkType, frame: &Frame<'_>) -> Result<Packet, Skip> {
    if link == LinkType::Ethernet {
        return parse_plain(frame.data).map_or_else(|| parse(LinkType::Ethernet, frame.data), Ok);
    }
    parse(link, frame.data)
}

/// Hands a packet on to where it may become a part of an artifact.
fn hand_on(
    tally: &Tally,
    link: LinkType,
    packet: &Packet,
    frame: &Frame<'_>,
    receiver: &mut impl PaneSink,
) {
    let hosts = tally.selection().remote_hosts_of_frame(packet, link, frame.data);
    receiver.packet(hosts.map(|host| host.map(|host| (host, tally.knows(host)))), frame);
}

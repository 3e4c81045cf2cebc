//! The general parser: every link type, encapsulation and extension header.

use super::layer::{self, Layer};
use super::skip::Skip;
use super::{host, ip, ppp, walk, wifi};
use crate::{Frame, LinkType, Packet};

/// Finds the outermost IP packet of a frame of link type `link`.
///
/// # Errors
///
/// Returns the reason when the frame has no packet that can be counted.
#[inline]
pub fn parse<F: Frame + ?Sized>(link: LinkType, frame: &F) -> Result<Packet, Skip> {
    let mut layer = after_link(link, frame)?;
    walk::walk(frame, &mut layer)?;
    let carried = if layer.kind == layer::IPV4 {
        ip::ipv4(frame, layer.offset)?
    } else {
        ip::ipv6(frame, layer.offset)?
    };
    Ok(carried.packet(frame))
}

/// Returns the `EtherType` of the layer at which parsing of a frame without IP ends: one that is not parsed,
/// or that has no IP in it. Returns `None` for a frame with IP, and for one that has no `EtherType` there.
#[must_use]
pub fn opaque_ethertype<F: Frame + ?Sized>(link: LinkType, frame: &F) -> Option<u16> {
    let mut layer = after_link(link, frame).ok()?;
    match walk::walk(frame, &mut layer) {
        Err(Skip::NotIp) => Some(layer.kind).filter(|kind| *kind > layer::LAST_LENGTH),
        _ => None,
    }
}

/// Returns the layer that the link header of a frame announces.
#[inline]
fn after_link<F: Frame + ?Sized>(link: LinkType, frame: &F) -> Result<Layer, Skip> {
    // The offsets of the header length, and of the link type of the frame after it.
    const PKTAP: [usize; 2] = [0, 8];
    const PPI: [usize; 2] = [2, 4];
    let (length, number) = if link == LinkType::Pktap {
        host::wrapped(frame, PKTAP)?
    } else if link == LinkType::Ppi {
        host::wrapped(frame, PPI)?
    } else {
        return after_header(link, frame, 0);
    };
    match LinkType::from_number(number) {
        Some(link) if length > 0 => after_header(link, frame, length),
        _ => Err(Skip::NotIp),
    }
}

/// Returns the layer that the link header at `offset` announces, unless it is one that wraps a frame of
/// another link type.
#[inline]
fn after_header<F: Frame + ?Sized>(
    link: LinkType,
    frame: &F,
    offset: usize,
) -> Result<Layer, Skip> {
    match link {
        LinkType::Ethernet => layer::ethernet(frame, offset),
        LinkType::LinuxSll => host::cooked(frame, offset + 14, offset + 16),
        LinkType::LinuxSll2 => host::cooked(frame, offset, offset + 20),
        LinkType::Null | LinkType::Loop => host::loopback(frame, offset),
        LinkType::Raw => layer::by_version(frame, offset),
        LinkType::Ipv4 => Ok(Layer { kind: layer::IPV4, offset }),
        LinkType::Ipv6 => Ok(Layer { kind: layer::IPV6, offset }),
        LinkType::Ppp => ppp::ppp(frame, offset),
        LinkType::PppSerial => ppp::serial(frame, offset),
        LinkType::Pppoe => Ok(Layer { kind: walk::PPPOE_SESSION, offset }),
        LinkType::CiscoHdlc => ppp::cisco_hdlc(frame, offset),
        LinkType::FrameRelay => ppp::frame_relay(frame, offset),
        LinkType::Nflog => host::nflog(frame, offset),
        LinkType::Ieee80211 => wifi::ieee80211(frame, offset, false),
        LinkType::Radiotap => wifi::radiotap(frame, offset),
        LinkType::Pktap | LinkType::Ppi => Err(Skip::NotIp),
    }
}

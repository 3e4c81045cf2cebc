//! Header parsing: from a frame to the packet that is counted, or the reason it is skipped.
//!
//! There is one general parser and two shortcuts for the most common frames:
//!
//! | parser | frames | input | user |
//! | --- | --- | --- | --- |
//! | [`parse()`] | every link type, layer and header in the table below | any [`Frame`](crate::Frame) | kernel program and user space |
//! | [`parse_plain`] | Ethernet, then IPv4 without options or IPv6, at fixed offsets | any [`Frame`](crate::Frame) | kernel program and user space |
//! | [`V4Packet::parse`] | Ethernet, IPv4 without options, TCP or UDP, without data-dependent branches | a byte slice | user space |
//!
//! A shortcut returns the packet that [`parse()`] returns for the same frame, or `None` if the frame must be
//! parsed by [`parse()`]. `tests/parser.rs` checks this on generated, corrupted and real
//! frames.
//!
//! All of them use the *outermost* IP header only: a packet of a tunnel (GRE, IP in IP, VXLAN) is a packet
//! to the tunnel's far end. Every loop has a constant bound, so that the kernel's verifier accepts it.
//!
//! | layer | what is parsed |
//! | --- | --- |
//! | link | see [`LinkType`](crate::LinkType) |
//! | after an `EtherType` | up to [`MAX_TAGS`] consecutive VLAN tags (802.1Q, 802.1ad, 0x9100), and up to [`MAX_LAYERS`] of the following encapsulations |
//! | encapsulations | LLC and SNAP, `PPPoE` sessions, MPLS, integrity-only `MACsec`, 802.1ah, HSR, VN-tag, Cisco `FabricPath` and metadata, Arista timestamps, NSH; a PRP trailer follows the packet and is ignored |
//! | IPv4 | options, fragments; an authentication header is skipped |
//! | IPv6 | up to [`MAX_EXTENSIONS`] hop-by-hop, routing, destination options, fragment and authentication headers are skipped |
//! | transport | the ports of TCP, UDP and SCTP; the flags of TCP, the type of the first chunk of SCTP |

mod general;
mod host;
mod ip;
mod layer;
mod plain;
mod ppp;
mod skip;
mod transport;
mod v4;
mod walk;
mod wifi;

pub use general::{opaque_ethertype, parse};
pub use ip::MAX_EXTENSIONS;
pub use plain::parse_plain;
pub use skip::{Malformed, Skip};
pub use v4::V4Packet;
pub use walk::{MAX_LABELS, MAX_LAYERS, MAX_TAGS};

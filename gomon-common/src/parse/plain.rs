//! A shortcut for the most common frames, with every header at a fixed offset.

use super::transport::{SCTP_CHUNK, TCP_FLAGS, needed, of_segment};
use crate::endpoint::protocol;
use crate::{Address, ContactFlag, Endpoint, Flags, Frame, Packet};

/// Parses an Ethernet frame with an IPv4 header without options or an IPv6 header, and a protocol with
/// ports, which no extension header precedes. All offsets are fixed: neither the CPU nor the kernel's verifier has a
/// chain of headers to follow.
///
/// Returns the packet that [`parse()`](super::parse()) returns, or `None` if the frame must be parsed by
/// [`parse()`](super::parse()).
#[inline(always)]
#[expect(clippy::inline_always, reason = "as a function it would return a pointer into its stack")]
pub fn parse_plain<F: Frame + ?Sized>(frame: &F) -> Option<Packet> {
    match frame.read(12)? {
        [0x08, 0x00, 0x45, _] => {
            let [total_high, total_low, _, _, fragment_high, fragment_low, _, protocol] =
                frame.read(16)?;
            let total = u16::from_be_bytes([total_high, total_low]);
            let later = u16::from_be_bytes([fragment_high, fragment_low]) & 0x1fff != 0;
            let (source, destination) = (frame.read(26)?, frame.read(30)?);
            if total < 20 + needed(protocol) || later || !protocol::has_ports(protocol) {
                return None;
            }
            let destination = Address::v4(destination);
            with_transport(frame, 34, protocol, Address::v4(source), destination)
        }
        [0x86, 0xdd, version, _] if version >> 4 == 6 => {
            let [length_high, length_low, next] = frame.read(18)?;
            let length = u16::from_be_bytes([length_high, length_low]);
            if length < needed(next) || !protocol::has_ports(next) {
                return None;
            }
            let source = Address::v6_halves(frame.read(22)?, frame.read(30)?);
            let destination = Address::v6_halves(frame.read(38)?, frame.read(46)?);
            with_transport(frame, 54, next, source, destination)
        }
        _ => None,
    }
}

/// Parses the transport header at `offset`. All its [`needed`] bytes must be in the packet.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a part of `parse_plain`")]
fn with_transport<F: Frame + ?Sized>(
    frame: &F,
    offset: usize,
    protocol: u8,
    source: Address,
    destination: Address,
) -> Option<Packet> {
    let [source_high, source_low, high, low] = frame.read(offset)?;
    let (contact, flags) = match protocol {
        protocol::TCP => of_segment(frame.read(offset + TCP_FLAGS as usize)?),
        protocol::UDP => (ContactFlag::ATTEMPT, Flags::NONE),
        protocol::SCTP if Flags::AVAILABLE => {
            let [chunk] = frame.read(offset + SCTP_CHUNK as usize)?;
            (ContactFlag::NONE, Flags::of(chunk))
        }
        _ => (ContactFlag::NONE, Flags::NONE),
    };
    Some(Packet {
        source,
        destination: Endpoint::new(destination, protocol, u16::from_be_bytes([high, low])),
        source_port: u16::from_be_bytes([source_high, source_low]),
        contact,
        flags,
    })
}

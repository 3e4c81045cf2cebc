//! Netlink messages about interfaces, as far as they are needed (rtnetlink(7)).
//!
//! Only the name is read from the attributes of a link: a message with an attribute that is not known, or not in the
//! expected form, must not hide its interface.

use anyhow::{Context, Result, ensure};
use netlink_packet_core::{
    Emitable, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN,
    NetlinkBuffer, NetlinkHeader, NlasIterator,
};

use super::links::LinkInfo;

/// Message types and an attribute of `linux/rtnetlink.h` and `linux/if_link.h`.
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const IFLA_IFNAME: u16 = 3;
/// `IFF_UP` of netdevice(7).
const UP: u32 = 1;

/// The lengths of `struct nlmsghdr` and of `struct ifinfomsg`.
const MESSAGE_HEADER: usize = 16;
const LINK_HEADER: usize = 16;

/// A message, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LinkMessage {
    /// An interface exists.
    Exists(LinkInfo),
    /// An interface was removed, or moved to another namespace.
    Removed(u32),
    /// A listing is complete. It is not consistent if an interface changed meanwhile.
    Listed { is_consistent: bool },
    /// The kernel can't list the interfaces, with the number of the error.
    Refused(i32),
    /// Notifications were lost.
    Lost,
}

/// Returns the request to list all interfaces.
pub(super) fn list_request() -> Vec<u8> {
    const LENGTH: u32 = 32;
    let mut header = NetlinkHeader::default();
    header.message_type = RTM_GETLINK;
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.length = LENGTH;
    let mut request = vec![0; MESSAGE_HEADER + LINK_HEADER];
    header.emit(&mut request);
    request
}

/// Parses the messages of a datagram. Those about anything else are skipped.
///
/// # Errors
///
/// When a message is cut off.
pub(super) fn parse(mut datagram: &[u8]) -> Result<Vec<LinkMessage>> {
    let mut messages = Vec::new();
    while !datagram.is_empty() {
        let message = NetlinkBuffer::new_checked(datagram)?;
        let length = message.length() as usize;
        ensure!(length >= MESSAGE_HEADER, "a message of {length} bytes");
        let is_consistent = message.flags() & NLM_F_DUMP_INTR == 0;
        messages.extend(match message.message_type() {
            RTM_NEWLINK => exists(message.payload())?,
            RTM_DELLINK => link(message.payload())?.map(|(index, _)| LinkMessage::Removed(index)),
            NLMSG_DONE => Some(LinkMessage::Listed { is_consistent }),
            NLMSG_ERROR => Some(LinkMessage::Refused(error_number(message.payload()))),
            NLMSG_OVERRUN => Some(LinkMessage::Lost),
            _ => None,
        });
        // The next message starts at a multiple of four bytes.
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(messages)
}

/// Returns the index and the flags of a link (`struct ifinfomsg`). A bridge also announces its ports, and that a port
/// leaves it: those messages have its address family, and say nothing about the existence of the interface.
fn link(payload: &[u8]) -> Result<Option<(u32, u32)>> {
    let header: &[u8; LINK_HEADER] = payload.first_chunk().context("a link is cut off")?;
    let [family, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = *header;
    let link = [[i0, i1, i2, i3], [f0, f1, f2, f3]].map(u32::from_ne_bytes);
    Ok((family == 0).then_some((link[0], link[1])))
}

fn exists(payload: &[u8]) -> Result<Option<LinkMessage>> {
    let Some((index, flags)) = link(payload)? else { return Ok(None) };
    for attribute in NlasIterator::new(&payload[LINK_HEADER..]) {
        let attribute = attribute?;
        if attribute.kind() == IFLA_IFNAME {
            let name = attribute.value().split(|byte| *byte == 0).next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            return Ok(Some(LinkMessage::Exists(LinkInfo { index, name, is_up: flags & UP != 0 })));
        }
    }
    Ok(None)
}

/// Returns the number of an error, which the message has as a negative one.
fn error_number(payload: &[u8]) -> i32 {
    payload.first_chunk().map_or(0, |number| i32::from_ne_bytes(*number).saturating_neg())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, flags: u16, family: u8, name: Option<&str>) -> Vec<u8> {
        let mut body = vec![family, 0, 0, 0];
        body.extend(7u32.to_ne_bytes());
        body.extend(UP.to_ne_bytes());
        body.extend([0; 4]);
        // An unknown attribute of three bytes, with padding.
        body.extend([7, 0, 0xff, 0x3f, 1, 2, 3, 0]);
        if let Some(name) = name {
            body.extend((u16::try_from(name.len()).unwrap() + 5).to_ne_bytes());
            body.extend(IFLA_IFNAME.to_ne_bytes());
            body.extend(name.bytes().chain([0]));
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = vec![0; MESSAGE_HEADER];
        let mut header = NetlinkHeader::default();
        (header.message_type, header.flags) = (kind, flags);
        header.length = u32::try_from(MESSAGE_HEADER + body.len()).unwrap();
        header.emit(&mut message);
        message.extend(body);
        message
    }

    #[test]
    fn links_are_read_and_the_ports_of_bridges_are_not() {
        let datagram = [
            message(RTM_NEWLINK, 0, 0, Some("vnet0")),
            message(RTM_NEWLINK, 0, 7, Some("vnet1")),
            message(RTM_DELLINK, 0, 7, Some("vnet0")),
            message(RTM_DELLINK, 0, 0, None),
            message(99, 0, 0, None),
            message(NLMSG_DONE, NLM_F_DUMP_INTR, 0, None),
        ];
        let vnet0 = LinkInfo { index: 7, name: "vnet0".into(), is_up: true };
        let expected = [
            LinkMessage::Exists(vnet0),
            LinkMessage::Removed(7),
            LinkMessage::Listed { is_consistent: false },
        ];
        assert_eq!(parse(&datagram.concat()).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn any_datagram_is_parsed_or_rejected(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_damaged_datagram_is_parsed_or_rejected(at in 0..60usize, byte: u8, end in 0..60usize) {
            let mut datagram = message(RTM_NEWLINK, 0, 0, Some("vnet0"));
            let length = datagram.len();
            datagram[at % length] = byte;
            let _ = parse(&datagram[..end % length]);
            let _ = parse(&datagram);
        }
    }
}

//! Detects that interfaces were removed, by the notifications of rtnetlink(7).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netdevice, netlink, recv, socket_with,
};

/// `RTMGRP_LINK` of rtnetlink(7): notifications of added, changed, and removed interfaces.
const RTMGRP_LINK: u32 = 1;
/// The type of a message about a removed interface.
const RTM_DELLINK: u16 = 17;
/// The length of `struct nlmsghdr`, see netlink(7).
const HEADER: usize = 16;
/// The length of the part of `struct ifinfomsg` up to the index of the interface, see rtnetlink(7).
const INTERFACE_INFO: usize = 8;
/// Messages start at a multiple of this many bytes.
const ALIGNMENT: usize = 4;

/// Receives notifications of interface changes.
#[derive(Debug)]
pub(super) struct LinkMonitor {
    socket: OwnedFd,
}

/// The interfaces that were removed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RemovedLinks {
    /// The interfaces with these indices.
    Indices(Vec<u32>),
    /// Notifications were lost: any of them may have been removed.
    Unknown,
}

impl LinkMonitor {
    /// Starts to monitor the interfaces of this network namespace.
    pub(super) fn start() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &netlink::SocketAddrNetlink::new(0, RTMGRP_LINK))?;
        Ok(Self { socket })
    }

    /// Returns the descriptor that is readable when there are notifications.
    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads the notifications so far.
    pub(super) fn removed(&self) -> RemovedLinks {
        let mut indices = Vec::new();
        let mut are_lost = false;
        let mut buffer = [0u8; 16 << 10];
        loop {
            match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((received, _)) => indices.extend(removed_links(&buffer[..received])),
                // The buffer of the socket was full.
                Err(Errno::NOBUFS) => are_lost = true,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        if are_lost { RemovedLinks::Unknown } else { RemovedLinks::Indices(indices) }
    }

    /// Returns whether an interface has this index.
    pub(super) fn exists(&self, index: u32) -> bool {
        netdevice::index_to_name(&self.socket, index) != Err(Errno::NODEV)
    }
}

/// Returns the indices of the interfaces that netlink messages report as removed.
fn removed_links(mut messages: &[u8]) -> Vec<u32> {
    let mut indices = Vec::new();
    while let Some((header, rest)) = messages.split_at_checked(HEADER) {
        let (length, kind) = (number(&header[..4]), u16::from_ne_bytes([header[4], header[5]]));
        if kind == RTM_DELLINK
            && let Some(info) = rest.get(..INTERFACE_INFO)
            // `AF_UNSPEC`. A bridge reports an interface that is no longer its port as removed, too, with `AF_BRIDGE`.
            && info[0] == 0
        {
            indices.push(number(&info[4..]));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX).max(HEADER);
        messages = messages.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
    }
    indices
}

fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, family: u8, index: u32, attributes: usize) -> Vec<u8> {
        let length = u32::try_from(HEADER + 16 + attributes).unwrap();
        let mut message = Vec::new();
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend([family, 0, 1, 0]);
        message.extend(index.to_ne_bytes());
        message.resize(message.len() + 8 + attributes.next_multiple_of(ALIGNMENT), 0xff);
        message
    }

    proptest! {
        #[test]
        fn exactly_the_removed_interfaces_are_found(
            links in prop::collection::vec((16u16..19, prop::sample::select(vec![0u8, 7]), any::<u32>(), 0usize..99), 0..9),
        ) {
            let mut bytes = Vec::new();
            for &(kind, family, index, attributes) in &links {
                bytes.extend(message(kind, family, index, attributes));
            }
            let expected = links.iter().filter(|(kind, family, ..)| (*kind, *family) == (RTM_DELLINK, 0));
            let expected: Vec<_> = expected.map(|(_, _, index, _)| *index).collect();
            prop_assert_eq!(removed_links(&bytes), expected);
        }

        #[test]
        fn any_bytes_are_parsed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(removed_links(&bytes).len() <= bytes.len() / HEADER);
        }
    }
}

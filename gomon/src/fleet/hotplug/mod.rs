//! Watches the interfaces of the network namespace: one netlink socket, and no polling.
//!
//! The kernel announces every change. When it could not, because the socket's buffer was full, and at the start, all
//! interfaces are listed on the same socket. Its messages arrive in the order of what they describe.

mod links;
mod message;

use std::io;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recvfrom, send,
    socket_with, sockopt,
};
use tokio::io::unix::AsyncFd;

pub use self::links::LinkChange;

use self::links::LinkTable;
use self::message::{LinkMessage, list_request, parse};

/// The multicast group of interface changes (`linux/rtnetlink.h`).
const RTMGRP_LINK: u32 = 1;
/// The size of the socket's buffer in bytes, which has room for the notifications of a few hundred interfaces.
const BUFFER: usize = 1 << 20;
/// The size of the largest datagram: the kernel's are at most 32 KiB.
const DATAGRAM: usize = 1 << 16;

/// The interfaces, and a socket that announces changes.
#[derive(Debug)]
pub struct Hotplug {
    socket: AsyncFd<OwnedFd>,
    table: LinkTable,
    listing: ListingState,
    datagram: Vec<u8>,
}

/// Whether the interfaces are being listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListingState {
    /// They have been listed.
    Done,
    /// They must be listed.
    Due,
    /// The kernel lists them.
    Running,
    /// The kernel lists them, and notifications were lost meanwhile.
    RunningAndDue,
}

impl Hotplug {
    /// Opens the socket. The first changes are the interfaces that exist. Must be called in a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the kernel has no netlink sockets, or the process is out of file descriptors.
    pub fn new() -> Result<Self> {
        Self::with_buffer(BUFFER)
    }

    /// As [`Hotplug::new`], with a buffer of another size in bytes.
    ///
    /// # Errors
    ///
    /// As for [`Hotplug::new`].
    pub fn with_buffer(size: usize) -> Result<Self> {
        let open = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            // Without CAP_NET_ADMIN the size is limited by net.core.rmem_max.
            if sockopt::set_socket_recv_buffer_size_force(&socket, size).is_err() {
                sockopt::set_socket_recv_buffer_size(&socket, size)?;
            }
            bind(&socket, &netlink::SocketAddrNetlink::new(0, RTMGRP_LINK))?;
            Ok::<_, Errno>(socket)
        };
        let socket = open().context("watching the interfaces")?;
        #[expect(
            deprecated,
            reason = "unsound only for types that may close the descriptor; an OwnedFd owns it"
        )]
        let socket = AsyncFd::new(socket).context("watching the interfaces")?;
        Ok(Self {
            socket,
            table: LinkTable::default(),
            listing: ListingState::Due,
            datagram: vec![0; DATAGRAM],
        })
    }

    /// Waits for changes. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// When the socket fails, or the kernel can't list the interfaces.
    pub async fn changes(&mut self) -> Result<Vec<LinkChange>> {
        let mut changes = Vec::new();
        loop {
            if self.listing == ListingState::Due {
                send(&self.socket, &list_request(), SendFlags::empty())
                    .context("listing the interfaces")?;
                self.table.begin_list();
                self.listing = ListingState::Running;
            }
            let mut ready = self.socket.readable().await.context("watching the interfaces")?;
            // Changes are returned before the next wait, which may not end.
            loop {
                let received = recvfrom(&self.socket, &mut self.datagram[..], RecvFlags::empty());
                let (length, sender) = match received {
                    Ok((length, _, sender)) => (length, sender),
                    Err(Errno::AGAIN) => {
                        ready.clear_ready();
                        break;
                    }
                    Err(Errno::INTR) => continue,
                    Err(Errno::NOBUFS) => {
                        log::debug!("notifications about interfaces were lost: listing them");
                        self.listing = self.listing.requested();
                        continue;
                    }
                    Err(error) => return Err(error).context("watching the interfaces"),
                };
                let sender = sender.and_then(|address| address.try_into().ok());
                let is_kernel =
                    sender.is_some_and(|from: netlink::SocketAddrNetlink| from.pid() == 0);
                if !is_kernel {
                    continue;
                }
                match parse(&self.datagram[..length]) {
                    Ok(messages) => {
                        for message in messages {
                            handle(message, &mut self.table, &mut self.listing, &mut changes)?;
                        }
                    }
                    Err(error) => log::warn!("skipping a message about interfaces: {error:#}"),
                }
            }
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }
}

impl ListingState {
    /// The state after a listing was requested. The kernel performs one at a time for a socket.
    fn requested(self) -> Self {
        match self {
            Self::Done | Self::Due => Self::Due,
            Self::Running | Self::RunningAndDue => Self::RunningAndDue,
        }
    }
}

fn handle(
    message: LinkMessage,
    table: &mut LinkTable,
    listing: &mut ListingState,
    changes: &mut Vec<LinkChange>,
) -> Result<()> {
    match message {
        LinkMessage::Exists(link) => table.seen(link, changes),
        LinkMessage::Removed(index) => table.gone(index, changes),
        LinkMessage::Lost => *listing = listing.requested(),
        LinkMessage::Listed { is_consistent }
            if is_consistent && *listing == ListingState::Running =>
        {
            table.end_list(changes);
            *listing = ListingState::Done;
        }
        // The listing may lack interfaces that exist.
        LinkMessage::Listed { .. } => *listing = ListingState::Due,
        LinkMessage::Refused(0) => {}
        LinkMessage::Refused(number) => {
            return Err(io::Error::from_raw_os_error(number)).context("listing the interfaces");
        }
    }
    Ok(())
}

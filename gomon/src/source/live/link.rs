//! Waiting for the end of a pane and for what is to be read before, and noticing when the interface
//! goes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with,
};

use super::interface;
use crate::source::Stop;

/// The kernel's announcements of interfaces that come, change and go (`RTMGRP_LINK`).
const LINK_GROUP: u32 = 1;

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WakeReason {
    /// The pane is over.
    Due,
    /// There is something to read.
    Readable,
    /// The stop was requested.
    Stopped,
    /// The interface is gone.
    Gone,
    /// A status report was requested.
    Status,
}

/// Hears of changes to interfaces.
#[derive(Debug)]
pub(super) struct Links {
    socket: OwnedFd,
    /// The number of the interface, as the kernel writes it.
    number: String,
}

impl Links {
    /// Listens for changes to the interface called `name`.
    pub(super) fn watch(name: &str) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &netlink::SocketAddrNetlink::new(0, LINK_GROUP))?;
        let number = interface::number(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { socket, number })
    }

    /// Waits until `due`, or for something that happens before. What ends the pane goes before what is
    /// to be read from `inputs`, so that no rate of packets can hold it up. That there is something to
    /// read is said too often rather than too rarely.
    pub(super) fn wait(
        &self,
        inputs: Vec<BorrowedFd<'_>>,
        due: Instant,
        stop: &Stop,
    ) -> io::Result<WakeReason> {
        let mut fds = vec![self.socket.as_fd()];
        fds.extend(inputs);
        loop {
            let ready = stop.wait_until_or_status(&fds, due)?;
            if stop.is_requested() {
                return Ok(WakeReason::Stopped);
            }
            if stop.take_status_request() {
                return Ok(WakeReason::Status);
            }
            if ready == Some(0) {
                self.forget_announcements();
                if self.is_gone() {
                    return Ok(WakeReason::Gone);
                }
            }
            if Instant::now() >= due {
                return Ok(WakeReason::Due);
            }
            // Perf buffers say once that they can be read, which they may have done beside the socket.
            if ready.is_some() && fds.len() > 1 {
                return Ok(WakeReason::Readable);
            }
        }
    }

    /// What is announced does not matter; that something is, is the reason to look.
    fn forget_announcements(&self) {
        let mut buffer = [0u8; 4096];
        while recv(&self.socket, &mut buffer[..], RecvFlags::empty()).is_ok() {}
    }

    /// Whether no interface has the number any more. It may have another name by now.
    fn is_gone(&self) -> bool {
        !interface::names()
            .iter()
            .any(|name| interface::number(name).as_ref() == Some(&self.number))
    }
}

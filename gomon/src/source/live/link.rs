//! Waits for the end of a pane or for data to read, and detects that the interface was removed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with,
};

use super::interface;
use crate::source::Stop;

/// `RTMGRP_LINK` of rtnetlink(7): notifications of added, changed, and removed interfaces.
const RTMGRP_LINK: u32 = 1;

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WakeReason {
    /// The pane has ended, or the poll interval has passed.
    Due,
    /// There may be data to read.
    Readable,
    /// A stop was requested.
    Stopped,
    /// The interface was removed.
    InterfaceRemoved,
    /// A status report was requested.
    StatusRequested,
}

/// Receives notifications of interface changes.
#[derive(Debug)]
pub(super) struct LinkMonitor {
    socket: OwnedFd,
    /// The index of the interface.
    index: String,
}

impl LinkMonitor {
    /// Starts to monitor the interface called `name`.
    pub(super) fn start(name: &str) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &netlink::SocketAddrNetlink::new(0, RTMGRP_LINK))?;
        let index = interface::index(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { socket, index })
    }

    /// Waits until `due` or an earlier event. Events that end the pane take precedence over readable
    /// `inputs`, so that no packet rate can delay them. May return [`WakeReason::Readable`] although
    /// there is nothing to read.
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
                return Ok(WakeReason::StatusRequested);
            }
            if ready == Some(0) {
                self.discard_notifications();
                if self.is_removed() {
                    return Ok(WakeReason::InterfaceRemoved);
                }
            }
            if Instant::now() >= due {
                return Ok(WakeReason::Due);
            }
            // Perf buffers signal readiness only once, which may have been at the same time as the socket.
            if ready.is_some() && fds.len() > 1 {
                return Ok(WakeReason::Readable);
            }
        }
    }

    /// Discards all notifications. They only trigger a check of the interface.
    fn discard_notifications(&self) {
        let mut buffer = [0u8; 4096];
        while recv(&self.socket, &mut buffer[..], RecvFlags::empty()).is_ok() {}
    }

    /// Returns whether no interface has the index any more. The interface may have been renamed.
    fn is_removed(&self) -> bool {
        !interface::names().iter().any(|name| interface::index(name).as_ref() == Some(&self.index))
    }
}

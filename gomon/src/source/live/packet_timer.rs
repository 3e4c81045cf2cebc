//! When to read the packets that the eBPF programs sent.

use std::io;
use std::os::fd::AsFd;

use super::object::SharedObject;
use super::poller::Poller;
use crate::core::nanoseconds;

/// The time at which to read the packets even if no buffer is readable, in nanoseconds after the start of a clock.
#[derive(Default)]
pub(super) struct PacketTimer(Option<u64>);

impl PacketTimer {
    /// Returns the time, while the buffers are polled.
    pub(super) fn due(&self) -> Option<u64> {
        self.0
    }

    /// Sets the time after a reading at `now`, or has the poller report the buffers with this token.
    pub(super) fn arm(
        &mut self,
        object: &SharedObject,
        poller: &Poller,
        token: u64,
        now: u64,
    ) -> io::Result<()> {
        let interval = object.poll_interval().map(nanoseconds);
        self.0 = interval.map(|interval| now.saturating_add(interval.unsigned_abs()));
        match object.descriptors() {
            Some(buffers) if interval.is_none() => {
                buffers.iter().try_for_each(|buffer| poller.arm(buffer.as_fd(), token))
            }
            _ => Ok(()),
        }
    }
}

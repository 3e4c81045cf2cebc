//! Sending [`Traffic`] from inside the kernel.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::traffic::{LONGEST, SHORTEST, Traffic};
use crate::{bpf, namespace, programs};

/// The number of frames that the kernel generates per system call.
const FRAMES_PER_CALL: u64 = 1 << 20;

/// The result of sending.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The number of frames sent.
    pub frames: u64,
    /// The time it took.
    pub elapsed: Duration,
}

impl Traffic {
    /// Sends `count` frames out of an interface as fast as the kernel can. The receiving end processes them on the
    /// CPU of this thread.
    ///
    /// # Errors
    ///
    /// When a setting is out of range, when capabilities are missing, and on kernels before 5.18.
    pub fn send(&self, namespace: &str, interface: &str, count: u64) -> Result<Sent> {
        let attempt = || format!("send from {interface} inside the kernel");
        self.check().with_context(attempt)?;
        let send = || self.send_here(interface, count);
        namespace::within(namespace, send).with_context(attempt)
    }

    fn check(&self) -> Result<()> {
        ensure!(self.hosts.is_power_of_two(), "{} hosts: not a power of two", self.hosts);
        let lengths = SHORTEST..=LONGEST;
        ensure!(lengths.contains(&self.length), "{} bytes: not in {lengths:?}", self.length);
        Ok(())
    }

    fn send_here(&self, interface: &str, count: u64) -> Result<Sent> {
        let program = programs::sender(self, namespace::index(interface)?)?;
        let frame = self.frame();
        let start = Instant::now();
        let mut left = count;
        while left > 0 {
            let frames = left.min(FRAMES_PER_CALL);
            bpf::test_run(program.as_fd(), &frame, u32::try_from(frames)?)
                .context("run an XDP program on live frames (Linux 5.18)")?;
            left -= frames;
        }
        Ok(Sent { frames: count, elapsed: start.elapsed() })
    }
}

//! A packet generator inside the kernel, for rates that no sender in user space reaches.
//!
//! An XDP program runs on frames that the kernel generates (`BPF_PROG_TEST_RUN` with live frames, Linux 5.18). It
//! writes a destination into each frame and sends it out of one end of a veth pair. The kernel delivers such frames
//! to the other end only if that has an XDP program in its driver, or generic receive offload. [`Attached`] has
//! programs for receivers without one.

mod assembly;
mod attached;
mod bpf;
mod namespace;
mod programs;
mod send;
mod statistics;
mod tap;
mod traffic;

pub use attached::Attached;
pub use namespace::within;
pub use send::Sent;
pub use statistics::{Statistics, Timing, of_process};
pub use tap::{Tap, VIRTIO_NET_HEADER};
pub use traffic::{Order, Traffic};

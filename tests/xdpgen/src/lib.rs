//! A packet generator inside the kernel, for what no sender in user space is fast enough to test.
//!
//! An XDP program is run on frames that the kernel makes itself (`BPF_PROG_TEST_RUN` with live frames,
//! Linux 5.18): it picks a destination for each and sends it out of one end of a pair of virtual
//! interfaces. The kernel takes such frames to the other end only if that has an XDP program in its
//! driver, or generic receive offload; [`Attached`] has programs for receivers that bring none.

mod assembly;
mod attached;
mod bpf;
mod namespace;
mod programs;
mod statistics;
mod traffic;

pub use attached::Attached;
pub use namespace::within;
pub use statistics::{Statistics, Timing, of_process};
pub use traffic::{Order, Sent, Traffic};

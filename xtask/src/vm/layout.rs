//! What a virtual machine and its host agree on: paths in the initramfs, and the last line on the console.

/// Path of the first process: this program.
pub(crate) const INIT: &str = "init";
/// Directory of the kernel modules, whose names sort in load order.
pub(crate) const MODULES: &str = "modules";
/// Directory of the frames to send: `frames/MTU.pcap`.
pub(crate) const FRAMES: &str = "frames";
/// The last line on the console after success.
pub(crate) const OVER: &str = "gomon-guest: over";

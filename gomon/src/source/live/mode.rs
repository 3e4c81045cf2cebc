//! The ways of attaching to an interface.

use std::fmt;

/// A way to receive an interface's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// XDP in the driver.
    Xdp,
    /// TC as the first program of the TCX chain, attached by a link (Linux 6.6).
    Tcx,
    /// XDP in the network stack.
    XdpGeneric,
    /// TC by a filter of the clsact qdisc.
    Clsact,
    /// No eBPF program: libpcap copies every frame to user space.
    Pcap,
}

/// The order in which the modes are tried, fastest first.
pub const FALLBACK_ORDER: [AttachMode; 5] = [
    AttachMode::Xdp,
    AttachMode::Tcx,
    AttachMode::XdpGeneric,
    AttachMode::Clsact,
    AttachMode::Pcap,
];

impl fmt::Display for AttachMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xdp => "XDP (native)",
            Self::Tcx => "TCX",
            Self::XdpGeneric => "XDP (generic)",
            Self::Clsact => "TC (clsact)",
            Self::Pcap => "libpcap",
        })
    }
}

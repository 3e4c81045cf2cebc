//! The ways of attaching to an interface.

use std::fmt;

/// A way to receive an interface's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// TC as the first program of the TCX chain, attached by a link (Linux 6.6).
    Tcx,
    /// TC by a filter of the clsact qdisc.
    Clsact,
    /// XDP in the driver.
    Xdp,
    /// XDP in the network stack.
    XdpGeneric,
    /// No eBPF program: libpcap copies every frame to user space.
    Pcap,
}

/// The order in which the modes are tried: the one that slows the traffic least comes first. It is the same
/// for every kind of interface. Every frame is passed on, so the kernel builds its socket buffer in any case,
/// and TC runs on that buffer as it is. XDP changes how the driver receives: veth stops to offer segmentation
/// offload to its peer (`veth_xdp_set`), tap makes GSO frames linear (`tun_get_user`, `do_xdp_generic`),
/// many physical drivers reset their rings and exclude LRO. Generic XDP copies frames that are not linear.
/// `cargo xtask bench disturb` measures this.
pub const FALLBACK_ORDER: [AttachMode; 5] = [
    AttachMode::Tcx,
    AttachMode::Clsact,
    AttachMode::Xdp,
    AttachMode::XdpGeneric,
    AttachMode::Pcap,
];

impl AttachMode {
    /// Returns what the mode means for the traffic, for the log.
    #[must_use]
    pub fn effect(self) -> &'static str {
        match self {
            Self::Tcx | Self::Clsact => {
                "runs on finished socket buffers, the interface's offloads stay as they are"
            }
            Self::Xdp => "runs in the driver, which may turn off segmentation and receive offloads",
            Self::XdpGeneric => "receive offload is off, frames that are not linear are copied",
            Self::Pcap => "every frame is copied to user space",
        }
    }
}

impl fmt::Display for AttachMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcx => "TCX",
            Self::Clsact => "TC (clsact)",
            Self::Xdp => "XDP (native)",
            Self::XdpGeneric => "XDP (generic)",
            Self::Pcap => "libpcap",
        })
    }
}

//! The link types gomon can look into.

/// What a frame starts with, by the registry of link-layer header types
/// (<https://www.tcpdump.org/linktypes.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LinkType {
    /// `LINKTYPE_ETHERNET`, 1.
    Ethernet,
    /// `LINKTYPE_NULL`, 0: a four-byte address family in the byte order of the capturing host.
    Null,
    /// `LINKTYPE_LOOP`, 108: the same in network order.
    Loop,
    /// `LINKTYPE_RAW`, 101 (12 and 14 in captures of some systems): the IP header itself.
    Raw,
    /// `LINKTYPE_IPV4`, 228: an IPv4 header.
    Ipv4,
    /// `LINKTYPE_IPV6`, 229: an IPv6 header.
    Ipv6,
    /// `LINKTYPE_LINUX_SLL`, 113: Linux cooked capture, version 1.
    LinuxSll,
    /// `LINKTYPE_LINUX_SLL2`, 276: Linux cooked capture, version 2.
    LinuxSll2,
}

impl LinkType {
    /// The link type with this number in a capture file, or `None` when gomon can't look into it.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Ethernet,
            0 => Self::Null,
            108 => Self::Loop,
            12 | 14 | 101 => Self::Raw,
            228 => Self::Ipv4,
            229 => Self::Ipv6,
            113 => Self::LinuxSll,
            276 => Self::LinuxSll2,
            _ => return None,
        })
    }

    /// The number a capture file carries for this link type.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Ethernet => 1,
            Self::Null => 0,
            Self::Loop => 108,
            Self::Raw => 101,
            Self::Ipv4 => 228,
            Self::Ipv6 => 229,
            Self::LinuxSll => 113,
            Self::LinuxSll2 => 276,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LinkType;

    #[test]
    fn numbers_round_trip() {
        let known: Vec<_> = (0..1000).filter_map(LinkType::from_number).collect();
        assert_eq!(known.len(), 10, "eight link types, raw IP under three numbers");
        assert!(known.iter().all(|link| LinkType::from_number(link.number()) == Some(*link)));
    }
}

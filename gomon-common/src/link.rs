//! The link types that gomon parses.

/// A link-layer header type of the registry at <https://www.tcpdump.org/linktypes.html>: the header that a
/// frame starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LinkType {
    /// `LINKTYPE_ETHERNET`, 1.
    Ethernet,
    /// `LINKTYPE_NULL`, 0: a four-byte address family in the byte order of the capturing host.
    Null,
    /// `LINKTYPE_LOOP`, 108: a four-byte address family in network byte order.
    Loop,
    /// `LINKTYPE_RAW`, 101 (12 and 14 in captures of some systems): an IPv4 or IPv6 header.
    Raw,
    /// `LINKTYPE_IPV4`, 228: an IPv4 header.
    Ipv4,
    /// `LINKTYPE_IPV6`, 229: an IPv6 header.
    Ipv6,
    /// `LINKTYPE_LINUX_SLL`, 113: Linux cooked capture, version 1.
    LinuxSll,
    /// `LINKTYPE_LINUX_SLL2`, 276: Linux cooked capture, version 2.
    LinuxSll2,
    /// `LINKTYPE_PPP`, 9: PPP with or without address and control fields.
    Ppp,
    /// `LINKTYPE_PPP_HDLC`, 50: PPP or Cisco HDLC on a serial line.
    PppSerial,
    /// `LINKTYPE_PPP_ETHER`, 51: a `PPPoE` session header.
    Pppoe,
    /// `LINKTYPE_C_HDLC`, 104: Cisco HDLC.
    CiscoHdlc,
    /// `LINKTYPE_FRELAY`, 107: frame relay.
    FrameRelay,
    /// `LINKTYPE_NFLOG`, 239: a packet logged by Linux netfilter.
    Nflog,
    /// `LINKTYPE_PKTAP`, 258: an Apple header in front of a frame of another link type.
    Pktap,
    /// `LINKTYPE_IEEE802_11`, 105: wireless frames, of which unencrypted data frames are parsed.
    Ieee80211,
    /// `LINKTYPE_IEEE802_11_RADIOTAP`, 127: a wireless frame after a radiotap header.
    Radiotap,
    /// `LINKTYPE_PPI`, 192: the per-packet information header in front of a frame of another link type.
    Ppi,
}

impl LinkType {
    /// Returns the link type with this number in a capture file, or `None` if gomon does not parse it.
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
            9 => Self::Ppp,
            50 => Self::PppSerial,
            51 => Self::Pppoe,
            104 => Self::CiscoHdlc,
            107 => Self::FrameRelay,
            239 => Self::Nflog,
            258 => Self::Pktap,
            105 => Self::Ieee80211,
            127 => Self::Radiotap,
            192 => Self::Ppi,
            _ => return None,
        })
    }

    /// Returns the number of this link type in a capture file.
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
            Self::Ppp => 9,
            Self::PppSerial => 50,
            Self::Pppoe => 51,
            Self::CiscoHdlc => 104,
            Self::FrameRelay => 107,
            Self::Nflog => 239,
            Self::Pktap => 258,
            Self::Ieee80211 => 105,
            Self::Radiotap => 127,
            Self::Ppi => 192,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LinkType;

    #[test]
    fn numbers_round_trip() {
        let supported: Vec<_> = (0..1000).filter_map(LinkType::from_number).collect();
        assert_eq!(supported.len(), 20, "eighteen link types, raw IP under three numbers");
        assert!(supported.iter().all(|link| LinkType::from_number(link.number()) == Some(*link)));
    }
}

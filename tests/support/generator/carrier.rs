//! Builds what precedes an IP packet: link headers, tags and encapsulations.

use gomon_common::parse::Malformed;
use gomon_common::{LinkType, Skip};
use proptest::sample::Index;

use super::builder::{Announced, Builder, MAX_LAYERS, TRUNCATED};
use super::expected::Walk;
use super::layers::{Carrier, Shim, Typed, Wrap};

// The parser's documented limits, repeated here because they are under test.
const MAX_TAGS: usize = 3;
const MAX_LABELS: usize = 8;

const NESTING: Result<Walk, Skip> = Err(Skip::Malformed(Malformed::Nesting));

/// Ethernet types, and LLC lengths, of protocols other than IP.
const FOREIGN_TYPES: [u16; 10] =
    [0x0806, 0x88cc, 0x8863, 0x9200, 0x0842, 0x0600, 1501, 1500, 38, 4];
/// `PPPoE` codes and PPP protocols other than IP: LCP, MPLS, discovery packets.
const FOREIGN_PPP: [(u8, u16); 5] =
    [(0, 0xc021), (0, 0x8021), (0, 0x0281), (0x09, 0x0021), (0xa7, 0x0057)];
/// Address families other than IP, including some that exceed one byte.
const FOREIGN_FAMILIES: [u32; 6] = [0, 7, 0x0100_0002, 0x0002_0002, 0x100, 0x0806];
const IPV4_FAMILIES: [u32; 2] = [2, 0x0800];
/// The address families of IPv6 on Linux, Windows, NetBSD and OpenBSD, FreeBSD, macOS, and its Ethernet type.
const IPV6_FAMILIES: [u32; 6] = [10, 23, 24, 28, 30, 0x86dd];

impl Builder {
    /// Writes a header that precedes another link header.
    pub(super) fn wrapper(&mut self, wrapper: LinkType) -> LinkType {
        if wrapper == LinkType::Pktap {
            self.frame.extend(108u32.to_le_bytes());
            self.fill(104);
            self.need(12, TRUNCATED);
        } else {
            self.frame.extend([0, 0, 20, 0]);
            self.fill(16);
            self.need(8, TRUNCATED);
        }
        wrapper
    }

    /// Writes the link type of the inner header into the preceding one.
    pub(super) fn set_wrapped_type(&mut self, wrapper: LinkType, inner: LinkType) -> LinkType {
        let at = if wrapper == LinkType::Pktap { 8 } else { 4 };
        self.frame[at..at + 4].copy_from_slice(&inner.number().to_le_bytes());
        wrapper
    }

    /// Writes what precedes the packet. Returns the link type, and what the last layer announces.
    pub(super) fn carrier(
        &mut self,
        carrier: &Carrier,
        announced: Announced,
    ) -> (LinkType, Announced) {
        match carrier {
            Carrier::Typed { header, layers, tags, shim, foreign } => {
                let mut layers = layers.clone();
                if matches!(header, Typed::Wifi(_)) {
                    layers.insert(0, (vec![], Wrap::Snap { length: 0, bridge: false }));
                }
                let kind = shim.kind(announced, *foreign);
                let kinds = layers
                    .iter()
                    .flat_map(|(tags, wrap)| tags.iter().copied().chain([wrap.kind()]));
                let kinds: Vec<_> = kinds.chain(tags.iter().copied()).chain([kind]).collect();
                let link = self.header(*header, kinds[0]);
                let mut next = kinds.into_iter().skip(1);
                for (tags, wrap) in &layers {
                    self.tags(tags.len(), &mut next);
                    self.wrap(*wrap, next.next().expect("another type"));
                }
                self.tags(tags.len(), &mut next);
                (link, self.shim(shim, announced, *foreign))
            }
            Carrier::Family { link, network_order, number } => {
                let family = match announced {
                    Announced::Ipv4 => *number.get(&IPV4_FAMILIES),
                    Announced::Ipv6 => *number.get(&IPV6_FAMILIES),
                    Announced::Foreign | Announced::Unspecified => *number.get(&FOREIGN_FAMILIES),
                };
                self.frame.extend(if *network_order {
                    family.to_be_bytes()
                } else {
                    family.to_le_bytes()
                });
                self.need(self.frame.len(), TRUNCATED);
                // AF_INET6 on Windows is AF_IPX elsewhere, so the parser looks at the packet.
                (*link, if family == 23 { Announced::Unspecified } else { announced })
            }
            Carrier::Ppp { link, framed, compressed, foreign } => {
                if *link == LinkType::Pppoe {
                    return (*link, self.pppoe(*compressed, announced, *foreign));
                }
                if *link == LinkType::Null {
                    self.frame.extend([0xff, 3]);
                } else if *framed {
                    self.frame.push(0xff);
                    self.need(self.frame.len(), TRUNCATED);
                    self.frame.push(3);
                    // Without the second byte, the first is parsed as a protocol.
                    self.need(self.frame.len(), Skip::NotIp);
                }
                let protocol = match ppp_protocol(announced, *foreign) {
                    (0, protocol) => protocol,
                    _ => 0xc021,
                };
                self.protocol(*compressed, protocol);
                (*link, announced)
            }
            Carrier::FrameRelay { address, padded } => {
                self.address(*address);
                self.frame.push(3);
                self.need(self.frame.len(), TRUNCATED);
                if *padded {
                    self.frame.push(0);
                }
                self.frame.push(match announced {
                    Announced::Ipv4 => 0xcc,
                    Announced::Ipv6 => 0x8e,
                    Announced::Foreign | Announced::Unspecified => 0x81,
                });
                self.need(self.frame.len(), TRUNCATED);
                (LinkType::FrameRelay, announced)
            }
            Carrier::Nflog { big_endian, attributes } => {
                let family = match announced {
                    Announced::Ipv4 => 2,
                    Announced::Ipv6 => 10,
                    Announced::Foreign | Announced::Unspecified => 7,
                };
                self.frame.push(family);
                self.need(self.frame.len(), TRUNCATED);
                self.frame.extend([0, 0, 5]);
                if matches!(announced, Announced::Foreign) {
                    self.judge(Err(Skip::NotIp));
                }
                for (number, length) in (1u16..).zip(attributes) {
                    self.attribute(*big_endian, number, usize::from(*length));
                    let padding = self.frame.len().next_multiple_of(4) - self.frame.len();
                    self.fill(padding);
                }
                // The packet, whose attribute length is ignored.
                self.attribute(*big_endian, 9, 0);
                (LinkType::Nflog, announced)
            }
            Carrier::Bare(LinkType::Ipv4) => (LinkType::Ipv4, Announced::Ipv4),
            Carrier::Bare(LinkType::Ipv6) => (LinkType::Ipv6, Announced::Ipv6),
            Carrier::Bare(link) => (*link, Announced::Unspecified),
        }
    }

    /// Writes an Ethernet type.
    fn kind(&mut self, kind: u16) {
        self.u16(kind);
        self.need(self.frame.len(), TRUNCATED);
    }

    /// Writes a link header with its type field.
    fn header(&mut self, header: Typed, kind: u16) -> LinkType {
        match header {
            Typed::Ethernet => {
                self.fill(12);
                self.kind(kind);
                LinkType::Ethernet
            }
            Typed::Sll => {
                // Outgoing, on Ethernet.
                self.frame.extend([0, 4, 0, 1, 0, 6]);
                self.fill(8);
                self.cooked(kind);
                LinkType::LinuxSll
            }
            Typed::Sll2 => {
                self.cooked(kind);
                self.fill(18);
                LinkType::LinuxSll2
            }
            Typed::CiscoHdlc | Typed::Serial => {
                self.frame.extend([0x8f, 0]);
                if matches!(header, Typed::Serial) {
                    self.need(self.frame.len() - 1, TRUNCATED);
                }
                self.kind(kind);
                if matches!(header, Typed::Serial) {
                    LinkType::PppSerial
                } else {
                    LinkType::CiscoHdlc
                }
            }
            Typed::FrameRelay(address) => {
                self.address(address);
                // The first byte of such a length would be parsed as a control field.
                let kind = if kind >> 8 == 3 { 0 } else { kind };
                self.need(self.frame.len() + 1, TRUNCATED);
                self.kind(kind);
                LinkType::FrameRelay
            }
            Typed::Wifi(wifi) => self.wifi(wifi),
        }
    }

    /// Writes the type of a cooked header, in which Linux has a special number for LLC.
    fn cooked(&mut self, kind: u16) {
        let is_length = kind < 0x600;
        self.kind(if is_length { 4 } else { kind });
    }

    /// Writes a frame relay address.
    fn address(&mut self, bytes: usize) {
        self.fill(1);
        for byte in 2..=bytes {
            self.frame.push(0x40 | u8::from(byte == bytes));
            self.need(self.frame.len(), TRUNCATED);
        }
    }

    /// Writes consecutive tags, each with the type of the next header.
    fn tags(&mut self, tags: usize, kinds: &mut impl Iterator<Item = u16>) {
        for tag in 0..tags {
            if tag == MAX_TAGS {
                self.judge(NESTING);
            }
            self.fill(2);
            self.kind(kinds.next().expect("another type"));
        }
    }

    /// Writes a layer, up to and including the type of the next header.
    fn wrap(&mut self, wrap: Wrap, kind: u16) {
        match wrap {
            Wrap::Snap { bridge, .. } => {
                self.frame.extend([0xaa, 0xaa, 3, 0, 0, u8::from(bridge) * 0xf8]);
                self.need(self.frame.len(), Skip::NotIp);
            }
            Wrap::Macsec { channel } => {
                let control = self.noise[0] & 0x43 | u8::from(channel) << 5;
                self.frame.push(control);
                self.need(self.frame.len(), TRUNCATED);
                self.fill(if channel { 13 } else { 5 });
            }
            Wrap::VnTag | Wrap::Redundancy => self.fill(4),
            Wrap::Metadata => self.fill(6),
            Wrap::Backbone => self.fill(16),
            Wrap::FabricPath => self.fill(14),
            Wrap::Ethernet => self.fill(12),
            Wrap::Arista { short } => {
                self.frame.extend([0, 1, self.noise[1], if short { 0x20 } else { 0x10 }]);
                self.need(self.frame.len(), TRUNCATED);
                self.fill(if short { 6 } else { 8 });
            }
        }
        self.kind(kind);
        self.layers += 1;
        if self.layers > MAX_LAYERS {
            self.judge(NESTING);
        }
    }

    /// Writes the header that the last Ethernet type announces, between it and the packet.
    fn shim(&mut self, shim: &Shim, announced: Announced, foreign: Index) -> Announced {
        self.layers += usize::from(!matches!(shim, Shim::None));
        match shim {
            Shim::None => announced,
            Shim::Pppoe { compressed } => self.pppoe(*compressed, announced, foreign),
            Shim::Mpls { labels, .. } => {
                for label in 1..=*labels {
                    self.fill(2);
                    let [class, ttl] = [self.noise[2], self.noise[3]];
                    self.frame.extend([class & 0xfe | u8::from(label == *labels), ttl]);
                    self.need(self.frame.len(), TRUNCATED);
                    if label == MAX_LABELS && label < *labels {
                        self.judge(NESTING);
                    }
                }
                Announced::Unspecified
            }
            Shim::Nsh(words) => {
                let next = match announced {
                    Announced::Ipv4 => 1,
                    Announced::Ipv6 => 2,
                    Announced::Foreign | Announced::Unspecified => 6,
                };
                self.frame.extend([self.noise[4] & 0x3f, 0xc0 | words, 1, next]);
                self.need(self.frame.len(), TRUNCATED);
                self.fill(4 * usize::from(*words) - 4);
                announced
            }
            Shim::Llc => {
                self.frame.extend([6, 6, 3]);
                self.need(self.frame.len(), Skip::NotIp);
                Announced::Ipv4
            }
        }
    }

    fn pppoe(&mut self, compressed: bool, announced: Announced, foreign: Index) -> Announced {
        let (code, protocol) = ppp_protocol(announced, foreign);
        self.frame.extend([0x11, code]);
        self.fill(4);
        self.need(self.frame.len(), TRUNCATED);
        if code != 0 {
            self.judge(Err(Skip::NotIp));
        }
        self.protocol(compressed, protocol);
        announced
    }

    /// Writes a PPP protocol field, compressed where possible.
    fn protocol(&mut self, compressed: bool, protocol: u16) {
        let [high, low] = protocol.to_be_bytes();
        if !(compressed && high == 0) {
            self.frame.push(high);
        }
        self.frame.push(low);
        self.need(self.frame.len(), TRUNCATED);
    }

    /// Writes a netfilter attribute with `bytes` bytes of data.
    fn attribute(&mut self, big_endian: bool, number: u16, bytes: usize) {
        let length = u16::try_from(4 + bytes).expect("a short attribute");
        for number in [length, number] {
            self.frame.extend(if big_endian { number.to_be_bytes() } else { number.to_le_bytes() });
        }
        self.need(self.frame.len(), TRUNCATED);
        self.fill(bytes);
    }
}

/// Returns the code and the protocol of a `PPPoE` session.
fn ppp_protocol(announced: Announced, foreign: Index) -> (u8, u16) {
    match announced {
        Announced::Ipv4 => (0, 0x0021),
        Announced::Ipv6 => (0, 0x0057),
        Announced::Foreign | Announced::Unspecified => *foreign.get(&FOREIGN_PPP),
    }
}

impl Wrap {
    fn kind(self) -> u16 {
        match self {
            Self::Snap { length, .. } => length,
            Self::Macsec { .. } => 0x88e5,
            Self::VnTag => 0x8926,
            Self::Redundancy => 0x892f,
            Self::Metadata => 0x8909,
            Self::Backbone => 0x88e7,
            Self::FabricPath => 0x8903,
            Self::Ethernet => 0x6558,
            Self::Arista { .. } => 0xd28b,
        }
    }
}

impl Shim {
    /// Returns the Ethernet type that announces the shim, or the packet if there is none.
    fn kind(&self, announced: Announced, foreign: Index) -> u16 {
        match (self, announced) {
            (Self::Pppoe { .. }, _) => 0x8864,
            (Self::Mpls { multicast: false, .. }, _) => 0x8847,
            (Self::Mpls { multicast: true, .. }, _) => 0x8848,
            (Self::Nsh(_), _) => 0x894f,
            (Self::Llc, _) => 33,
            (Self::None, Announced::Ipv4) => 0x0800,
            (Self::None, Announced::Ipv6) => 0x86dd,
            (Self::None, Announced::Foreign | Announced::Unspecified) => {
                *foreign.get(&FOREIGN_TYPES)
            }
        }
    }
}

//! From a plan to the frame, and to what is in it.

use gomon_common::parse::Malformed;
use gomon_common::{Address, LinkType, Skip};
use proptest::sample::Index;

use super::{
    AUTHENTICATION, Carrier, Content, Extension, Ipv4, Ipv6, Length, Plan, Sample, Shim, Truth,
    Typed, Upper, WITH_PORTS, Walk,
};

// The limits the parser documents, spelled again: they are what is tested.
const MAX_TAGS: usize = 3;
const MAX_LABELS: usize = 8;
const MAX_EXTENSIONS: usize = 8;

const TRUNCATED: Skip = Skip::Malformed(Malformed::Truncated);

/// Ethernet types, with LLC lengths among them, of what is not IP.
const FOREIGN_TYPES: [u16; 10] =
    [0x0806, 0x88cc, 0x8863, 0x88e5, 0x0842, 0x0600, 1501, 1500, 38, 4];
/// `PPPoE` codes and PPP protocols of what is not an IP packet: LCP, MPLS, discovery packets.
const FOREIGN_PPP: [(u8, u16); 5] =
    [(0, 0xc021), (0, 0x8021), (0, 0x0281), (0x09, 0x0021), (0xa7, 0x0057)];
/// Address families of what is not IP, one of them too big for one byte.
const FOREIGN_FAMILIES: [u32; 4] = [0, 7, 0x0100_0002, 0x0002_0002];
/// IPv6 by Linux, NetBSD and OpenBSD, FreeBSD, macOS.
const IPV6_FAMILIES: [u32; 4] = [10, 24, 28, 30];

/// The frame of a plan.
pub(super) fn build(plan: &Plan) -> Sample {
    let mut builder = Builder { noise: plan.noise, ..Builder::default() };
    let (link, announced) = builder.carrier(&plan.carrier, announcement(plan));
    builder.content(announced, &plan.content);
    builder.frame.extend(&plan.padding);
    let verdict = builder.verdict.expect("every kind of content is judged");
    let truth = Truth { needs: builder.needs, verdict };
    Sample { link, expected: truth.of(&builder.frame), frame: builder.frame, truth }
}

/// What a layer says about the next one.
#[derive(Clone, Copy)]
enum Announced {
    Ipv4,
    Ipv6,
    Foreign,
    /// Nothing: the next layer's first four bits tell.
    Untold,
}

fn announcement(plan: &Plan) -> Announced {
    match (&plan.content, plan.lie) {
        (Content::Ipv4(_), false) | (Content::Ipv6(_) | Content::Foreign(_), true) => {
            Announced::Ipv4
        }
        (Content::Ipv6(_), false) | (Content::Ipv4(_), true) => Announced::Ipv6,
        (Content::Foreign(_), false) => Announced::Foreign,
    }
}

#[derive(Default)]
struct Builder {
    frame: Vec<u8>,
    needs: Vec<(usize, Skip)>,
    verdict: Option<Result<Walk, Skip>>,
    noise: [u8; 32],
}

impl Builder {
    /// Notes that `bytes` of the frame must be there to get further.
    fn need(&mut self, bytes: usize, otherwise: Skip) {
        if self.verdict.is_none() {
            self.needs.push((bytes, otherwise));
        }
    }

    /// Notes what the frame is. The first word counts, as what follows is not looked at.
    fn judge(&mut self, verdict: Result<Walk, Skip>) {
        self.verdict.get_or_insert(verdict);
    }

    fn fill(&mut self, bytes: usize) {
        let noise = self.noise;
        self.frame.extend(noise.iter().cycle().take(bytes));
    }

    fn u16(&mut self, n: u16) {
        self.frame.extend(n.to_be_bytes());
    }

    /// Writes what is in front of the packet: the link type, and what the last layer says.
    fn carrier(&mut self, carrier: &Carrier, announced: Announced) -> (LinkType, Announced) {
        match carrier {
            Carrier::Typed { header, tags, snap, shim, foreign } => {
                let kind = ether_type(shim, announced, *foreign);
                let link = match header {
                    Typed::Ethernet => LinkType::Ethernet,
                    Typed::Sll => LinkType::LinuxSll,
                    Typed::Sll2 => LinkType::LinuxSll2,
                };
                // In front of LLC there is a length on Ethernet, which is not looked at; what there is
                // on cooked links is not looked into.
                let first = if *snap { 4 } else { kind };
                self.typed(*header, &[&tags[..], &[first]].concat());
                if *snap {
                    if link != LinkType::Ethernet {
                        self.judge(Err(Skip::NotIp));
                    }
                    self.frame.extend([0xaa, 0xaa, 0x03, 0, 0, 0]);
                    self.need(self.frame.len(), Skip::NotIp);
                    self.u16(kind);
                    self.need(self.frame.len(), TRUNCATED);
                }
                (link, self.shim(shim, announced, *foreign))
            }
            Carrier::Family { link, network_order, number } => {
                let family = match announced {
                    Announced::Ipv4 => 2,
                    Announced::Ipv6 => *number.get(&IPV6_FAMILIES),
                    Announced::Foreign | Announced::Untold => *number.get(&FOREIGN_FAMILIES),
                };
                self.frame.extend(if *network_order {
                    family.to_be_bytes()
                } else {
                    family.to_le_bytes()
                });
                self.need(4, TRUNCATED);
                (*link, announced)
            }
            Carrier::Bare(LinkType::Ipv4) => (LinkType::Ipv4, Announced::Ipv4),
            Carrier::Bare(LinkType::Ipv6) => (LinkType::Ipv6, Announced::Ipv6),
            Carrier::Bare(link) => (*link, Announced::Untold),
        }
    }

    /// Writes a link header with its type field, and the tags that each bring one more.
    fn typed(&mut self, header: Typed, kinds: &[u16]) {
        match header {
            Typed::Ethernet => {
                self.fill(12);
                self.u16(kinds[0]);
                self.need(14, TRUNCATED);
            }
            Typed::Sll => {
                // Outgoing, on an Ethernet.
                self.frame.extend([0, 4, 0, 1, 0, 6]);
                self.fill(8);
                self.u16(kinds[0]);
                self.need(16, TRUNCATED);
            }
            Typed::Sll2 => {
                self.u16(kinds[0]);
                self.need(2, TRUNCATED);
                self.fill(18);
            }
        }
        for (tags, kind) in kinds[1..].iter().enumerate() {
            if tags == MAX_TAGS {
                self.judge(Err(Skip::Malformed(Malformed::Nesting)));
            }
            self.fill(2);
            self.u16(*kind);
            self.need(self.frame.len(), TRUNCATED);
        }
    }

    /// Writes what the Ethernet type announces in front of the packet.
    fn shim(&mut self, shim: &Shim, announced: Announced, foreign: Index) -> Announced {
        match shim {
            Shim::None => announced,
            Shim::Pppoe => {
                let (code, protocol) = match announced {
                    Announced::Ipv4 => (0, 0x0021),
                    Announced::Ipv6 => (0, 0x0057),
                    Announced::Foreign | Announced::Untold => *foreign.get(&FOREIGN_PPP),
                };
                self.frame.extend([0x11, code]);
                self.fill(4);
                self.u16(protocol);
                self.need(self.frame.len(), TRUNCATED);
                announced
            }
            Shim::Mpls { labels, .. } => {
                for label in 1..=*labels {
                    self.fill(2);
                    let [class, ttl] = [self.noise[2], self.noise[3]];
                    self.frame.extend([class & 0xfe | u8::from(label == *labels), ttl]);
                    self.need(self.frame.len(), TRUNCATED);
                    if label == MAX_LABELS && label < *labels {
                        self.judge(Err(Skip::Malformed(Malformed::Nesting)));
                    }
                }
                Announced::Untold
            }
        }
    }

    fn content(&mut self, announced: Announced, content: &Content) {
        let start = self.frame.len();
        if matches!(announced, Announced::Untold) {
            self.need(start + 1, TRUNCATED);
        }
        let announced = match (announced, content) {
            (Announced::Untold, Content::Ipv4(_)) => Announced::Ipv4,
            (Announced::Untold, Content::Ipv6(_)) => Announced::Ipv6,
            (told, _) => told,
        };
        match (announced, content) {
            (Announced::Ipv4, Content::Ipv4(_)) => self.need(start + 20, TRUNCATED),
            (Announced::Ipv6, Content::Ipv6(_)) => self.need(start + 40, TRUNCATED),
            (Announced::Ipv4, _) => {
                self.need(start + 20, TRUNCATED);
                self.judge(Err(Skip::Malformed(Malformed::Version)));
            }
            (Announced::Ipv6, _) => {
                self.need(start + 40, TRUNCATED);
                self.judge(Err(Skip::Malformed(Malformed::Version)));
            }
            (Announced::Foreign | Announced::Untold, _) => self.judge(Err(Skip::NotIp)),
        }
        match content {
            Content::Ipv4(packet) => self.ipv4(packet),
            Content::Ipv6(packet) => self.ipv6(packet),
            Content::Foreign(bytes) => self.frame.extend(bytes),
        }
    }

    fn ipv4(&mut self, packet: &Ipv4) {
        let start = self.frame.len();
        let words = packet.short_header.unwrap_or(5 + packet.options);
        let header = 20 + 4 * usize::from(packet.options);
        let authentication = packet.authentication.map_or(0, authentication_size);
        let total = header + authentication + packet.upper.bytes.len();
        let length = packet.length.field(total, header);
        let first = packet.authentication.map_or(packet.upper.protocol, |_| AUTHENTICATION);

        self.frame.extend([0x40 | words, self.noise[0]]);
        self.u16(length);
        self.fill(2);
        self.u16(packet.flags << 13 | packet.fragment_offset);
        self.frame.extend([64, first]);
        self.fill(2);
        self.frame.extend(packet.source);
        self.frame.extend(packet.destination);
        self.fill(header - 20);
        if packet.short_header.is_some() {
            self.judge(Err(Skip::Malformed(Malformed::HeaderLength)));
        }
        if length != 0 && usize::from(length) < header {
            self.judge(Err(Skip::Malformed(Malformed::TotalLength)));
        }
        self.need(self.frame.len(), TRUNCATED);

        let later_fragment = packet.fragment_offset != 0;
        let mut steps = Vec::new();
        if let Some(length) = packet.authentication {
            steps.push((self.frame.len() + 4, packet.upper.protocol));
            self.authentication(packet.upper.protocol, length);
        }
        let port_at = self.upper(&packet.upper);
        self.judge(Ok(Walk {
            source: Address::v4(packet.source),
            destination: Address::v4(packet.destination),
            end: if length == 0 { usize::MAX } else { start + usize::from(length) },
            first,
            steps: if later_fragment { Vec::new() } else { steps },
            port_at: port_at.filter(|_| !later_fragment),
        }));
    }

    fn ipv6(&mut self, packet: &Ipv6) {
        let start = self.frame.len();
        let headers: usize = packet.extensions.iter().map(Extension::size).sum();
        let length = packet.length.field(headers + packet.upper.bytes.len(), 0);
        let numbers: Vec<u8> = packet.extensions.iter().map(Extension::number).collect();
        let numbers = [numbers, vec![packet.upper.protocol]].concat();

        self.frame.extend([0x60 | self.noise[0] & 0x0f]);
        self.fill(3);
        self.u16(length);
        self.frame.extend([numbers[0], 64]);
        self.frame.extend(packet.source);
        self.frame.extend(packet.destination);

        let mut steps = Vec::new();
        let mut later_fragment = false;
        for (extension, &next) in packet.extensions.iter().zip(&numbers[1..]) {
            let reached = !later_fragment && steps.len() < MAX_EXTENSIONS;
            if reached {
                steps.push((self.frame.len() + 4, next));
            }
            match *extension {
                Extension::Plain(_, length) => {
                    self.frame.extend([next, length]);
                    self.fill(extension.size() - 2);
                }
                Extension::Fragment(word) => {
                    later_fragment |= reached && word >> 3 != 0;
                    self.frame.extend([next, self.noise[0]]);
                    self.u16(word);
                    self.fill(4);
                }
                Extension::Authentication(length) => self.authentication(next, length),
            }
        }
        let all = steps.len() == packet.extensions.len() && !later_fragment;
        let port_at = self.upper(&packet.upper);
        self.judge(Ok(Walk {
            source: Address::v6(packet.source),
            destination: Address::v6(packet.destination),
            end: if length == 0 { usize::MAX } else { start + 40 + usize::from(length) },
            first: numbers[0],
            steps,
            port_at: port_at.filter(|_| all),
        }));
    }

    fn authentication(&mut self, next: u8, length: u8) {
        self.frame.extend([next, length, 0, 0]);
        self.fill(authentication_size(length) - 4);
    }

    /// Writes what the packet carries: where its destination port is, if it has one.
    fn upper(&mut self, upper: &Upper) -> Option<usize> {
        let start = self.frame.len();
        self.frame.extend(&upper.bytes);
        WITH_PORTS.contains(&upper.protocol).then_some(start + 2)
    }
}

/// The Ethernet type that announces the shim, or the packet where there is none.
fn ether_type(shim: &Shim, announced: Announced, foreign: Index) -> u16 {
    match (shim, announced) {
        (Shim::Pppoe, _) => 0x8864,
        (Shim::Mpls { multicast: false, .. }, _) => 0x8847,
        (Shim::Mpls { multicast: true, .. }, _) => 0x8848,
        (Shim::None, Announced::Ipv4) => 0x0800,
        (Shim::None, Announced::Ipv6) => 0x86dd,
        (Shim::None, Announced::Foreign | Announced::Untold) => *foreign.get(&FOREIGN_TYPES),
    }
}

impl Length {
    /// The value of a field that counts `actual` bytes, `header` of them of the header itself.
    fn field(&self, actual: usize, header: usize) -> u16 {
        let field = match self {
            Self::Zero => 0,
            Self::Less(index) if actual > header => header + index.index(actual - header),
            Self::More(bytes) => actual + usize::from(*bytes),
            Self::BelowHeader(index) if header > 0 => 1 + index.index(header - 1),
            Self::Exact | Self::Less(_) | Self::BelowHeader(_) => actual,
        };
        u16::try_from(field).expect("a short packet")
    }
}

impl Extension {
    fn number(&self) -> u8 {
        match self {
            Self::Plain(number, _) => *number,
            Self::Fragment(_) => 44,
            Self::Authentication(_) => AUTHENTICATION,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Plain(_, length) => 8 * (1 + usize::from(*length)),
            Self::Fragment(_) => 8,
            Self::Authentication(length) => authentication_size(*length),
        }
    }
}

/// Bytes of an authentication header with this length field, which counts words and leaves out two.
fn authentication_size(length: u8) -> usize {
    8 + 4 * usize::from(length)
}

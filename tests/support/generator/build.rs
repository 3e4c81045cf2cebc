//! From a plan to the frame, and to what is in it.

use gomon_common::parse::Malformed;
use gomon_common::{Address, Skip};

use super::carrier::{Announced, MAX_LAYERS};
use super::{
    AUTHENTICATION, Content, Extension, Ipv4, Ipv6, Length, Plan, Sample, Truth, Upper, WITH_PORTS,
    Walk,
};

// The limit the parser documents, spelled again: it is what is tested.
const MAX_EXTENSIONS: usize = 8;

pub(super) const TRUNCATED: Skip = Skip::Malformed(Malformed::Truncated);

/// The frame of a plan.
pub(super) fn build(plan: &Plan) -> Sample {
    let mut builder = Builder { noise: plan.noise, ..Builder::default() };
    let wrapper = plan.wrapped.map(|wrapper| builder.wrapper(wrapper));
    let (inner, announced) = builder.carrier(&plan.carrier, announcement(plan));
    let link = wrapper.map_or(inner, |wrapper| builder.names(wrapper, inner));
    builder.content(announced, &plan.content);
    builder.frame.extend(&plan.padding);
    let verdict = builder.verdict.expect("every kind of content is judged");
    let truth = Truth { needs: builder.needs, verdict };
    Sample { link, expected: truth.of(&builder.frame), frame: builder.frame, truth }
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
pub(super) struct Builder {
    pub(super) frame: Vec<u8>,
    needs: Vec<(usize, Skip)>,
    verdict: Option<Result<Walk, Skip>>,
    pub(super) noise: [u8; 32],
    /// Layers written so far between the link header and the packet.
    pub(super) layers: usize,
}

impl Builder {
    /// Notes that `bytes` of the frame must be there to get further.
    pub(super) fn need(&mut self, bytes: usize, otherwise: Skip) {
        if self.verdict.is_none() {
            self.needs.push((bytes, otherwise));
        }
    }

    /// Notes what the frame is. The first word counts, as what follows is not looked at.
    pub(super) fn judge(&mut self, verdict: Result<Walk, Skip>) {
        self.verdict.get_or_insert(verdict);
    }

    pub(super) fn fill(&mut self, bytes: usize) {
        let noise = self.noise;
        self.frame.extend(noise.iter().cycle().take(bytes));
    }

    pub(super) fn u16(&mut self, n: u16) {
        self.frame.extend(n.to_be_bytes());
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
        if self.layers > MAX_LAYERS && matches!(announced, Announced::Ipv4 | Announced::Ipv6) {
            self.judge(Err(Skip::Malformed(Malformed::Nesting)));
        }
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
            more_fragments: packet.flags & 1 != 0,
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
        let (mut later_fragment, mut more_fragments) = (false, false);
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
                    if reached {
                        more_fragments = word & 1 != 0;
                    }
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
            more_fragments,
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

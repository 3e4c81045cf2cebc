//! Builds a frame, and its expected packet, from a plan.

use gomon_common::parse::Malformed;
use gomon_common::{Address, Skip};

use super::builder::{Announced, Builder, MAX_LAYERS, TRUNCATED};
use super::expected::{Headers, Sample, Walk};
use super::plan::{
    AUTHENTICATION, Content, Extension, Ipv4, Ipv6, Length, Plan, Upper, WITH_PORTS,
};

// The parser's documented limit, repeated here because it is under test.
const MAX_EXTENSIONS: usize = 8;

/// Builds the frame of a plan.
pub(super) fn build(plan: &Plan) -> Sample {
    let mut builder = Builder { noise: plan.noise, ..Builder::default() };
    let wrapper = plan.wrapped.map(|wrapper| builder.wrapper(wrapper));
    let (inner, announced) = builder.carrier(&plan.carrier, announcement(plan));
    let link = wrapper.map_or(inner, |wrapper| builder.set_wrapped_type(wrapper, inner));
    builder.content(announced, &plan.content);
    builder.frame.extend(&plan.padding);
    let verdict = builder.verdict.expect("every kind of content has a result");
    let headers = Headers { needs: builder.needs, verdict };
    Sample { link, expected: headers.packet(&builder.frame), frame: builder.frame, headers }
}

fn announcement(plan: &Plan) -> Announced {
    match (&plan.content, plan.wrong_version) {
        (Content::Ipv4(_), false) | (Content::Ipv6(_) | Content::Foreign(_), true) => {
            Announced::Ipv4
        }
        (Content::Ipv6(_), false) | (Content::Ipv4(_), true) => Announced::Ipv6,
        (Content::Foreign(_), false) => Announced::Foreign,
    }
}

impl Builder {
    fn content(&mut self, announced: Announced, content: &Content) {
        let start = self.frame.len();
        if matches!(announced, Announced::Unspecified) {
            self.need(start + 1, TRUNCATED);
        }
        let announced = match (announced, content) {
            (Announced::Unspecified, Content::Ipv4(_)) => Announced::Ipv4,
            (Announced::Unspecified, Content::Ipv6(_)) => Announced::Ipv6,
            (specified, _) => specified,
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
            (Announced::Foreign | Announced::Unspecified, _) => self.judge(Err(Skip::NotIp)),
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
        let all_known = steps.len() == packet.extensions.len() && !later_fragment;
        let port_at = self.upper(&packet.upper);
        self.judge(Ok(Walk {
            source: Address::v6(packet.source),
            destination: Address::v6(packet.destination),
            end: if length == 0 { usize::MAX } else { start + 40 + usize::from(length) },
            first: numbers[0],
            steps,
            port_at: port_at.filter(|_| all_known),
            more_fragments,
        }));
    }

    fn authentication(&mut self, next: u8, length: u8) {
        self.frame.extend([next, length, 0, 0]);
        self.fill(authentication_size(length) - 4);
    }

    /// Writes the payload. Returns the offset of its destination port, if it has one.
    fn upper(&mut self, upper: &Upper) -> Option<usize> {
        let start = self.frame.len();
        self.frame.extend(&upper.bytes);
        WITH_PORTS.contains(&upper.protocol).then_some(start + 2)
    }
}

impl Length {
    /// Returns the value of a length field for `actual` bytes, of which `header` are the header itself.
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

/// Returns the size in bytes of an authentication header. Its length field is in words of four bytes, minus two
/// (RFC 4302).
fn authentication_size(length: u8) -> usize {
    8 + 4 * usize::from(length)
}

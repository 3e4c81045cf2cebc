//! The expected packet of a generated frame, whole or truncated.

use std::fmt;

use gomon_common::{Address, ContactFlag, Endpoint, Flags, LinkType, Packet, Skip};

/// A frame, and its expected packet.
#[derive(Clone)]
pub struct Sample {
    pub link: LinkType,
    pub frame: Vec<u8>,
    /// The packet of the whole frame.
    pub expected: Result<Packet, Skip>,
    pub(super) headers: Headers,
}

impl Sample {
    /// Returns the packet of the first `captured` bytes of the frame.
    pub fn expected_of(&self, captured: usize) -> Result<Packet, Skip> {
        self.headers.packet(&self.frame[..captured])
    }
}

impl fmt::Debug for Sample {
    /// Formats the bytes for `xxd -r -p` and `text2pcap`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ", self.link)?;
        self.frame.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ": {:?}", self.expected)
    }
}

/// The offsets in a frame that determine its packet.
#[derive(Clone, Debug)]
pub(super) struct Headers {
    /// The numbers of bytes that must be captured, ascending, and the result for a shorter frame.
    pub(super) needs: Vec<(usize, Skip)>,
    /// The result when all of them are captured.
    pub(super) verdict: Result<Walk, Skip>,
}

/// An IP packet, header by header.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub(super) source: Address,
    pub(super) destination: Address,
    /// The offset at which the packet ends in the frame, by the length in its header.
    pub(super) end: usize,
    /// The protocol number in the IP header.
    pub(super) first: u8,
    /// For each extension header that is skipped: the number of bytes that must be captured to know the next header,
    /// and its number.
    pub(super) steps: Vec<(usize, u8)>,
    /// The offset of the destination port, if there is one.
    pub(super) port_at: Option<usize>,
    /// Whether this is a fragment that is not the last.
    pub(super) more_fragments: bool,
}

impl Headers {
    pub(super) fn packet(&self, captured: &[u8]) -> Result<Packet, Skip> {
        if let Some((_, skip)) = self.needs.iter().find(|(bytes, _)| *bytes > captured.len()) {
            return Err(*skip);
        }
        let walk = self.verdict.as_ref().map_err(|skip| *skip)?;
        let packet = &captured[..captured.len().min(walk.end)];
        let known = walk.steps.iter().take_while(|(bytes, _)| *bytes <= packet.len()).count();
        let protocol = if known == 0 { walk.first } else { walk.steps[known - 1].1 };
        let port = match walk.port_at.and_then(|at| packet.get(at..at + 2)) {
            Some(port) if known == walk.steps.len() => u16::from_be_bytes([port[0], port[1]]),
            _ => 0,
        };
        let destination = Endpoint::new(walk.destination, protocol, port);
        let transport = walk.port_at.filter(|_| known == walk.steps.len());
        let transport = transport.and_then(|at| packet.get(at - 2..)).unwrap_or_default();
        let (source_port, contact, flags) = match *transport {
            [high, low, _, _, ..] => {
                // A first fragment that ends before the flags, whatever the snap length.
                let flags_at = walk.port_at.map_or(0, |at| at + 11);
                let is_short = walk.more_fragments && walk.end <= flags_at;
                let contact = contact(protocol, transport.get(13), is_short);
                (u16::from_be_bytes([high, low]), contact, flags(protocol, transport))
            }
            _ => (0, ContactFlag::NONE, Flags::NONE),
        };
        Ok(Packet { source: walk.source, destination, source_port, contact, flags })
    }
}

/// Returns the flags of a TCP segment, or the type of the first chunk of an SCTP packet.
fn flags(protocol: u8, transport: &[u8]) -> Flags {
    let at = match protocol {
        6 => 13,
        132 => 12,
        _ => return Flags::NONE,
    };
    transport.get(at).map_or(Flags::NONE, |byte| Flags::of(*byte))
}

fn contact(protocol: u8, flags: Option<&u8>, is_short: bool) -> ContactFlag {
    match (protocol, flags) {
        (17, _) => ContactFlag::ATTEMPT,
        (6, None) if is_short => ContactFlag::ATTEMPT,
        (6, Some(flags)) if flags & 0b1_0010 == 0b10 => ContactFlag::ATTEMPT,
        (6, Some(_)) => ContactFlag::ESTABLISHED,
        _ => ContactFlag::NONE,
    }
}

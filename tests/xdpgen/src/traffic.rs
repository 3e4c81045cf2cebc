//! The traffic to send: UDP over IPv4 over Ethernet, from one source to many destinations.

use std::net::Ipv4Addr;

/// Offsets of the fields of a frame that the program writes.
pub(crate) const CHECKSUM: i16 = 24;
pub(crate) const DESTINATION: i16 = 30;
pub(crate) const NUMBER: i16 = 42;

const ETHERNET: usize = 14;
const IP: usize = 20;
const UDP: usize = 8;
/// The shortest frame that has all these fields.
pub(crate) const SHORTEST: usize = 60;
/// The longest frame that the kernel generates: one page, minus headroom and metadata.
pub(crate) const LONGEST: usize = 3000;
/// The source port.
const SOURCE_PORT: u16 = 40_000;
/// The order of the destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Uniformly random.
    Random,
    /// In ascending order, starting over after the last.
    RoundRobin,
}

/// Packets to send.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// The source address of all packets.
    pub source: Ipv4Addr,
    /// The first destination host.
    pub destination: Ipv4Addr,
    /// The number of destination hosts: a power of two.
    pub hosts: u32,
    /// The order of the destinations.
    pub order: Order,
    /// The destination port.
    pub port: u16,
    /// The length of a frame in bytes, without the frame check sequence: 60 to 3000. The kernel drops frames that
    /// exceed the interface's MTU.
    pub length: usize,
    /// Whether the payload of each packet starts with its number, from 0 on, as eight bytes in network order. Numbers
    /// are consecutive within one call of [`Traffic::send`].
    pub numbered: bool,
}

impl Traffic {
    /// Returns short frames from `source` to `hosts` hosts (a power of two) of 198.18.0.0/15 in random order. That
    /// network is reserved for benchmarks (RFC 2544).
    #[must_use]
    pub fn to_random_hosts(source: Ipv4Addr, hosts: u32) -> Self {
        Self {
            source,
            destination: Ipv4Addr::new(198, 18, 0, 0),
            hosts,
            order: Order::Random,
            port: 80,
            length: 64,
            numbered: false,
        }
    }

    /// Returns short frames from `source`, each to a new host: the 16 million of 11.0.0.0/8, then the same again.
    #[must_use]
    pub fn to_new_hosts(source: Ipv4Addr) -> Self {
        Self {
            destination: Ipv4Addr::new(11, 0, 0, 0),
            order: Order::RoundRobin,
            ..Self::to_random_hosts(source, 1 << 24)
        }
    }

    /// Returns the template of all frames. The program writes the destination and the checksum.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let ip = self.length - ETHERNET;
        // `check` has limited the length.
        let word = |number: usize| u16::try_from(number).unwrap_or_default().to_be_bytes();
        let mut frame = Vec::with_capacity(self.length);
        frame.extend([0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00]);
        frame.extend([0x45, 0]);
        frame.extend(word(ip));
        frame.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend(self.source.octets());
        frame.extend([0; 4]);
        frame.extend(SOURCE_PORT.to_be_bytes());
        frame.extend(self.port.to_be_bytes());
        frame.extend(word(ip - IP));
        frame.extend([0, 0]); // the UDP checksum is optional over IPv4
        debug_assert_eq!(frame.len(), ETHERNET + IP + UDP);
        frame.resize(self.length, b'x');
        frame
    }

    /// Returns the sum of the words of the IP header, without checksum and destination.
    pub(crate) fn checksum(&self) -> u16 {
        let frame = self.frame();
        let words = frame[ETHERNET..ETHERNET + IP].chunks_exact(2);
        let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
        // The sum of nine words fits into 20 bits, so folding twice leaves no carry.
        let folded = (sum & 0xffff) + (sum >> 16);
        u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or_default()
    }
}

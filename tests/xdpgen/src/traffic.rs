//! What is sent: UDP over IPv4 over Ethernet from one source, to many destinations.

use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::{bpf, namespace, programs};

/// Where the parts of a frame are that a program writes to.
pub(crate) const CHECKSUM: i16 = 24;
pub(crate) const DESTINATION: i16 = 30;
pub(crate) const NUMBER: i16 = 42;

const ETHERNET: usize = 14;
const IP: usize = 20;
const UDP: usize = 8;
/// The shortest frame that has room for all that.
const SHORTEST: usize = 60;
/// The longest that the kernel makes: a page, without what it keeps beside a frame.
const LONGEST: usize = 3000;
/// The port that packets come from.
const FROM_PORT: u16 = 40_000;
/// Frames that the kernel makes in one call.
const CALL: u64 = 1 << 20;

/// The order that destinations come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each as likely as any other.
    Random,
    /// From the first on, and from the first again after the last.
    RoundRobin,
}

/// Packets to be sent.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// The source of all of them.
    pub source: Ipv4Addr,
    /// The first destination host.
    pub destination: Ipv4Addr,
    /// Destination hosts from the first on: a power of two.
    pub hosts: u32,
    /// Which of them comes next.
    pub order: Order,
    /// The destination port.
    pub port: u16,
    /// Length of a frame in bytes, without its check sequence: 60 to 3000, and no more than the interface
    /// takes: longer ones go nowhere.
    pub length: usize,
    /// Whether each packet starts with its number, from 0 on, eight bytes in network order. The frames
    /// of one call of [`Traffic::send`] are numbered through.
    pub numbered: bool,
}

/// What was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Frames.
    pub frames: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl Traffic {
    /// Short frames from `source` to random ones of `hosts` hosts (a power of two) of 198.18.0.0/15, the
    /// network for measurements.
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

    /// Short frames from `source`, each to a host that none before it went to: 16 million of 11.0.0.0/8,
    /// then the same again.
    #[must_use]
    pub fn to_new_hosts(source: Ipv4Addr) -> Self {
        Self {
            destination: Ipv4Addr::new(11, 0, 0, 0),
            order: Order::RoundRobin,
            ..Self::to_random_hosts(source, 1 << 24)
        }
    }

    /// Sends `count` frames out of an interface as fast as the kernel can. What the far end does with
    /// them, it does on this thread's processor in between.
    ///
    /// # Errors
    ///
    /// When a setting is out of its range, without the rights, and on kernels before 5.18.
    pub fn send(&self, namespace: &str, interface: &str, count: u64) -> Result<Sent> {
        let attempt = || format!("send from {interface} inside the kernel");
        self.check().with_context(attempt)?;
        let send = || self.send_here(interface, count);
        namespace::within(namespace, send).with_context(attempt)
    }

    fn check(&self) -> Result<()> {
        ensure!(self.hosts.is_power_of_two(), "{} hosts: not a power of two", self.hosts);
        let lengths = SHORTEST..=LONGEST;
        ensure!(lengths.contains(&self.length), "{} bytes: not in {lengths:?}", self.length);
        Ok(())
    }

    fn send_here(&self, interface: &str, count: u64) -> Result<Sent> {
        let program = programs::sender(self, namespace::index(interface)?)?;
        let frame = self.frame();
        let start = Instant::now();
        let mut left = count;
        while left > 0 {
            let frames = left.min(CALL);
            bpf::test_run(program.as_fd(), &frame, u32::try_from(frames)?)
                .context("run an XDP program on live frames (Linux 5.18)")?;
            left -= frames;
        }
        Ok(Sent { frames: count, elapsed: start.elapsed() })
    }

    /// The frame that each is a copy of: its destination and its checksum are filled in by the program.
    fn frame(&self) -> Vec<u8> {
        let ip = self.length - ETHERNET;
        // Lengths are checked.
        let word = |number: usize| u16::try_from(number).unwrap_or_default().to_be_bytes();
        let mut frame = Vec::with_capacity(self.length);
        frame.extend([0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00]);
        frame.extend([0x45, 0]);
        frame.extend(word(ip));
        frame.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend(self.source.octets());
        frame.extend([0; 4]);
        frame.extend(FROM_PORT.to_be_bytes());
        frame.extend(self.port.to_be_bytes());
        frame.extend(word(ip - IP));
        frame.extend([0, 0]); // over IPv4, UDP does without a checksum
        debug_assert_eq!(frame.len(), ETHERNET + IP + UDP);
        frame.resize(self.length, b'x');
        frame
    }

    /// The sum of the words of the IP header, without checksum and destination.
    pub(crate) fn checksum(&self) -> u16 {
        let frame = self.frame();
        let words = frame[ETHERNET..ETHERNET + IP].chunks_exact(2);
        let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
        // Nine words: one fold leaves no carry but into a word that has room for it.
        let folded = (sum & 0xffff) + (sum >> 16);
        u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or_default()
    }
}

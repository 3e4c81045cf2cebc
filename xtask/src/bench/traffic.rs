//! The captures that are replayed. By default all frames are from the bot and have Ethernet's minimum length,
//! because the cost per packet is measured.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

use crate::{
    frames::{self, BOT},
    pcap,
    random::Random,
};

const ETHERNET_AND_IP: usize = 14 + 20;
const SHORTEST: u16 = 64;
const LONGEST: u16 = 1500;
const START: Duration = Duration::from_secs(1_769_680_800);
/// The number of other hosts that send.
const OTHERS: u8 = 10;

#[derive(Clone, Copy)]
pub(crate) struct Traffic {
    pub(super) frames: u32,
    pub(super) lengths: Lengths,
    pub(super) destinations: Destinations,
    /// The percentage of frames from the bot.
    pub(super) share: u8,
    /// From the first frame to the last.
    pub(super) seconds: u32,
}

#[derive(Clone, Copy)]
pub(crate) enum Lengths {
    Shortest,
    /// Uniformly distributed from the minimum length to the MTU.
    Mixed,
}

#[derive(Clone, Copy)]
pub(crate) enum Destinations {
    /// This many endpoints, in random order.
    Endpoints(u32),
    NewEveryTime,
}

impl Traffic {
    /// Returns the capture with this traffic, and writes it if it does not exist.
    pub(crate) fn capture(&self, directory: &Path) -> Result<PathBuf> {
        let name = format!("{self}.pcap").replace([' ', ',', '%'], "-");
        let path = directory.join(name);
        if !path.exists() {
            eprintln!("xtask: writing {}", path.display());
            self.write(&path)?;
        }
        Ok(path)
    }

    fn write(&self, path: &Path) -> Result<()> {
        let spacing = Duration::from_secs(self.seconds.into()) / self.frames;
        let times = (0..self.frames).map(|nth| START + spacing * nth);
        let mut random = Random::new(0);
        pcap::create(path, |writer| match self.destinations {
            Destinations::Endpoints(count) => {
                let hosts = (0..count).map(|nth| Ipv4Addr::from_bits(0xc612_0000 + nth));
                let mut frame = |from, host| frame(from, host, self.lengths.next(&mut random));
                let own: Vec<_> =
                    hosts.clone().map(|host| frame(BOT, host)).collect::<Result<_>>()?;
                let others: Vec<_> = hosts
                    .zip((1..=OTHERS).cycle())
                    .map(|(host, n)| frame(Ipv4Addr::new(10, 10, 1, n), host))
                    .collect::<Result<_>>()?;
                for at in times {
                    let is_own = random.below(100) < self.share.into();
                    let frames = if is_own { &own } else { &others };
                    writer.write(at, &frames[random.index(frames.len())])?;
                }
                Ok(())
            }
            Destinations::NewEveryTime => {
                for (at, nth) in times.zip(0_u32..) {
                    // An odd factor scatters the numbers over 11.0.0.0/8 without repeating one.
                    let host = Ipv4Addr::from_bits(
                        0x0b00_0000 | nth.wrapping_mul(0x9e37_79b1) & 0x00ff_ffff,
                    );
                    writer.write(at, &frame(BOT, host, self.lengths.next(&mut random))?)?;
                }
                Ok(())
            }
        })
    }
}

impl Lengths {
    fn next(self, random: &mut Random) -> usize {
        match self {
            Self::Shortest => SHORTEST.into(),
            Self::Mixed => (SHORTEST + random.below(LONGEST - SHORTEST + 1)).into(),
        }
    }
}

/// Builds a frame: UDP to even addresses, TCP to odd ones.
fn frame(from: Ipv4Addr, host: Ipv4Addr, length: usize) -> Result<Vec<u8>> {
    const FILLER: [u8; LONGEST as usize] = [b'x'; LONGEST as usize];
    let from = SocketAddrV4::new(from, 40_000);
    if host.to_bits().is_multiple_of(2) {
        let payload = length - ETHERNET_AND_IP - 8;
        frames::udp(from, SocketAddrV4::new(host, 53), &FILLER[..payload])
    } else {
        let payload = length - ETHERNET_AND_IP - 20;
        let web = SocketAddrV4::new(host, 443);
        frames::tcp(from, web, "P.", (1, 1), &FILLER[..payload])
    }
}

/// Contains everything that the capture depends on, because the file is named after it.
impl fmt::Display for Traffic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} frames of ", self.frames)?;
        match self.lengths {
            Lengths::Shortest => write!(out, "{SHORTEST} bytes")?,
            Lengths::Mixed => write!(out, "{SHORTEST} to {LONGEST} bytes")?,
        }
        write!(out, " in {} s to ", self.seconds)?;
        match self.destinations {
            Destinations::Endpoints(count) => write!(out, "{count} endpoints")?,
            Destinations::NewEveryTime => write!(out, "a new host in each frame")?,
        }
        if self.share < 100 {
            write!(out, ", {} % of them the bot's", self.share)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_length_they_are_named_for() {
        for host in [Ipv4Addr::new(11, 0, 0, 0), Ipv4Addr::new(11, 0, 0, 1)] {
            for length in [64, 700, 1500] {
                assert_eq!(frame(BOT, host, length).unwrap().len(), length);
            }
        }
    }
}

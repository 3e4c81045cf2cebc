//! The captures that are replayed: frames as short as Ethernet has them, all from the bot, for the
//! cost of a packet is what counts.

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

const FRAME_LENGTH: usize = 64;
const ETHERNET_AND_IP: usize = 14 + 20;
const START: Duration = Duration::from_secs(1_769_680_800);

#[derive(Clone, Copy)]
pub(super) struct Traffic {
    pub(super) frames: u32,
    pub(super) destinations: Destinations,
    /// From the first frame to the last.
    pub(super) seconds: u32,
}

#[derive(Clone, Copy)]
pub(super) enum Destinations {
    /// So many, in random order.
    Endpoints(u16),
    NewEveryTime,
}

impl Traffic {
    /// The capture with this traffic, made when it is not there yet.
    pub(super) fn capture(&self, directory: &Path) -> Result<PathBuf> {
        let name = format!("{self}.pcap").replace([' ', ','], "-");
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
        pcap::create(path, |writer| match self.destinations {
            Destinations::Endpoints(count) => {
                let frames: Vec<_> = (0..count)
                    .map(|nth| frame(Ipv4Addr::from_bits(0xc612_0000 + u32::from(nth))))
                    .collect::<Result<_>>()?;
                let mut random = Random::new(0);
                for at in times {
                    let nth = random.below(count);
                    writer.write(at, &frames[usize::from(nth)])?;
                }
                Ok(())
            }
            Destinations::NewEveryTime => {
                for (at, nth) in times.zip(0_u32..) {
                    // An odd factor scatters the numbers over 11.0.0.0/8 without repeating one.
                    let host = nth.wrapping_mul(0x9e37_79b1) & 0x00ff_ffff;
                    writer.write(at, &frame(Ipv4Addr::from_bits(0x0b00_0000 | host))?)?;
                }
                Ok(())
            }
        })
    }
}

/// UDP to even addresses, TCP to odd ones.
fn frame(host: Ipv4Addr) -> Result<Vec<u8>> {
    const FILLER: [u8; FRAME_LENGTH] = [b'x'; FRAME_LENGTH];
    let bot = SocketAddrV4::new(BOT, 40_000);
    if host.to_bits().is_multiple_of(2) {
        let payload = FRAME_LENGTH - ETHERNET_AND_IP - 8;
        frames::udp(bot, SocketAddrV4::new(host, 53), &FILLER[..payload])
    } else {
        let payload = FRAME_LENGTH - ETHERNET_AND_IP - 20;
        let web = SocketAddrV4::new(host, 443);
        frames::tcp(bot, web, "P.", (1, 1), &FILLER[..payload])
    }
}

/// Says everything the capture depends on: the file is named by it.
impl fmt::Display for Traffic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} frames of {FRAME_LENGTH} bytes in {} s to ", self.frames, self.seconds)?;
        match self.destinations {
            Destinations::Endpoints(count) => write!(out, "{count} endpoints"),
            Destinations::NewEveryTime => write!(out, "as many hosts"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_length_they_are_named_for() {
        for host in [Ipv4Addr::new(11, 0, 0, 0), Ipv4Addr::new(11, 0, 0, 1)] {
            assert_eq!(frame(host).unwrap().len(), FRAME_LENGTH);
        }
    }
}

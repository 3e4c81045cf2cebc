//! Four minutes of a synthetic bot's traffic. Each window of 30 s shows one verdict.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::Result;

use crate::{
    frames::{self, BOT},
    random::Random,
};

/// 2026-01-29T10:00:00Z. Fixed, so that the records of a demo are always the same.
const START: Duration = Duration::from_secs(1_769_680_800);

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 1);
const NEIGHBOUR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 10, 0, 30), 5353);
const MULTICAST_DNS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 251), 5353);
const C2: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 50), 8443);
const FLOODED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 80), 80);
const FLOODED_HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 90);
const SCANNED_HOSTS: u8 = 60;
const TELNET: u16 = 23;
const SWEPT_HOSTS: u8 = 15;
const SMB: u16 = 445;

/// A frame and its time since 1970.
#[derive(Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) at: Duration,
    pub(crate) bytes: Vec<u8>,
}

/// Returns all frames of the demo, oldest first.
pub(crate) fn frames() -> Result<Vec<Frame>> {
    let mut wire = Wire::default();
    wire.beacon(0, 49_152)?;
    wire.scan(30_000)?;
    wire.flood_one_port(60_000)?;
    wire.flood_random_ports(90_000)?;
    wire.stay_silent(120_000)?;
    wire.beacon(150_000, 49_155)?;
    wire.sweep_slowly(180_000)?;
    wire.frames.sort_by_key(|frame| frame.at);
    Ok(wire.frames)
}

/// Collects frames. Times are milliseconds since the start.
#[derive(Default)]
struct Wire {
    frames: Vec<Frame>,
}

impl Wire {
    fn add(&mut self, at: u64, bytes: Vec<u8>) {
        let at = START + Duration::from_millis(at);
        self.frames.push(Frame { at, bytes });
    }

    /// Requests orders from the command-and-control host every 10 s, and receives an answer.
    fn beacon(&mut self, start: u64, first_port: u16) -> Result<()> {
        for (call, port) in (0..3).zip(first_port..) {
            self.request_orders(start + call * 10_000, SocketAddrV4::new(BOT, port))?;
        }
        Ok(())
    }

    /// One complete TCP connection.
    fn request_orders(&mut self, start: u64, bot: SocketAddrV4) -> Result<()> {
        let (request, answer): (&[u8], &[u8]) = (b"orders?\n", b"wait\n");
        let exchange: [(_, _, _, _, _, &[u8]); 9] = [
            (0, bot, C2, "S", (100, 0), b""),
            (20, C2, bot, "S.", (900, 101), b""),
            (21, bot, C2, ".", (101, 901), b""),
            (22, bot, C2, "P.", (101, 901), request),
            (43, C2, bot, "P.", (901, 109), answer),
            (44, bot, C2, ".", (109, 906), b""),
            (45, bot, C2, "F.", (109, 906), b""),
            (65, C2, bot, "F.", (906, 110), b""),
            (66, bot, C2, ".", (110, 907), b""),
        ];
        for (after, from, to, flags, numbers, payload) in exchange {
            let segment = frames::tcp(from, to, flags, numbers, payload)?;
            self.add(start + after, segment);
        }
        Ok(())
    }

    /// Sends two SYNs each to the telnet port of many hosts. None answers.
    fn scan(&mut self, start: u64) -> Result<()> {
        for (nth, port) in (1..=SCANNED_HOSTS).zip(50_000..) {
            let bot = SocketAddrV4::new(BOT, port);
            let host = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, nth), TELNET);
            let syn = frames::tcp(bot, host, "S", (100, 0), b"")?;
            let first = start + 400 * u64::from(nth);
            self.add(first, syn.clone());
            self.add(first + 1_000, syn);
        }
        Ok(())
    }

    /// Contacts a host every 4 s, too few for any threshold. One accepts the connection and closes it.
    fn sweep_slowly(&mut self, start: u64) -> Result<()> {
        for (nth, port) in (1..=SWEPT_HOSTS).zip(51_000..) {
            let bot = SocketAddrV4::new(BOT, port);
            let host = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, nth), SMB);
            let at = start + 4_000 * u64::from(nth - 1);
            self.add(at, frames::tcp(bot, host, "S", (100, 0), b"")?);
            if nth == 7 {
                self.add(at + 30, frames::tcp(host, bot, "S.", (900, 101), b"")?);
                self.add(at + 31, frames::tcp(bot, host, ".", (101, 901), b"")?);
                self.add(at + 60, frames::tcp(host, bot, "F.", (901, 101), b"")?);
                self.add(at + 61, frames::tcp(bot, host, "F.", (101, 902), b"")?);
            }
        }
        Ok(())
    }

    fn flood_one_port(&mut self, start: u64) -> Result<()> {
        let bot = SocketAddrV4::new(BOT, 40_000);
        let packet = frames::udp(bot, FLOODED, &[b'x'; 64])?;
        for nth in 0..3_000 {
            self.add(start + nth * 10, packet.clone());
        }
        Ok(())
    }

    /// Sends few packets per port, so that only the host's total exceeds the threshold.
    fn flood_random_ports(&mut self, start: u64) -> Result<()> {
        let bot = SocketAddrV4::new(BOT, 40_001);
        let mut random = Random::new(0);
        for nth in 0..600 {
            let host = SocketAddrV4::new(FLOODED_HOST, 1 + random.below(u16::MAX));
            self.add(start + nth * 50, frames::udp(bot, host, &[b'x'; 64])?);
        }
        Ok(())
    }

    /// The bot sends nothing; other hosts do.
    fn stay_silent(&mut self, start: u64) -> Result<()> {
        for nth in 0..6 {
            let at = start + nth * 5_000;
            self.add(at, frames::arp_request(GATEWAY, BOT)?);
            self.add(at + 700, frames::udp(NEIGHBOUR, MULTICAST_DNS, &[0; 12])?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_has_the_same_frames() {
        assert_eq!(frames().unwrap(), frames().unwrap());
    }

    #[test]
    fn frames_are_in_order_and_fill_eight_windows() {
        let frames = frames().unwrap();
        assert!(frames.is_sorted_by_key(|frame| frame.at));
        let window = |frame: &Frame| (frame.at.as_secs() - START.as_secs()) / 30;
        let mut windows: Vec<_> = frames.iter().map(window).collect();
        windows.dedup();
        assert_eq!(frames[0].at, START);
        assert_eq!(windows, [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}

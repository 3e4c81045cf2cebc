//! Frames that are written into a tap, as a virtual machine monitor does.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use gomon_xdpgen::{Tap, VIRTIO_NET_HEADER};

use crate::frames::{self, BOT};

/// The tap's name and MAC address, which is the destination of the frames.
pub(super) const NAME: &str = "tap0";
pub(super) const MAC: &str = "02:00:cb:00:71:32";
/// The destination: the host has no route to it and drops the packets.
const DESTINATION: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 50);

/// The length of the Ethernet, IPv4, and UDP headers.
const UDP_HEADERS: usize = 14 + 20 + 8;
/// The same with TCP.
const TCP_HEADERS: usize = 14 + 20 + 20;
/// The maximum length of a frame that is not segmented.
const UNSEGMENTED: usize = 1514;
/// The payload of a segment.
const SEGMENT: u16 = 1448;
/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`
const NEEDS_CHECKSUM: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV4`
const GSO_TCP4: u8 = 1;
/// Frames that are written between two checks of the clock.
const BATCH: u32 = 64;

/// Writes frames of `length` bytes for `time`. Returns their number and the time they took.
pub(super) fn write(tap: &mut Tap, length: usize, time: Duration) -> Result<(u64, Duration)> {
    let frame = frame(length)?;
    let (mut frames, start) = (0, Instant::now());
    while start.elapsed() < time {
        for _ in 0..BATCH {
            tap.write(&frame).context("write into the tap")?;
        }
        frames += u64::from(BATCH);
    }
    Ok((frames, start.elapsed()))
}

/// Builds a frame of the bot after its `struct virtio_net_hdr`. A frame longer than the MTU is a TCP packet that the
/// kernel may segment.
fn frame(length: usize) -> Result<Vec<u8>> {
    let (from, to) = (SocketAddrV4::new(BOT, 40_000), SocketAddrV4::new(DESTINATION, 80));
    if length <= UNSEGMENTED {
        let frame = frames::udp(from, to, &vec![b'x'; length - UDP_HEADERS])?;
        return Ok([vec![0; VIRTIO_NET_HEADER], frame].concat());
    }
    let headers = u16::try_from(TCP_HEADERS)?;
    let (tcp_start, checksum_offset): (u16, u16) = (34, 16);
    let mut frame = vec![NEEDS_CHECKSUM, GSO_TCP4];
    for field in [headers, SEGMENT, tcp_start, checksum_offset] {
        frame.extend(field.to_ne_bytes());
    }
    frame.extend(frames::tcp(from, to, ".", (1, 1), &vec![b'x'; length - TCP_HEADERS])?);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_their_length_after_the_header() {
        for length in [64, 1514, 65_000] {
            let frame = frame(length).unwrap();
            assert_eq!(frame.len(), VIRTIO_NET_HEADER + length);
            assert_eq!(frame[1] == 0, length <= UNSEGMENTED);
        }
    }
}

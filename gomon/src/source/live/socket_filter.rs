//! The filter that the kernel runs on each frame before it copies the frame for libpcap: a classic BPF program, which
//! needs no capabilities.
//!
//! libpcap's own filters are not used, because libpcap applies them again in user space to frames that were captured
//! before, where the direction of a frame is unknown.

use std::io;
use std::os::fd::AsFd;

use gomon_common::protocol;
use pcap::Direction;
use socket2::{SockFilter, SockRef};

/// What is captured of the frames of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CapturedPart {
    /// Whole frames.
    Everything,
    /// What the parser reads: the headers of the most common Ethernet frames, all other frames whole.
    Headers,
    /// The same without IPv4 and IPv6 packets that are not UDP.
    UdpHeaders,
}

/// Instructions: loads of the packet type, the length, two bytes and one byte, jumps, and the return.
const LOAD: u16 = 0x20;
const LOAD_LENGTH: u16 = 0x80;
const LOAD_2: u16 = 0x28;
const LOAD_1: u16 = 0x30;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// `SKF_AD_OFF + SKF_AD_PKTTYPE`: where a load finds the packet type.
const PACKET_TYPE: u32 = 0xffff_f004;
/// `PACKET_OUTGOING`
const OUTGOING: u32 = 4;
/// Offsets in an Ethernet frame.
const ETHER_TYPE: u32 = 12;
const IPV4_FRAGMENT: u32 = 20;
const IPV4_PROTOCOL: u32 = 23;
const IPV6_NEXT_HEADER: u32 = 20;
const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
/// More fragments, and the fragment offset.
const IS_FRAGMENT: u32 = 0x3fff;
/// Shorter frames are captured whole. A load beyond the end of a frame would drop it.
const MIN_LENGTH: u32 = 60;

/// Results: the number of bytes to capture. Headers are 14 bytes of Ethernet, up to 60 of IP, and up to 20 of TCP as
/// far as the parser reads it.
const WHOLE: u32 = 0x4_0000;
const HEADERS: u32 = 128;
const NOTHING: u32 = 0;

/// Makes the kernel capture only `part` of the frames of `direction`.
///
/// # Errors
///
/// When the kernel rejects the filter. libpcap then captures both directions and whole frames.
pub(super) fn attach(
    socket: &impl AsFd,
    direction: Direction,
    part: CapturedPart,
) -> io::Result<()> {
    let filter = |(at, Instruction(code, value, targets)): (usize, Instruction)| {
        // Jumps are relative to the next instruction, and only forward.
        let [jump_true, jump_false] =
            targets.map(|target| u8::try_from(target.saturating_sub(at + 1)).unwrap_or(u8::MAX));
        SockFilter::new(code, jump_true, jump_false, value)
    };
    let filter: Vec<_> = program(direction, part).into_iter().enumerate().map(filter).collect();
    SockRef::from(socket).attach_filter(&filter)
}

/// An instruction: code, value, and the indices of the next instruction if the condition is true and if it is false.
struct Instruction(u16, u32, [usize; 2]);

/// The indices of the returns at the end of a program.
const TO_WHOLE: usize = 17;
const TO_HEADERS: usize = 18;
const TO_NOTHING: usize = 19;

fn program(direction: Direction, part: CapturedPart) -> [Instruction; 20] {
    let next = |code, value| Instruction(code, value, [0, 0]);
    let by_direction = match direction {
        Direction::Out => [2, TO_NOTHING],
        Direction::In | Direction::InOut => [TO_NOTHING, 2],
    };
    let [udp, tcp, icmp, icmp6] =
        [protocol::UDP, protocol::TCP, protocol::ICMP, protocol::ICMPV6].map(u32::from);
    let parsed = if part == CapturedPart::Everything { TO_WHOLE } else { 4 };
    let not_udp = |target| if part == CapturedPart::UdpHeaders { TO_NOTHING } else { target };
    [
        next(LOAD, PACKET_TYPE),
        Instruction(JUMP_EQUAL, OUTGOING, by_direction),
        next(LOAD_LENGTH, 0),
        Instruction(JUMP_AT_LEAST, MIN_LENGTH, [parsed, TO_WHOLE]),
        next(LOAD_2, ETHER_TYPE),
        Instruction(JUMP_EQUAL, IPV4, [6, 12]),
        next(LOAD_1, IPV4_PROTOCOL),
        Instruction(JUMP_EQUAL, udp, [10, 8]),
        Instruction(JUMP_EQUAL, tcp, [not_udp(10), 9]),
        Instruction(JUMP_EQUAL, icmp, [not_udp(10), not_udp(TO_WHOLE)]),
        next(LOAD_2, IPV4_FRAGMENT),
        Instruction(JUMP_ANY_BIT, IS_FRAGMENT, [TO_WHOLE, TO_HEADERS]),
        Instruction(JUMP_EQUAL, IPV6, [13, TO_WHOLE]),
        next(LOAD_1, IPV6_NEXT_HEADER),
        Instruction(JUMP_EQUAL, udp, [TO_HEADERS, 15]),
        Instruction(JUMP_EQUAL, tcp, [not_udp(TO_HEADERS), 16]),
        Instruction(JUMP_EQUAL, icmp6, [not_udp(TO_HEADERS), TO_WHOLE]),
        next(RETURN, WHOLE),
        next(RETURN, HEADERS),
        next(RETURN, NOTHING),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program on a frame, as the kernel does.
    fn run(direction: Direction, part: CapturedPart, packet_type: u32, frame: &[u8]) -> u32 {
        let program = program(direction, part);
        let (mut at, mut loaded) = (0, 0);
        loop {
            let Instruction(code, value, [jump_true, jump_false]) = program[at];
            let load = |length: usize| {
                let bytes = frame.get(value as usize..value as usize + length)?;
                Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
            };
            let jump = |condition| if condition { jump_true } else { jump_false };
            let bytes = match code {
                LOAD => Some(packet_type),
                LOAD_LENGTH => Some(u32::try_from(frame.len()).unwrap()),
                LOAD_2 => load(2),
                LOAD_1 => load(1),
                _ => Some(loaded),
            };
            // The kernel drops the frame.
            let Some(bytes) = bytes else { return NOTHING };
            loaded = bytes;
            at = match code {
                JUMP_EQUAL => jump(loaded == value),
                JUMP_AT_LEAST => jump(loaded >= value),
                JUMP_ANY_BIT => jump(loaded & value != 0),
                RETURN => return value,
                _ => at + 1,
            };
        }
    }

    /// A frame with this Ethernet type and these bytes at their offsets.
    fn frame(ether_type: u32, length: usize, bytes: &[(usize, u8)]) -> Vec<u8> {
        let mut frame = vec![0; length];
        frame[12..14].copy_from_slice(&ether_type.to_be_bytes()[2..]);
        for (offset, byte) in bytes {
            frame[*offset] = *byte;
        }
        frame
    }

    #[test]
    fn common_headers_are_captured_and_all_other_frames_whole() {
        let (v4, v6) =
            (|next| frame(IPV4, 1514, &[(23, next)]), |next| frame(IPV6, 1514, &[(20, next)]));
        for (frame, headers, udp) in [
            (v4(6), HEADERS, NOTHING),
            (v4(17), HEADERS, HEADERS),
            (v4(1), HEADERS, NOTHING),
            (v4(47), WHOLE, NOTHING),
            (v6(6), HEADERS, NOTHING),
            (v6(17), HEADERS, HEADERS),
            (v6(58), HEADERS, NOTHING),
            // Extension headers, a fragment, a VLAN tag, ARP, and frames too short for the offsets.
            (v6(0), WHOLE, WHOLE),
            (frame(IPV4, 1514, &[(23, 17), (20, 0x20)]), WHOLE, WHOLE),
            (frame(IPV4, 1514, &[(23, 6), (21, 1)]), WHOLE, NOTHING),
            (frame(0x8100, 1514, &[(23, 6)]), WHOLE, WHOLE),
            (frame(0x0806, 60, &[]), WHOLE, WHOLE),
            (frame(IPV4, 16, &[]), WHOLE, WHOLE),
            (vec![0; 3], WHOLE, WHOLE),
        ] {
            for (part, expected) in [
                (CapturedPart::Everything, WHOLE),
                (CapturedPart::Headers, headers),
                (CapturedPart::UdpHeaders, udp),
            ] {
                for (direction, packet_type, other) in
                    [(Direction::In, 0, OUTGOING), (Direction::Out, OUTGOING, 3)]
                {
                    assert_eq!(run(direction, part, packet_type, &frame), expected, "{part:?}");
                    assert_eq!(run(direction, part, other, &frame), NOTHING, "{part:?}");
                }
            }
        }
    }

    #[test]
    fn the_kernel_accepts_every_program() {
        let (socket, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
        for part in [CapturedPart::Everything, CapturedPart::Headers, CapturedPart::UdpHeaders] {
            for direction in [Direction::In, Direction::Out] {
                attach(&socket, direction, part).unwrap();
            }
        }
    }
}

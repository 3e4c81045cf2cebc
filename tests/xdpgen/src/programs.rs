//! The programs: one sender, two receivers for XDP and for TC, and one that adds VLAN tags.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::Result;

use crate::assembly::{
    Assembly, GET_PRANDOM_U32, Jump, MAP_LOOKUP, REDIRECT, Register, SKB_VLAN_PUSH, STACK, Width,
};
use crate::bpf::{self, Hook, MapType};
use crate::traffic::{CHECKSUM, DESTINATION, NUMBER, Order, Traffic};

const XDP_PASS: i32 = 2;
/// `TCX_NEXT`: continues with the next program.
const TCX_NEXT: i32 = -1;

impl Hook {
    /// Returns the offsets in the context of the start and end of the frame.
    fn frame(self) -> (i16, i16) {
        match self {
            // `struct xdp_md`
            Self::Xdp => (0, 4),
            // `struct __sk_buff`
            Self::TcxIngress | Self::TcxEgress => (76, 80),
        }
    }

    /// Returns the result that passes a frame on.
    fn pass(self) -> i32 {
        match self {
            Self::Xdp => XDP_PASS,
            Self::TcxIngress | Self::TcxEgress => TCX_NEXT,
        }
    }
}

/// The `EtherType` of 802.1Q, in network byte order.
const TAG: u16 = 0x8100_u16.to_be();

/// Registers by their contents.
const CONTEXT: Register = 1;
const FRAME: Register = 7;
const FRAME_END: Register = 8;

/// Writes the destination and the number into each frame, and sends it out of an interface.
pub(crate) fn sender(traffic: &Traffic, interface: u32) -> Result<OwnedFd> {
    let counter = counter()?;
    let mut code = Assembly::default();
    let needed = if traffic.numbered { NUMBER + 8 } else { DESTINATION + 4 };
    let short = frame(&mut code, Hook::Xdp, needed);
    if traffic.numbered || traffic.order == Order::RoundRobin {
        code.first_value(1, counter.as_fd());
        code.set(0, 1);
        code.fetch_add_in_memory(1, 0, 0);
    }
    if traffic.numbered {
        code.copy(3, 0);
        code.network_order(3, 64);
        code.store(Width::Eight, FRAME, NUMBER, 3);
    }
    if traffic.order == Order::Random {
        code.call(GET_PRANDOM_U32);
    }
    code.mask_32(0, traffic.hosts - 1);
    code.add_32(0, traffic.destination.to_bits());
    checksum(&mut code, traffic.checksum());
    code.network_order(0, 32);
    code.store(Width::Four, FRAME, DESTINATION, 0);
    code.land([short]);
    code.set(1, interface.cast_signed());
    code.set(2, 0);
    code.call(REDIRECT);
    code.exit();
    // The loaded program holds a reference to its map.
    bpf::load(Hook::Xdp, code.instructions())
}

/// Creates a map with one number.
fn counter() -> Result<OwnedFd> {
    bpf::create_map(MapType::Array, 4, 8, 1)
}

/// Loads the bounds of the frame. The returned jump is taken when it is shorter than `needed` bytes.
fn frame(code: &mut Assembly, hook: Hook, needed: i16) -> Jump {
    let (start, end) = hook.frame();
    code.load(FRAME, CONTEXT, start);
    code.load(FRAME_END, CONTEXT, end);
    code.copy(2, FRAME);
    code.add(2, needed.into());
    code.jump_if_greater(2, FRAME_END)
}

/// Stores the checksum of the IPv4 header. `rest` is the sum of all words other than the destination, which is in r0.
fn checksum(code: &mut Assembly, rest: u16) {
    let (low, high) = (4, 5);
    let fold = |code: &mut Assembly| {
        code.copy(high, low);
        code.shift_right(high, 16);
        code.mask_32(low, 0xffff);
        code.add_register(low, high);
    };
    code.copy(low, 0);
    fold(code);
    code.add(low, rest.into());
    fold(code);
    fold(code);
    code.exclusive_or(low, 0xffff);
    code.network_order(low, 16);
    code.store(Width::Two, FRAME, CHECKSUM, low);
}

/// Passes every frame.
pub(crate) fn receiver(hook: Hook) -> Result<OwnedFd> {
    let mut code = Assembly::default();
    code.set(0, hook.pass());
    code.exit();
    bpf::load(hook, code.instructions())
}

/// Passes every frame, and counts those to each of `hosts` hosts from `first` on, with one hash lookup and one
/// addition: the minimal cost of counting.
pub(crate) fn counting_receiver(hook: Hook, first: Ipv4Addr, hosts: u32) -> Result<OwnedFd> {
    let map = bpf::create_map(MapType::Hash, 4, 8, hosts)?;
    for host in 0..hosts {
        let address = Ipv4Addr::from_bits(first.to_bits().wrapping_add(host));
        bpf::update(map.as_fd(), address.octets(), [0; 8])?;
    }
    bpf::load(hook, counting(hook, map.as_fd()).instructions())
}

fn counting(hook: Hook, map: BorrowedFd<'_>) -> Assembly {
    const KEY: i16 = -4;
    let mut code = Assembly::default();
    let short = frame(&mut code, hook, DESTINATION + 4);
    code.load(1, FRAME, DESTINATION);
    code.store(Width::Four, STACK, KEY, 1);
    code.copy(2, STACK);
    code.add(2, KEY.into());
    code.map(1, map);
    code.call(MAP_LOOKUP);
    let unlisted = code.jump_if_zero(0);
    code.set(1, 1);
    code.add_to_memory(0, 0, 1);
    code.land([short, unlisted]);
    code.set(0, hook.pass());
    code.exit();
    code
}

/// Adds a VLAN tag to the metadata of every frame, for the interface to insert.
pub(crate) fn tagger(vlan: u16) -> Result<OwnedFd> {
    let mut code = Assembly::default();
    code.set(2, TAG.into());
    code.set(3, vlan.into());
    code.call(SKB_VLAN_PUSH);
    code.set(0, TCX_NEXT);
    code.exit();
    bpf::load(Hook::TcxEgress, code.instructions())
}

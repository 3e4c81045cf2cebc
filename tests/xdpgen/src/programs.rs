//! The programs: one that sends, two that receive, and one that tags.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::Result;

use crate::assembly::{Assembly, MAP_LOOKUP, PUSH_TAG, RANDOM, REDIRECT, Register, STACK, Width};
use crate::bpf::{self, Hook, Kind};
use crate::traffic::{CHECKSUM, DESTINATION, NUMBER, Order, Traffic};

/// What the kernel passes to an XDP program: where the frame starts and ends.
const START: i16 = 0;
const END: i16 = 4;
const PASS: i32 = 2;
/// What TC goes on with to the next program.
const NEXT: i32 = -1;
/// 802.1Q, as it lies in a frame.
const TAG: u16 = 0x8100_u16.to_be();

/// Registers by what the programs keep in them.
const CONTEXT: Register = 1;
const FRAME: Register = 7;
const FRAME_END: Register = 8;

/// Gives each frame its destination, and its number, and sends it out of an interface.
pub(crate) fn sender(traffic: &Traffic, interface: u32) -> Result<OwnedFd> {
    let counter = counter()?;
    let mut code = Assembly::default();
    let needed = if traffic.numbered { NUMBER + 8 } else { DESTINATION + 4 };
    let short = frame(&mut code, needed);
    if traffic.numbered || traffic.order == Order::RoundRobin {
        code.first_value(1, counter.as_fd());
        code.set(0, 1);
        code.count_in_memory(1, 0, 0);
    }
    if traffic.numbered {
        code.copy(3, 0);
        code.network_order(3, 64);
        code.store(Width::Eight, FRAME, NUMBER, 3);
    }
    if traffic.order == Order::Random {
        code.call(RANDOM);
    }
    code.mask_short(0, traffic.hosts - 1);
    code.add_short(0, traffic.destination.to_bits());
    checksum(&mut code, traffic.checksum());
    code.network_order(0, 32);
    code.store(Width::Four, FRAME, DESTINATION, 0);
    code.land([short]);
    code.set(1, interface.cast_signed());
    code.set(2, 0);
    code.call(REDIRECT);
    code.exit();
    // The program keeps its map.
    bpf::load(Hook::Xdp, code.instructions())
}

/// A map with one number in it.
fn counter() -> Result<OwnedFd> {
    bpf::create_map(Kind::Array, 4, 8, 1)
}

/// Finds the frame; jumps when it is shorter than so many bytes.
fn frame(code: &mut Assembly, needed: i16) -> crate::assembly::Jump {
    code.load(FRAME, CONTEXT, START);
    code.load(FRAME_END, CONTEXT, END);
    code.copy(2, FRAME);
    code.add(2, needed.into());
    code.jump_if_greater(2, FRAME_END)
}

/// Stores the checksum of the IPv4 header: `rest` is the sum of all words but the destination, which is
/// in the result register.
fn checksum(code: &mut Assembly, rest: u16) {
    let (low, high) = (4, 5);
    let split = |code: &mut Assembly| {
        code.copy(high, low);
        code.shift_right(high, 16);
        code.mask_short(low, 0xffff);
        code.add_register(low, high);
    };
    code.copy(low, 0);
    split(code);
    code.add(low, rest.into());
    split(code);
    split(code);
    code.exclusive_or(low, 0xffff);
    code.network_order(low, 16);
    code.store(Width::Two, FRAME, CHECKSUM, low);
}

/// Takes every frame as it comes.
pub(crate) fn receiver() -> Result<OwnedFd> {
    let mut code = Assembly::default();
    code.set(0, PASS);
    code.exit();
    bpf::load(Hook::Xdp, code.instructions())
}

/// Takes every frame, and counts those to each of so many hosts from `first` on: one look into a hash,
/// one addition. The least that counting costs.
pub(crate) fn counting_receiver(first: Ipv4Addr, hosts: u32) -> Result<OwnedFd> {
    let map = bpf::create_map(Kind::Hash, 4, 8, hosts)?;
    for host in 0..hosts {
        let address = Ipv4Addr::from_bits(first.to_bits().wrapping_add(host));
        bpf::update(map.as_fd(), address.octets(), [0; 8])?;
    }
    bpf::load(Hook::Xdp, counting(map.as_fd()).instructions())
}

fn counting(map: BorrowedFd<'_>) -> Assembly {
    const KEY: i16 = -4;
    let mut code = Assembly::default();
    let short = frame(&mut code, DESTINATION + 4);
    code.load(1, FRAME, DESTINATION);
    code.store(Width::Four, STACK, KEY, 1);
    code.copy(2, STACK);
    code.add(2, KEY.into());
    code.map(1, map);
    code.call(MAP_LOOKUP);
    let unknown = code.jump_if_zero(0);
    code.set(1, 1);
    code.add_to_memory(0, 0, 1);
    code.land([short, unknown]);
    code.set(0, PASS);
    code.exit();
    code
}

/// Gives every frame a VLAN tag, beside the frame: the interface is to put it in.
pub(crate) fn tagger(vlan: u16) -> Result<OwnedFd> {
    let mut code = Assembly::default();
    code.set(2, TAG.into());
    code.set(3, vlan.into());
    code.call(PUSH_TAG);
    code.set(0, NEXT);
    code.exit();
    bpf::load(Hook::TcxEgress, code.instructions())
}

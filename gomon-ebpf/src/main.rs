//! The kernel side of gomon: XDP and TC programs over one body.
//!
//! A program looks at a frame, counts it, and always passes it on. Whatever can't be done is counted
//! under its reason; nothing is ever dropped, changed or held up.
#![no_std]
#![no_main]
// The virtual machine has an atomic addition, which the library offers only where there is a
// compare-and-swap too.
#![feature(core_intrinsics)]
// An addition in assembly hides from the compiler what the verifier has to see.
#![feature(asm_experimental_arch)]
#![expect(internal_features, reason = "see above")]

mod context;
mod count;
mod maps;

use aya_ebpf::bindings::{TC_ACT_UNSPEC, xdp_action::XDP_PASS};
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};

use context::{Linear, OneBuffer, Pieces, SocketBuffer, Walked};
use count::Arrival;

/// Frames in one buffer: every kernel that has XDP.
#[xdp]
pub fn gomon_xdp(context: XdpContext) -> u32 {
    let frame = OneBuffer::new(&context);
    let length = frame.length();
    Arrival { context: &context, front: frame, whole: Walked(frame), length, tag: None }.count();
    XDP_PASS
}

/// Frames in several buffers too, as jumbo MTUs need them: Linux 5.18.
#[xdp(frags)]
pub fn gomon_xdp_frags(context: XdpContext) -> u32 {
    let (front, whole) = (OneBuffer::new(&context), Pieces(&context));
    let length = context::total_length(&context);
    Arrival { context: &context, front, whole, length, tag: None }.count();
    XDP_PASS
}

/// Packets that have become socket buffers. `UNSPEC` leaves the verdict to the programs after it.
#[classifier]
pub fn gomon_tc(context: TcContext) -> i32 {
    of_socket_buffer(&context).count();
    TC_ACT_UNSPEC
}

/// What goes out to the bot: the answers it gets.
#[classifier]
pub fn gomon_tc_egress(context: TcContext) -> i32 {
    of_socket_buffer(&context).answer();
    TC_ACT_UNSPEC
}

#[inline(always)]
fn of_socket_buffer(context: &TcContext) -> Arrival<'_, TcContext, Linear, SocketBuffer<'_>> {
    let whole = SocketBuffer::new(context);
    let (front, length) = (whole.linear(), whole.length());
    Arrival { context, front, whole, length, tag: context::tag(context) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing in these programs can panic; the linker removes this.
    loop {}
}

/// Some helpers are for programs under the GPL only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

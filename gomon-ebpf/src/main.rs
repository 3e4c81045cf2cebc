//! The eBPF programs of gomon: XDP and TC programs that share one implementation.
//!
//! A program parses a frame, counts it, and always passes it on. Every frame that cannot be counted is
//! recorded with its reason. No frame is dropped, changed, or delayed.
#![no_std]
#![no_main]
// eBPF has an atomic addition, but `core::sync::atomic` offers it only on targets that also have
// compare-and-swap.
#![feature(core_intrinsics)]
// An addition in inline assembly keeps the compiler from removing a bounds check that the verifier needs.
#![feature(asm_experimental_arch)]
#![expect(internal_features, reason = "see above")]

mod context;
mod count;
mod maps;

use aya_ebpf::bindings::{TC_ACT_UNSPEC, xdp_action::XDP_PASS};
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};

use context::{DirectAccess, Skb, SkbLinear, VariableOffsetAccess, XdpFrags};
use count::FrameContext;

/// Counts frames in a single linear buffer. Runs on every kernel that has XDP.
#[xdp]
pub fn gomon_xdp(ctx: XdpContext) -> u32 {
    let linear = DirectAccess::new(&ctx);
    let (full, length) = (VariableOffsetAccess(linear), linear.length());
    FrameContext { ctx: &ctx, linear, full, length, tag: None }.count(context::interface(&ctx));
    XDP_PASS
}

/// Also counts multi-buffer frames, which jumbo MTUs require. Needs Linux 5.18.
#[xdp(frags)]
pub fn gomon_xdp_frags(ctx: XdpContext) -> u32 {
    let (linear, full) = (DirectAccess::new(&ctx), XdpFrags(&ctx));
    let length = context::total_length(&ctx);
    FrameContext { ctx: &ctx, linear, full, length, tag: None }.count(context::interface(&ctx));
    XDP_PASS
}

/// Counts packets at TC ingress. `TC_ACT_UNSPEC` leaves the verdict to the programs that run next.
#[classifier]
pub fn gomon_tc(ctx: TcContext) -> i32 {
    skb_frame(&ctx, Skb::at_ingress(&ctx)).count(context::skb_interface(&ctx));
    TC_ACT_UNSPEC
}

/// Records replies to the bot at TC egress.
#[classifier]
pub fn gomon_tc_egress(ctx: TcContext) -> i32 {
    skb_frame(&ctx, Skb::at_egress(&ctx)).record_reply(context::skb_interface(&ctx));
    TC_ACT_UNSPEC
}

#[inline(always)]
fn skb_frame<'a>(
    ctx: &'a TcContext,
    full: Skb<'a>,
) -> FrameContext<'a, TcContext, SkbLinear, Skb<'a>> {
    let (linear, length) = (full.linear(), full.length());
    FrameContext { ctx, linear, full, length, tag: context::vlan_tag(ctx) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing in these programs can panic; the linker removes this function.
    loop {}
}

/// Some helpers are available only to GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

//! Packets for artifacts, on their way up.
//!
//! All of a slow bot's packets are sent up, and of a fast one's so many that an artifact finds the last
//! packets of every host in them, whenever its pane ends. What is sent up is bounded per host and per
//! CPU in every slot of time, so that a flood costs little more than being counted.

use aya_ebpf::bindings::BPF_F_CURRENT_CPU;
use aya_ebpf::btf_maps::PerfEventByteArray;
use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_perf_event_output};
use aya_ebpf::macros::btf_map;
use aya_ebpf::{EbpfContext, Global};
use gomon_common::Address;
use gomon_common::kernel::{FEW_PACKETS, MAX_CAPTURED, PACKETS_PER_SLOT, Saved};

use super::ledger::Page;
use super::{current, hosts};

#[btf_map]
static PACKETS: PerfEventByteArray = PerfEventByteArray::new();

#[unsafe(no_mangle)]
static PACKETS_PER_HOST: Global<u32> = Global::new(0);

/// Whether there are artifacts at all. The kernel knows the answer when it loads a program, and leaves
/// out what can't happen.
#[inline(always)]
pub(crate) fn wanted() -> bool {
    PACKETS_PER_HOST.load() != 0
}

/// Whether a packet between the bot and `host` is to be sent up; if so, the time, in nanoseconds on the
/// monotonic clock.
#[inline(always)]
pub(crate) fn admit(generation: u32, page: &Page, host: &Address) -> Option<u64> {
    let host = hosts::get(generation, host)?;
    // SAFETY: gomon's kernel side runs where this helper may be called.
    let now = unsafe { bpf_ktime_get_ns() };
    let slot = current::slot(generation, now);
    let sent = host.sent_in(slot);
    if sent >= PACKETS_PER_HOST.load() {
        return None;
    }
    if slot != 0 && page.sent_in(slot) >= PACKETS_PER_SLOT && sent >= FEW_PACKETS {
        return None;
    }
    host.enter_sent();
    page.enter_sent();
    Some(now)
}

/// Sends a packet up. True when there was no room for it.
#[inline(always)]
pub(crate) fn send(
    context: &impl EbpfContext,
    now: u64,
    host: Address,
    (wire, there): (u32, u32),
    tag: Option<(u16, u16)>,
    generation: u32,
) -> bool {
    let captured = if there < MAX_CAPTURED { there } else { MAX_CAPTURED };
    let mut saved = Saved::new(now, host, wire, captured, generation);
    if let Some((kind, control)) = tag {
        saved = saved.tagged(kind, control);
    }
    let flags = u64::from(captured) << 32 | BPF_F_CURRENT_CPU;
    // SAFETY: the context is the one this program was called with, its frame has `captured` bytes, and
    // `saved` is as long as is said.
    let result = unsafe {
        bpf_perf_event_output(
            context.as_ptr(),
            (&raw const PACKETS).cast_mut().cast(),
            flags,
            (&raw mut saved).cast(),
            size_of::<Saved>() as u64,
        )
    };
    result != 0
}

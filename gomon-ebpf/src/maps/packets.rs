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
use gomon_common::kernel::{FEW_PACKETS, MAX_CAPTURED, PACKETS_PER_SLOT, PacketRecord};

use super::counter_entry::CounterEntry;
use super::current;
use super::ledger::CpuState;

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

/// Which slot it is.
#[inline(always)]
pub(crate) fn slot(generation: u32, cpu: &CpuState) -> u32 {
    current::slot(generation, cpu.recent_time())
}

/// Whether a packet of a destination is to be sent up. As of an endpoint no more is sent than of its
/// host, an endpoint's no spares looking for the host.
#[inline(always)]
pub(crate) fn admits(destination: &CounterEntry, cpu: &CpuState, slot: u32) -> bool {
    let sent = destination.sent_in(slot);
    let within_budget = slot == 0 || cpu.sent_in(slot) < PACKETS_PER_SLOT || sent < FEW_PACKETS;
    sent < PACKETS_PER_HOST.load() && within_budget
}

/// Sends a packet up. False when there was no room for it.
#[inline(always)]
pub(crate) fn send(
    context: &impl EbpfContext,
    host: Address,
    (wire, there): (u32, u32),
    tag: Option<(u16, u16)>,
    generation: u32,
) -> bool {
    let captured = if there < MAX_CAPTURED { there } else { MAX_CAPTURED };
    // SAFETY: gomon's kernel side runs where this helper may be called.
    let now = unsafe { bpf_ktime_get_ns() };
    let mut saved = PacketRecord::new(now, host, wire, captured, generation);
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
            size_of::<PacketRecord>() as u64,
        )
    };
    result == 0
}

//! Packets for artifacts, sent to user space.
//!
//! All packets of a slow bot are sent. Of a fast bot, enough packets are sent that an artifact contains
//! the last packets of every host, whenever its pane ends. Rate limits per host and per CPU keep the cost
//! of a flood close to that of counting it.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_F_CURRENT_CPU;
use aya_ebpf::btf_maps::PerfEventByteArray;
use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_perf_event_output};
use aya_ebpf::macros::btf_map;
use gomon_common::Address;
use gomon_common::kernel::{
    MAX_CAPTURED, MIN_PACKETS_PER_HOST, PACKETS_PER_INTERVAL, PacketRecord,
};

use super::bots::Bot;
use super::counter_entry::CounterEntry;

/// Perf event array. Key: CPU. Value: file descriptor of the CPU's perf buffer. Its samples are a
/// [`PacketRecord`] followed by the bytes of the frame.
#[btf_map]
static PACKETS: PerfEventByteArray = PerfEventByteArray::new();

/// Returns whether the rate limits permit sending a packet of this destination of the bot. No more packets of an
/// endpoint are sent than of its host, so checking the endpoint first can save the host lookup.
#[inline(always)]
pub(crate) fn is_within_budget(bot: &Bot, destination: &CounterEntry) -> bool {
    let interval = bot.interval();
    let sent = destination.sent_in_interval(interval);
    let is_within_cpu_budget = interval == 0
        || bot.cpu.sent_in_interval(interval) < PACKETS_PER_INTERVAL
        || sent < MIN_PACKETS_PER_HOST;
    sent < bot.packets_per_host() && is_within_cpu_budget
}

/// Sends a packet with these lengths on the wire and in the program's context to user space. Returns
/// false if the perf buffer is full.
#[inline(always)]
pub(crate) fn send(
    bot: &Bot,
    ctx: &impl EbpfContext,
    host: Address,
    (wire_length, length): (u32, u32),
    tag: Option<(u16, u16)>,
) -> bool {
    let captured = if length < MAX_CAPTURED { length } else { MAX_CAPTURED };
    // SAFETY: the helper is available to XDP and TC programs.
    let now = unsafe { bpf_ktime_get_ns() };
    let mut record = PacketRecord::new(now, host, wire_length, captured, bot.cell());
    if let Some((tpid, tci)) = tag {
        record = record.with_tag(tpid, tci);
    }
    let flags = u64::from(captured) << 32 | BPF_F_CURRENT_CPU;
    // SAFETY: this is the context that the program was called with, its frame has `captured` bytes, and the
    // size is that of `record`.
    let result = unsafe {
        bpf_perf_event_output(
            ctx.as_ptr(),
            (&raw const PACKETS).cast_mut().cast(),
            flags,
            (&raw mut record).cast(),
            size_of::<PacketRecord>() as u64,
        )
    };
    result == 0
}

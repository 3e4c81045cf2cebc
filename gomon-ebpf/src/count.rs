//! What becomes of a frame: the body all programs share.

use gomon_common::kernel::Entry;
use gomon_common::{Frame, LinkType, Packet, parse, parse_common};

use crate::maps::{current, endpoints, hosts, ignored, ledger::Page, registers, sources};

/// Counts one frame of `length` bytes, `whole` as slow as it is thorough. What nearly every frame has at
/// a fixed place is read from `front`.
#[inline(always)]
pub(crate) fn frame(front: &impl Frame, whole: &impl Frame, length: u64) {
    // Read once: whatever this packet adds, it adds to one generation.
    let generation = current::generation();
    let Some(page) = Page::of(generation) else { return };
    match parse_common(front).map_or_else(|| parse(LinkType::Ethernet, whole), Ok) {
        Ok(packet) if !sources::is_bot(packet.source) => page.enter(Entry::NotFromBot),
        Ok(packet) => page.enter(count(generation, &page, &packet, length)),
        Err(skip) => page.enter(Entry::of(skip)),
    }
}

/// Counts a packet of the bot, and says where the ledger has it.
#[inline(always)]
fn count(generation: u32, page: &Page, packet: &Packet, length: u64) -> Entry {
    let endpoint = &packet.destination;
    if endpoints::add(generation, endpoint, length) {
        return Entry::Counted;
    }
    let host = endpoint.address();
    if ignored::contains(host) {
        return Entry::Ignored;
    }
    // A host first, so that its total is exact also when its endpoints don't fit.
    let known = hosts::know(generation, page, &host);
    if known && endpoints::insert(generation, page, endpoint, length) {
        return Entry::Counted;
    }
    page.add(Entry::OverflowPackets, 1);
    page.add(Entry::OverflowBytes, length);
    if !(known && hosts::add(generation, &host, length)) {
        page.add(Entry::OverflowHostPackets, 1);
        page.add(Entry::OverflowHostBytes, length);
        registers::insert(generation, host);
    }
    Entry::Counted
}
